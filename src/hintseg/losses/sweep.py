"""One pass over all pairs of pixel and segment: a contrastive loss and its gradients.

The loss is a log-ratio of two sums over segments, one attracting and one repelling:

    L_i = log(1 + R_i / A_i),    A_i, R_i = sums of exp(kappa e_i.p_j)
    dL_i/de_i = kappa R_i / (A_i + R_i) (mean of the repelling p_j - mean of the attracting p_j)

where the means are weighted with the terms of the sums. Pixels are taken in order of group, a
block of them at a time, so that the segments of each side are the same for the whole block; in a
block, a tile of rows sees all its segments at once and stays in the cache. Therefore one
exponential and three matrix products give the loss and all gradients, and nothing is kept.
"""

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from hintseg.cores import spread
from hintseg.losses.sides import OtherSegments, OwnSegment

Block = tuple[Tensor, Tensor, Tensor]  # pixels, their place among the groups, these groups

_TILE = {"cpu": 2**20}  # similarities in one tile: 4 MB in float32 stay in the cache
_TILE_ELSEWHERE = 2**26  # enough work to fill a GPU
_ALONE = {"cpu": 2**16}  # similarities of a group that make a block of its own worth while
_ALONE_ELSEWHERE = 2**24
_LANES = 16  # rows of work that any number of threads share: what is computed depends on no thread
_MERGED = 4  # smaller groups share a block up to this many times as large


@dataclass(frozen=True, slots=True)
class PairTable:
    """Who attracts and who repels whom; without a table of attraction, the own segment alone."""

    own: Int[Tensor, " pixels"]
    pixel_group: Int[Tensor, " pixels"]
    segment_group: Int[Tensor, " segments"]
    attract: Bool[Tensor, "groups groups"] | None
    repel: Bool[Tensor, "groups groups"]


class PairSweep:
    """One pass over all pixels: losses, and where needed the gradients of their sum."""

    def __init__(
        self,
        embeddings: Tensor,
        prototypes: Tensor,
        relation: PairTable,
        concentration: float,
        needed: bool,
    ) -> None:
        self.embeddings, self.prototypes = embeddings, prototypes
        self.relation, self.concentration, self.needed = relation, concentration, needed
        self.losses = embeddings.new_zeros(len(embeddings))
        self.counts = torch.zeros_like(relation.own, dtype=torch.bool)
        if needed:
            self.pixel_gradient = torch.zeros_like(embeddings)
            self.segment_gradient = torch.zeros_like(prototypes)

    def run(self) -> None:
        """Visit every block of pixels."""
        if not len(self.embeddings) or not len(self.prototypes):
            return
        kernels = _kernels(self.embeddings.device)
        if kernels and self._fits(kernels):
            self._all_at_once(kernels)
            return
        kind = self.embeddings.device.type
        self.tile = _TILE.get(kind, _TILE_ELSEWHERE)
        alone = -(-_ALONE.get(kind, _ALONE_ELSEWHERE) // len(self.prototypes))
        blocks = list(_blocks(self.relation.pixel_group, alone))
        if kind != "cpu":
            self._add(self._lane(blocks))
            return
        pairs = sum(len(block[0]) for block in blocks) * len(self.prototypes)
        lanes = _lanes(blocks, min(_LANES, -(-pairs // self.tile)))
        for gradient in spread(lambda lane: self._lane(lanes[lane]), len(lanes)):
            self._add(gradient)

    def _fits(self, kernels: ModuleType) -> bool:
        """Whether the kernels can do it; without a group there is nothing for them to read."""
        return (
            len(self.relation.repel) > 0
            and self.embeddings.dtype == torch.float32
            and self.embeddings.shape[1] <= kernels.WIDEST
            and self.embeddings.device == self.prototypes.device
        )

    def _all_at_once(self, kernels: ModuleType) -> None:
        """Let a GPU's own kernels visit all pairs."""
        relation, choices = self.relation, None
        grouped = relation.pixel_group >= 0
        if relation.attract is None:
            pixels = grouped.nonzero()[:, 0]
            pixels = pixels[self._own_has_group(pixels)]
        else:
            choices = _choices(relation.attract, relation.segment_group)
            pixels = (grouped & (choices[relation.pixel_group] > 0)).nonzero()[:, 0]
        if not len(pixels):
            return
        bits = relation.repel.to(torch.uint8) * 2
        bits = bits if relation.attract is None else bits | relation.attract.to(torch.uint8)
        groups = relation.pixel_group[pixels], relation.segment_group
        pairs = kernels.Pairs(relation.own[pixels], *groups, bits, choices)
        sums = kernels.sums_of_pairs(
            self.embeddings[pixels],
            self.prototypes,
            pairs,
            concentration=self.concentration,
            needed=self.needed,
        )
        self.losses[pixels] = sums.losses
        self.counts[pixels] = True
        if self.needed:
            self.pixel_gradient[pixels] = sums.pixel_gradient
            self.segment_gradient += sums.segment_gradient

    def _lane(self, blocks: list[Block]) -> Tensor | None:
        """Visit some blocks, one after the other; what they add to the gradient of the segments."""
        gradient = torch.zeros_like(self.prototypes) if self.needed else None
        pairs = 2 * len(self.prototypes)  # of one row: a segment may be on both sides
        most = max(pairs, min(self.tile, len(self.embeddings) * pairs))
        cells = self.embeddings.new_empty(most + 2)
        with torch.autocast(self.embeddings.device.type, enabled=False):  # exponents need it all
            for block in blocks:
                self._block(*block, cells, gradient)
        return gradient

    def _add(self, gradient: Tensor | None) -> None:
        if gradient is not None:
            self.segment_gradient += gradient

    def _block(
        self,
        pixels: Tensor,
        row_group: Tensor,
        groups: Tensor,
        cells: Tensor,
        gradient: Tensor | None,
    ) -> None:
        """Pixels of a few groups, with the segments that any of these groups is related to."""
        relation, prototypes = self.relation, self.prototypes
        repelled = _related(relation.repel, groups, relation.segment_group)
        toward: OwnSegment | OtherSegments
        if relation.attract is None:
            pixels, row_group = _kept(self._own_has_group(pixels), pixels, row_group)
            toward = OwnSegment(prototypes, relation.own[pixels])
        else:
            attracted = _related(relation.attract, groups, relation.segment_group)
            choice = attracted.sum(1)  # an own segment without alternative stays
            pixels, row_group = _kept(choice[row_group] > 0, pixels, row_group)
            left_out = relation.own[pixels].masked_fill(choice[row_group] == 1, -1)
            toward = OtherSegments(prototypes, attracted, row_group, left_out)
        if not len(pixels):
            return
        away = OtherSegments(prototypes, repelled, row_group, relation.own[pixels])
        for rows in _tiles(len(pixels), self.tile // max(1, toward.width + away.width)):
            self._tile(pixels[rows], rows, toward, away, cells)
        self.counts[pixels] = True
        if gradient is not None:
            toward.hand_over(gradient)
            away.hand_over(gradient)

    def _own_has_group(self, pixels: Tensor) -> Tensor:
        own = self.relation.own[pixels]
        return (own >= 0) & (self.relation.segment_group[own] >= 0)

    def _tile(
        self,
        pixels: Tensor,
        rows: slice,
        toward: OwnSegment | OtherSegments,
        away: OtherSegments,
        cells: Tensor,
    ) -> None:
        """A few rows that see all their segments at once."""
        scaled = self.embeddings.index_select(0, pixels).mul_(self.concentration)
        cut = len(pixels) * toward.width + 1
        difference = away.log_sum(scaled, rows, cells[cut:])
        difference -= toward.log_sum(scaled, rows, cells[:cut])
        self.losses.index_copy_(0, pixels, -F.logsigmoid(-difference))
        if not self.needed:
            return
        share = difference.sigmoid()[:, None]
        pull = (away.mean() - toward.mean()).mul_(share * self.concentration)
        self.pixel_gradient.index_copy_(0, pixels, pull)
        scaled.mul_(share)
        away.collect(scaled)
        toward.collect(scaled.neg_())


@functools.cache
def _kernels(device: torch.device) -> ModuleType | None:
    """Kernels for a GPU of NVIDIA with bfloat16, where Triton can build them."""
    if device.type != "cuda" or torch.version.cuda is None or not find_spec("triton"):
        return None
    if torch.cuda.get_device_capability(device) < (8, 0):
        return None
    from hintseg.losses import fused  # noqa: PLC0415 (Triton is not there on every system)

    try:
        fused.try_out(device)
    except Exception as error:  # a compiler that is missing is told in many ways
        remark = f"the loss runs without its GPU kernels, Triton cannot build them: {error}"
        warnings.warn(remark, RuntimeWarning, stacklevel=2)
        return None
    return fused


def _choices(attract: Tensor, segment_group: Tensor) -> Tensor:
    """How many segments attract each group; one for group -1 as well, at the end."""
    known = segment_group[segment_group >= 0]
    counts = attract.new_zeros(len(attract), dtype=torch.float32)
    counts.index_add_(0, known, torch.ones_like(known, dtype=torch.float32))
    return F.pad((attract.float() @ counts).long(), (0, 1))


def _blocks(pixel_group: Tensor, alone: int) -> Iterator[Block]:
    """Pixels of one large group or of several small ones; their place among the groups; these.

    A group of `alone` pixels is large.
    """
    order = pixel_group.argsort(stable=True)
    groups, place, counts = torch.unique_consecutive(
        pixel_group[order], return_inverse=True, return_counts=True
    )
    first = begin = 0  # of the block: group and row
    row = 0
    sizes = counts.tolist()
    unknown = int((groups < 0).sum())
    for group, size in enumerate(sizes):
        row += size
        if group < unknown:
            first, begin = group + 1, row
            continue
        last = group + 1 == len(sizes)
        if last or row - begin >= _MERGED * alone or size >= alone or sizes[group + 1] >= alone:
            yield order[begin:row], place[begin:row] - first, groups[first : group + 1]
            first, begin = group + 1, row


def _lanes(blocks: list[Block], count: int) -> list[list[Block]]:
    """The blocks in so many rows with about as many pixels each; blocks are cut where it fits."""
    total, done = sum(len(block[0]) for block in blocks), 0
    lanes: list[list[Block]] = [[] for _ in range(count)]
    for pixels, row_group, groups in blocks:
        first = 0
        while first < len(pixels):
            lane = (done * count) // total
            end = min(len(pixels), first + -(-total * (lane + 1) // count) - done)
            lanes[lane].append((pixels[first:end], row_group[first:end], groups))
            done += end - first
            first = end
    return lanes


def _related(table: Tensor, groups: Tensor, segment_group: Tensor) -> Tensor:
    """Which segments (columns) are related to which of the groups (rows)."""
    known = segment_group >= 0
    if not len(table):
        return known.new_zeros(len(groups), len(segment_group))
    rows = table.index_select(0, groups).index_select(1, segment_group.clamp(min=0))
    return rows & known


def _kept(keep: Tensor, pixels: Tensor, row_group: Tensor) -> tuple[Tensor, Tensor]:
    return pixels[keep], row_group[keep]


def _tiles(count: int, height: int) -> Iterator[slice]:
    """Even slices of at most `height` rows, at least 1."""
    steps = -(-count // max(1, height))
    for step in range(steps):
        yield slice(count * step // steps, count * (step + 1) // steps)
