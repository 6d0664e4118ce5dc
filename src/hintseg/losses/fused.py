"""The contrastive loss on a GPU in three Triton kernels: no similarity leaves its multiprocessor.

One kernel gives the logarithms of both sums of each pixel. With them the weight of every pair,

    w_ij = R_i / (A_i + R_i) (r_ij / R_i - a_ij / A_i),    a_ij, r_ij = terms of the two sums,

is known at once: one kernel sums it over segments (gradient of the pixels), one over pixels
(gradient of the segments), and each computes the similarities anew. Vectors are split into two
bfloat16 parts; three products of parts hold 16 bits of precision and run on the matrix units.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

WIDEST = 128  # longer vectors do not fit into a multiprocessor

_LOWEST = tl.constexpr(-3.0e38)  # the logarithm of an empty sum: finite, so that nothing is NaN
_PART = torch.bfloat16  # half a float32's precision, all of its range
_NARROWEST = 16  # a matrix unit takes no shorter vectors
_PARTS = 8  # of the pixels: their sums over segments run side by side and are added in order


class Pairs(NamedTuple):
    """Which of the pixels and segments attract and repel each other.

    `bits` of [pixel's group, segment's group]: 1 attracts, 2 repels. Without `choices` a pixel's
    own segment alone attracts it; else its own does where `choices` of its group is 1.
    """

    own: Tensor
    pixel_group: Tensor
    segment_group: Tensor
    bits: Tensor
    choices: Tensor | None


class Sums(NamedTuple):
    """The loss of each pixel, and the gradients of the sum of all."""

    losses: Tensor
    pixel_gradient: Tensor | None
    segment_gradient: Tensor | None


def sums_of_pairs(
    embeddings: Tensor, prototypes: Tensor, pairs: Pairs, *, concentration: float, needed: bool
) -> Sums:
    """Losses, and where `needed` the gradients, of pixels that all count.

    `embeddings` (pixels, dim) and `prototypes` (segments, dim): float32 on one GPU, dim at most
    `WIDEST`.
    """
    pixels, segments = len(embeddings), len(prototypes)
    width = max(_NARROWEST, triton.next_power_of_2(embeddings.shape[1]))
    shape = _shape(width)
    vectors = *_split(embeddings * concentration, width), *_split(prototypes, width)
    told = _told(pairs)
    toward, away = embeddings.new_empty(2, pixels)
    sizes = pixels, segments, len(pairs.bits)
    shape |= {"WIDTH": width, "OWN": pairs.choices is None}
    with torch.cuda.device(embeddings.device):
        grid = (triton.cdiv(pixels, shape["ROWS"]),)
        _log_sums[grid](*vectors, *told, *sizes, toward, away, **shape)
        difference = away - toward
        losses = -F.logsigmoid(-difference)
        if not needed:
            return Sums(losses, None, None)
        row = toward, away, difference.sigmoid()
        pull = embeddings.new_empty(pixels, width)
        _pixel_gradients[grid](*vectors, *told, *sizes, *row, pull, **shape)
        shares = prototypes.new_empty(_PARTS, segments, width)
        blocks = triton.cdiv(segments, shape["COLUMNS"]), _PARTS
        _segment_gradients[blocks](*vectors, *told, *sizes, *row, shares, **shape)
    dim = embeddings.shape[1]
    return Sums(losses, pull[:, :dim] * concentration, shares.sum(0)[:, :dim])


def try_out(device: torch.device) -> None:
    """Build and run the kernels once: whatever this raises, they cannot be used."""
    vectors = torch.eye(2, _NARROWEST, device=device)
    number = torch.arange(2, device=device)
    bits = torch.tensor([[1, 2], [2, 1]], dtype=torch.uint8, device=device)
    pairs = Pairs(number, number, number, bits, torch.ones_like(number))
    sums_of_pairs(vectors, vectors, pairs, concentration=1.0, needed=True)
    torch.cuda.synchronize(device)


def _shape(width: int) -> dict[str, int]:
    """Tiles that fit into the 99 KB of a small GPU's multiprocessor."""
    if width < WIDEST:
        return {"ROWS": 64, "COLUMNS": 128, "num_warps": 4, "num_stages": 2}
    return {"ROWS": 64, "COLUMNS": 32, "num_warps": 4, "num_stages": 2}


def _split(vectors: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Two parts whose sum is the vectors, filled up with zeros."""
    vectors = F.pad(vectors, (0, width - vectors.shape[1]))
    high = vectors.to(_PART)
    return high, (vectors - high).to(_PART)


def _told(pairs: Pairs) -> tuple[Tensor, ...]:
    """What the kernels read of each pixel and segment, in the types that they read."""
    alone = torch.zeros_like(pairs.own, dtype=torch.uint8)
    if pairs.choices is not None:
        alone = (pairs.choices[pairs.pixel_group] == 1).to(torch.uint8)
    numbers = pairs.own, pairs.pixel_group, pairs.segment_group
    return *(number.int().contiguous() for number in numbers), alone, pairs.bits.contiguous()


@triton.jit
def _vectors(high, low, place, count, WIDTH: tl.constexpr):
    """Both parts of some vectors; zeros beyond the last."""
    cell = place[:, None].to(tl.int64) * WIDTH + tl.arange(0, WIDTH)[None, :]
    there = (place < count)[:, None]
    return tl.load(high + cell, mask=there, other=0.0), tl.load(low + cell, mask=there, other=0.0)


@triton.jit
def _product(left_high, left_low, right_high, right_low):
    """The matrix product of two sums of parts, without the product of both low parts."""
    small = tl.dot(left_high, right_low, tl.dot(left_low, right_high))
    return tl.dot(left_high, right_high, small)


@triton.jit
def _weighted(weights, high, low):
    """Sums of vectors with the weights of each row."""
    weights_high = weights.to(high.dtype)
    weights_low = (weights - weights_high.to(tl.float32)).to(high.dtype)
    return _product(weights_high, weights_low, high, low)


@triton.jit
def _pixel(own, group, alone, place, count):
    """Own segment, group and whether the own segment attracts; -1 beyond the last."""
    there = place < count
    return (
        tl.load(own + place, mask=there, other=-1),
        tl.load(group + place, mask=there, other=-1),
        tl.load(alone + place, mask=there, other=0) > 0,
    )


@triton.jit
def _sides(
    bits,
    groups,
    own,
    pixel_group,
    alone,
    segment,
    segment_group,
    OWN: tl.constexpr,
):
    """Whether the segment of each pair attracts the pixel, and whether it repels it."""
    known = (pixel_group >= 0) & (pixel_group < groups) & (segment_group >= 0)
    bit = tl.load(bits + pixel_group * groups + segment_group, mask=known, other=0)
    another = own != segment
    if OWN:
        toward = own == segment
    else:
        toward = ((bit & 1) > 0) & (alone | another)
    return toward, ((bit & 2) > 0) & another


@triton.jit
def _weights(similar, toward, away, log_toward, log_away, share):
    """Of each pair: how much it adds to the gradient."""
    attract = tl.exp(tl.where(toward, similar - log_toward, -float("inf")))
    repel = tl.exp(tl.where(away, similar - log_away, -float("inf")))
    return share * (repel - attract)


@triton.jit
def _log_sums(
    pixel_high,
    pixel_low,
    segment_high,
    segment_low,
    own,
    pixel_group,
    segment_group,
    alone,
    bits,
    pixels,
    segments,
    groups,
    log_toward,
    log_away,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    OWN: tl.constexpr,
):
    """Logarithms of the sums of both sides, a block of pixels a program."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    high, low = _vectors(pixel_high, pixel_low, row, pixels, WIDTH)
    mine, group, lonely = _pixel(own, pixel_group, alone, row, pixels)
    peak_toward = tl.full((ROWS,), _LOWEST, tl.float32)
    peak_away = tl.full((ROWS,), _LOWEST, tl.float32)
    sum_toward = tl.zeros((ROWS,), tl.float32)
    sum_away = tl.zeros((ROWS,), tl.float32)
    for first in range(0, segments, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        other_high, other_low = _vectors(segment_high, segment_low, column, segments, WIDTH)
        similar = _product(high, low, tl.trans(other_high), tl.trans(other_low))
        other = tl.load(segment_group + column, mask=column < segments, other=-1)
        toward, away = _sides(
            bits,
            groups,
            mine[:, None],
            group[:, None],
            lonely[:, None],
            column[None, :],
            other[None, :],
            OWN,
        )
        peak_toward, sum_toward = _added(similar, toward, peak_toward, sum_toward)
        peak_away, sum_away = _added(similar, away, peak_away, sum_away)
    there = row < pixels
    # a sum is below 1 only where it has no terms
    tl.store(log_toward + row, peak_toward + tl.log(tl.maximum(sum_toward, 1.0)), mask=there)
    tl.store(log_away + row, peak_away + tl.log(tl.maximum(sum_away, 1.0)), mask=there)


@triton.jit
def _added(similar, side, peak, total):
    """The greatest exponent and the sum relative to it, with the pairs of a tile."""
    exponent = tl.where(side, similar, -float("inf"))
    higher = tl.maximum(peak, tl.max(exponent, 1))
    terms = tl.exp(exponent - higher[:, None])
    return higher, total * tl.exp(peak - higher) + tl.sum(terms, 1)


@triton.jit
def _pixel_gradients(
    pixel_high,
    pixel_low,
    segment_high,
    segment_low,
    own,
    pixel_group,
    segment_group,
    alone,
    bits,
    pixels,
    segments,
    groups,
    log_toward,
    log_away,
    share,
    gradient,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    OWN: tl.constexpr,
):
    """Weighted sums of the prototypes, a block of pixels a program."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < pixels
    high, low = _vectors(pixel_high, pixel_low, row, pixels, WIDTH)
    mine, group, lonely = _pixel(own, pixel_group, alone, row, pixels)
    above = tl.load(log_toward + row, mask=there, other=0.0)[:, None]
    below = tl.load(log_away + row, mask=there, other=0.0)[:, None]
    part = tl.load(share + row, mask=there, other=0.0)[:, None]
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for first in range(0, segments, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        other_high, other_low = _vectors(segment_high, segment_low, column, segments, WIDTH)
        similar = _product(high, low, tl.trans(other_high), tl.trans(other_low))
        other = tl.load(segment_group + column, mask=column < segments, other=-1)
        toward, away = _sides(
            bits,
            groups,
            mine[:, None],
            group[:, None],
            lonely[:, None],
            column[None, :],
            other[None, :],
            OWN,
        )
        weights = _weights(similar, toward, away, above, below, part)
        total += _weighted(weights, other_high, other_low)
    cell = row[:, None].to(tl.int64) * WIDTH + tl.arange(0, WIDTH)[None, :]
    tl.store(gradient + cell, total, mask=there[:, None])


@triton.jit
def _segment_gradients(
    pixel_high,
    pixel_low,
    segment_high,
    segment_low,
    own,
    pixel_group,
    segment_group,
    alone,
    bits,
    pixels,
    segments,
    groups,
    log_toward,
    log_away,
    share,
    gradient,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    OWN: tl.constexpr,
):
    """Weighted sums of the scaled pixels of a part, a block of segments a program."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    other_high, other_low = _vectors(segment_high, segment_low, column, segments, WIDTH)
    other = tl.load(segment_group + column, mask=column < segments, other=-1)
    total = tl.zeros((COLUMNS, WIDTH), tl.float32)
    begin = tl.program_id(1) * ROWS
    for first in range(begin, pixels, tl.num_programs(1) * ROWS):
        row = first + tl.arange(0, ROWS)
        there = row < pixels
        high, low = _vectors(pixel_high, pixel_low, row, pixels, WIDTH)
        mine, group, lonely = _pixel(own, pixel_group, alone, row, pixels)
        above = tl.load(log_toward + row, mask=there, other=0.0)[None, :]
        below = tl.load(log_away + row, mask=there, other=0.0)[None, :]
        part = tl.load(share + row, mask=there, other=0.0)[None, :]
        similar = _product(other_high, other_low, tl.trans(high), tl.trans(low))
        toward, away = _sides(
            bits,
            groups,
            mine[None, :],
            group[None, :],
            lonely[None, :],
            column[:, None],
            other[:, None],
            OWN,
        )
        weights = _weights(similar, toward, away, above, below, part)
        total += _weighted(weights, high, low)
    cell = tl.program_id(1).to(tl.int64) * segments + column[:, None]
    cell = cell * WIDTH + tl.arange(0, WIDTH)[None, :]
    tl.store(gradient + cell, total, mask=(column < segments)[:, None])
