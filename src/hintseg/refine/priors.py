"""How large the classes really are, whatever share of the labels they have."""

import torch
from jaxtyping import Float
from torch import Tensor

ITERATIONS = 50
RAREST = 1e-6


def estimate_priors(
    probabilities: Float[Tensor, "pixels classes"],
    trained: Float[Tensor, " classes"],
    *,
    iterations: int = ITERATIONS,
) -> Float[Tensor, " classes"]:
    """Shares of the classes among pixels without labels, by expectation maximisation.

    With p the shares among the pixels that a classifier has learned from and P its probabilities of
    other pixels, the shares q among these are the fixed point of

        q_c <- mean_i  (q_c / p_c) P_ic / sum_k (q_k / p_k) P_ik

    (Saerens, Latinne, Decaestecker 2002, doi:10.1162/089976602753284446, eq. 2.9). Probabilities of
    the classifier times q / p, normalised, are those under the shares q.

    Args:
        probabilities: Rows that sum to one; more pixels, a surer estimate.
        trained: p, above zero where a class was learned. A class with p = 0 stays at 0.
        iterations: Of the fixed point.

    Returns:
        q, which sums to one.

    Example:
        >>> import torch
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
        >>> estimate_priors(probabilities, torch.tensor([0.5, 0.5])).round(decimals=2)
        tensor([0.9700, 0.0300])
    """
    learned = trained > 0
    given = trained.double().clamp(min=RAREST)
    likelihoods = probabilities.double().where(learned, 0.0) / given
    shares = trained.double() / trained.sum()
    for _ in range(iterations):
        joint = likelihoods * shares
        total = joint.sum(dim=1, keepdim=True)
        shares = (joint / total.clamp(min=torch.finfo(joint.dtype).tiny)).mean(dim=0)
        shares = shares / shares.sum().clamp(min=torch.finfo(joint.dtype).tiny)
    return shares.to(trained.dtype)
