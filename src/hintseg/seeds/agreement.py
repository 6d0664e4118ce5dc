"""Which of the classes of its image a cell shows, found out from many images at once.

The map of a class is high on all that comes with the class: where cows stand on grass, the map of
grass covers the cows. Other images, of grass without cows, know better. A linear classifier of the
features of all cells, trained on what the maps say and then on what it says itself, brings that
knowledge back: expectation-maximisation with sets of possible labels (Jin & Ghahramani, NIPS 2002,
"Learning with multiple labels", section 3), with the maps as a prior.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

BATCH, RATE, DECAY = 8192, 3e-3, 1e-3  # cells of a step, rate and weight decay of AdamW
RAREST = 1e-4  # least share of a class
GREED, SLACK = 4.0, 0.05  # a class may have four times its first share and a little, or a quarter
OWN = 0.5  # weight of a cell by itself; its group has the rest


@dataclass(frozen=True, slots=True)
class Cells:
    """Places of many images, with what is known of each."""

    features: Float[Tensor, "cells dim"]  # any floating type
    prior: Float[Tensor, "cells classes"]  # log-odds, from maps
    possible: Bool[Tensor, "cells classes"]  # one alone is a label; none: the cell is not used
    region: Int[Tensor, " cells"]  # number over all images

    def __len__(self) -> int:
        return len(self.region)

    def where(self, chosen: Bool[Tensor, " cells"]) -> "Cells":
        """Some of the cells."""
        return Cells(
            self.features[chosen], self.prior[chosen], self.possible[chosen], self.region[chosen]
        )


@dataclass(frozen=True, slots=True)
class CellClassifier:
    """Log-odds of the classes by the features of a cell, all classes taken as equally common."""

    mean: Float[Tensor, " dim"]
    deviation: Float[Tensor, " dim"]
    weight: Float[Tensor, "classes dim"]
    bias: Float[Tensor, " classes"]

    def __call__(self, features: Float[Tensor, "cells dim"]) -> Float[Tensor, "cells classes"]:
        """Scores of the cells."""
        normal = (features - self.mean) / self.deviation
        return torch.addmm(self.bias, normal, self.weight.T)


def posterior(
    scores: Float[Tensor, "cells classes"],
    possible: Bool[Tensor, "cells classes"],
    region: Int[Tensor, " cells"],
) -> Float[Tensor, "cells classes"]:
    """Probabilities of the possible classes; a cell has half the say, its region the other.

        q_ic = softmax over the possible c of (s_ic + mean_{j in the region of i} s_jc) / 2

    A cell without a possible class has zeros.
    """
    count = int(region.max()) + 1 if len(region) else 0
    sums = scores.new_zeros(count, scores.shape[1]).index_add_(0, region, scores)
    sizes = torch.bincount(region, minlength=count).clamp(min=1)
    pooled = OWN * scores + (1 - OWN) * (sums / sizes[:, None]).index_select(0, region)
    probabilities = pooled.masked_fill(~possible, -torch.inf).softmax(dim=1)
    return probabilities.masked_fill(~possible, 0.0)


def learn_agreement(
    cells: Cells, *, rounds: int, steps: int = 60, balance: float = 0.5, seed: int = 0
) -> CellClassifier:
    """A classifier of cells that agrees with the prior, and with itself in all images.

    Each round is `steps` steps towards the first line, then the second:

        W, b  <-  argmin -sum_ic q_ic log softmax(W f_i + b)_c
        q_i   <-  posterior(W f_i + b - balance log pi + prior_i),     pi_c = mean_i q_ic

    The term with pi keeps frequent classes from taking all (logit adjustment, Menon et al. 2021,
    arXiv:2007.07314, eq. 9). At first q_i is the posterior of the prior alone. The rounds end
    before one in which a class runs away with what the prior gives to others, or dies.

    Args:
        cells: Of all images.
        rounds: 0: a classifier that says nothing.
        steps: Of each round.
        balance: 0: classes as common as they seem; 1: all equally common.
        seed: Of the choice of cells; equal seeds give equal classifiers.
    """
    cells = cells.where(cells.possible.any(dim=1))
    mean, deviation = _moments(cells.features)
    device, dim, classes = cells.features.device, len(mean), cells.prior.shape[1]
    weight = torch.zeros(classes, dim, device=device, requires_grad=True)
    bias = torch.zeros(classes, device=device, requires_grad=True)
    optimizer = torch.optim.AdamW((weight, bias), lr=RATE, weight_decay=DECAY)
    draws = torch.Generator().manual_seed(seed)
    probabilities = posterior(cells.prior, cells.possible, cells.region)
    first = probabilities.mean(dim=0)  # nan without cells: nothing runs away then
    kept = CellClassifier(mean, deviation, torch.zeros_like(weight), torch.zeros_like(bias))
    for _ in range(rounds if len(cells) else 0):
        log_shares = probabilities.mean(dim=0).clamp(min=RAREST).log()
        for _ in range(steps):
            chosen = torch.randint(len(cells), (BATCH,), generator=draws).to(device)
            normal = (cells.features[chosen].float() - mean) / deviation
            loss = F.cross_entropy(F.linear(normal, weight, bias), probabilities[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        even = bias.detach() - balance * log_shares
        classifier = CellClassifier(mean, deviation, weight.detach(), even)
        scores = torch.cat([classifier(part.float()) for part in _parts(cells.features)])
        probabilities = posterior(scores + cells.prior, cells.possible, cells.region)
        if runs_away(probabilities.mean(dim=0), first):
            break
        kept = CellClassifier(mean, deviation, weight.detach().clone(), even)
    return kept


def runs_away(shares: Float[Tensor, " classes"], first: Float[Tensor, " classes"]) -> bool:
    """Whether a class takes much more than its maps support, or dies although they speak for it.

    Example:
        >>> import torch
        >>> runs_away(torch.tensor([0.9, 0.1]), torch.tensor([0.2, 0.8]))
        True
    """
    takes = shares > GREED * first + SLACK
    dies = (first > SLACK) & (shares < first / GREED)
    return bool((takes | dies).any())


def _parts(features: Float[Tensor, "cells dim"]) -> list[Tensor]:
    return [features[first : first + BATCH] for first in range(0, len(features), BATCH)]


def _moments(
    features: Float[Tensor, "cells dim"],
) -> tuple[Float[Tensor, " dim"], Float[Tensor, " dim"]]:
    """Mean and standard deviation of each feature in float32; the latter is never zero."""
    count = max(1, len(features))
    mean = torch.zeros(features.shape[1], device=features.device)
    squares = mean.clone()
    for part in _parts(features):
        mean += part.float().sum(dim=0) / count
    for part in _parts(features):
        squares += (part.float() - mean).square().sum(dim=0) / count
    return mean, squares.sqrt() + 1e-4
