"""Random walk: scores flow between cells that are alike, whatever says how alike they are."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hintseg.cores import crew
from hintseg.errors import ConfigError
from hintseg.refine.affinity import Affinity, State, Transition, embedding_affinity


@torch.no_grad()
def walk(
    scores: Float[Tensor, "classes rows columns"],
    affinity: Affinity,
    *,
    steps: int = 64,
    fixed: Int[Tensor, "rows columns"] | None = None,
) -> Float[Tensor, "classes rows columns"]:
    """Scores after a random walk: S <- S T, `steps` times.

    Columns of T sum to one: every cell becomes a convex combination of cells and no score leaves
    the range of its class. Many steps make each connected component constant, at its mean weighted
    by degree. The transition is applied to the few score maps again and again and never squared.

    Args:
        scores: Maps of the classes in question, any values.
        affinity: How alike the cells are (`hintseg.refine.affinity`).
        steps: How often the transition is applied.
        fixed: Class (index into `scores`) of the cells whose hint is known, negative elsewhere.
            Those cells are one-hot before the walk and after every step.

    Returns:
        New scores in the dtype of `scores`; computed in float32 or better.

    Raises:
        ConfigError: `steps` is negative, or `fixed` names a class without scores.

    Example:
        >>> import torch
        >>> from hintseg.refine import embedding_affinity
        >>> embeddings = torch.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]])
        >>> scores = torch.tensor([[[1.0, 0.0, 0.0]]])
        >>> walk(scores, embedding_affinity(embeddings), steps=8)
        tensor([[[0.5000, 0.5000, 0.0000]]])
    """
    if steps < 0:
        raise ConfigError(f"steps: must be 0 or more, got {steps}")
    if fixed is not None and fixed.numel() and int(fixed.max()) >= len(scores):
        raise ConfigError(
            f"fixed: class {int(fixed.max())} has no scores; there are {len(scores)} maps"
        )
    dtype = torch.promote_types(torch.promote_types(affinity.dtype, scores.dtype), torch.float32)
    state = scores.flatten(1).to(dtype, copy=True)
    hold = _holder(fixed, state)
    state = hold(state)
    if steps and state.numel():
        low, high = state.aminmax(dim=1, keepdim=True)
        with crew() as run:
            transition = affinity.transition(run)
            for _ in range(steps):
                state = hold(transition(state))
        state = state.clamp(low, high)  # rounding adds up over the steps
    return state.reshape(scores.shape).to(scores.dtype)


def embedding_walk(
    embeddings: Float[Tensor, "views dim rows columns"],
    scores: Float[Tensor, "classes rows columns"],
    *,
    steps: int = 64,
    sharpness: float = 100.0,
    fixed: Int[Tensor, "rows columns"] | None = None,
    negligible: float = 0.0,
) -> Float[Tensor, "classes rows columns"]:
    """Scores after a random walk between cells with similar embeddings.

    `walk` with `embedding_affinity`, which say what is computed and what the arguments mean; the
    2^6 steps and the sharpness 20 * 5 are those of Ke et al. 2021 (arXiv:2105.00957). Time grows
    with cells^2, as does memory up to 2^14 cells; beyond, transitions that are not sparse are made
    anew in every step, which is slow and takes next to no memory.

    Raises:
        ConfigError: A number is out of range, there is no view, or `fixed` names a class without
            scores.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]])
        >>> scores = torch.tensor([[[1.0, 0.0, 0.0]]])
        >>> embedding_walk(embeddings, scores, fixed=torch.tensor([[0, -1, -1]]))  # the first stays
        tensor([[[1., 1., 0.]]])
    """
    affinity = embedding_affinity(
        embeddings, sharpness=sharpness, negligible=negligible, dtype=scores.dtype
    )
    return walk(scores, affinity, steps=steps, fixed=fixed)


def _holder(fixed: Int[Tensor, "rows columns"] | None, state: State) -> Transition:
    """What makes the known cells of such states one-hot, in place."""
    if fixed is None:
        return lambda state: state
    cells = (fixed.flatten() >= 0).nonzero()[:, 0]
    known = F.one_hot(fixed.flatten()[cells].long(), max(1, len(state))).T.to(state)
    return lambda state: state.index_copy_(1, cells, known[: len(state)])
