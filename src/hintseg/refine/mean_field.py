"""Mean field on permutohedral lattices, compiled for a CPU.

One sweep over the pixels does all that is to be done with a pixel while its numbers are in
registers: it takes votes from the vertices around it, makes probabilities of them and gives these
to the same vertices. Numba makes vector instructions of long loops only, a row of classes is a
short one: hence `_Lanes`, eight numbers in one register.

Threads are Python's, each with a range of the pixels and a table of its own to give to. Numba's
own thread pools do not survive a fork, or end the process when two threads use them.

Shape shorthand: rows of values are padded to a multiple of eight classes, the width.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model
from torch import Tensor

from hintseg.cores import compiled
from hintseg.filters.permutohedral import Lattice

LANES = 8
TILE = 256  # pixels whose votes become probabilities at once: they stay in the cache
NO_POWER = -88.0  # exponent whose power is 0 in float32

Array = np.ndarray
Range = tuple[int, int]  # first pixel and past the last
# (pixels, corners): rows of the table, and weights; (pixels): what each would get of itself
Around = tuple[np.ndarray, np.ndarray, np.ndarray]
Rows = Float[Tensor, "pixels classes"]


class _Lanes(types.Type):
    """Numbers that are added at once."""


_LANES = _Lanes("lanes")
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


@register_model(_Lanes)
class _LanesModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, type_: Any) -> None:  # noqa: ANN401
        super().__init__(manager, type_, _VECTOR)


def _address(context: Any, builder: Any, array: tuple[Any, Any], place: Any) -> Any:  # noqa: ANN401
    """Pointer to the lanes at a place of a flat array, given as (type, value)."""
    kind, value = array
    data = context.make_array(kind)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def _load(typing: Any, array: Any, place: Any) -> Any:  # noqa: ANN401
    """The lanes at a place of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        address = _address(context, builder, (signature.args[0], args[0]), args[1])
        return builder.load(address, align=4)

    return _LANES(array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _store(typing: Any, array: Any, place: Any, lanes: Any) -> Any:  # noqa: ANN401
    """Write lanes to a place of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        address = _address(context, builder, (signature.args[0], args[0]), args[1])
        builder.store(args[2], address, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic  # type: ignore[untyped-decorator]
def _add(typing: Any, lanes: Any, factor: Any, others: Any) -> Any:  # noqa: ANN401
    """Lanes and a number times others."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        empty, first = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)(0)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        factors = builder.shuffle_vector(
            builder.insert_element(empty, args[1], first), empty, everywhere
        )
        product = builder.fmul(args[2], factors, flags=("contract",))
        return builder.fadd(args[0], product, flags=("contract",))

    return _LANES(lanes, types.float32, others), generate


@compiled
def _take(pixels: Range, logits: Array, around: Around, table: Array, probabilities: Array) -> None:
    """Votes of a range of pixels, in place of their probabilities."""
    corner, weight, own = around
    width, corners = logits.shape[1], corner.shape[1]
    flat_logits, flat_table, flat_probabilities = (
        logits.ravel(),
        table.ravel(),
        probabilities.ravel(),
    )
    for pixel in range(*pixels):
        for lane in range(0, width, LANES):
            here = pixel * width + lane
            votes = _load(flat_logits, here)
            if own[pixel] != 0:
                votes = _add(votes, -own[pixel], _load(flat_probabilities, here))
            for k in range(corners):
                place = np.int64(corner[pixel, k]) * width + lane
                votes = _add(votes, weight[pixel, k], _load(flat_table, place))
            _store(flat_probabilities, here, votes)


@compiled
def _give(pixels: Range, around: Around, probabilities: Array, table: Array) -> None:
    """Add the probabilities of a range of pixels to the vertices around them."""
    corner, weight, _ = around
    width, corners = probabilities.shape[1], corner.shape[1]
    flat_probabilities, flat_table = probabilities.ravel(), table.ravel()
    for pixel in range(*pixels):
        for lane in range(0, width, LANES):
            given = _load(flat_probabilities, pixel * width + lane)
            for k in range(corners):
                place = np.int64(corner[pixel, k]) * width + lane
                _store(flat_table, place, _add(_load(flat_table, place), weight[pixel, k], given))


@compiled
def _exponentiate(values: Array, exponents: Array) -> None:
    """Powers of e in place, of numbers of 0 or less; 0 below the smallest normal float32.

    2^n e^r with n whole and |r| <= ln(2) / 2, where six terms of the series are enough. The bits
    of 2^n are those of n + 127, shifted; `exponents` is where they are put together.
    """
    powers_of_two = exponents.view(np.float32)
    for i in range(len(values)):
        x = max(values[i], np.float32(NO_POWER))
        n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
        r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)  # ln 2 in two parts
        y = r * np.float32(1 / 720) + np.float32(1 / 120)
        y = y * r + np.float32(1 / 24)
        y = y * r + np.float32(1 / 6)
        y = y * r + np.float32(0.5)
        values[i] = (y * r + np.float32(1)) * r + np.float32(1)
        exponents[i] = (np.int32(n) + np.int32(127)) << np.int32(23)
    for i in range(len(values)):
        values[i] *= powers_of_two[i]


@compiled
def _softmax(votes: Array, exponents: Array) -> None:
    """Shares in place of votes, row by row."""
    for i in range(len(votes)):
        top = votes[i, 0]
        for j in range(votes.shape[1]):
            top = max(top, votes[i, j])
        for j in range(votes.shape[1]):
            votes[i, j] -= top
    _exponentiate(votes.ravel(), exponents)
    for i in range(len(votes)):
        total = np.float32(0)
        for j in range(votes.shape[1]):
            total += votes[i, j]
        for j in range(votes.shape[1]):
            votes[i, j] /= total


@compiled
def _sweep(
    pixels: Range, logits: Array, around: Around, table: Array, probabilities: Array, given: Array
) -> None:
    """New probabilities of a range of pixels, and what they give to the vertices."""
    given[:] = 0
    exponents = np.empty(TILE * logits.shape[1], np.int32)
    for first in range(pixels[0], pixels[1], TILE):
        past = min(first + TILE, pixels[1])
        _take((first, past), logits, around, table, probabilities)
        _softmax(probabilities[first:past], exponents)
        _give((first, past), around, probabilities, given)


@compiled
def _blur(
    classes: Range, given: Array, first: int, beside: Array, table: Array, other: Array
) -> None:
    """What the vertices of one lattice have to give, from what all threads gave them.

    All the classes of a vertex are blurred before the next vertex: what is read is whole lines of
    the cache, as tables of many vertices do not stay in it.

    Args:
        classes: The range of them that is blurred.
        given: (threads, all vertices, width).
        first: Where this lattice begins among all vertices.
        beside: (axes, 2, vertices): numbers of the next and the last vertex along each axis; one
            that is not there is the row behind all others, which is zero.
        table: (vertices + 1, width): the result.
        other: The same, for what is between.
    """
    axes, _, vertices = beside.shape
    threads, rows, width = given.shape
    flat, source, target = given.ravel(), table.ravel(), other.ravel()
    if axes % 2:
        source, target = target, source
    for vertex in range(vertices):
        for lane in range(classes[0], classes[1], LANES):
            place = vertex * width + lane
            total = _load(flat, first * width + place)
            for thread in range(1, threads):
                again = (thread * rows + first) * width + place
                total = _add(total, np.float32(1), _load(flat, again))
            _store(source, place, total)
    half = np.float32(0.5)
    for axis in range(axes):
        for vertex in range(vertices):
            on = np.int64(beside[axis, 0, vertex]) * width
            back = np.int64(beside[axis, 1, vertex]) * width
            for lane in range(classes[0], classes[1], LANES):
                lanes = _load(source, vertex * width + lane)
                lanes = _add(lanes, half, _load(source, on + lane))
                lanes = _add(lanes, half, _load(source, back + lane))
                _store(target, vertex * width + lane, lanes)
        source, target = target, source


def mean_field(logits: Rows, lattices: Sequence[tuple[float, Lattice]], iterations: int) -> Rows:
    """Q after so many updates of all pixels at once.

    Args:
        logits: float32; -inf for a class that a pixel cannot have.
        lattices: Weights and kernels, normalised symmetrically.
        iterations: 0 or more.
    """
    threads, (count, classes) = torch.get_num_threads(), logits.shape
    width = -(-classes // LANES) * LANES
    padded = logits.new_full((count, width), -math.inf)
    padded[:, :classes] = logits
    around, parts = _around(count, lattices), _parts(lattices)
    table, other = np.zeros((2, parts[-1].past, width), np.float32)  # at first nothing is taken
    given = np.empty((threads, len(table), width), np.float32)
    probabilities = torch.zeros_like(padded)
    inputs = padded.numpy(), around, table, probabilities.numpy()
    bounds = [count * i // threads for i in range(threads + 1)]
    several = -(-width // LANES // threads) * LANES
    some_classes = [(c, min(c + several, width)) for c in range(0, width, several)]

    def sweep(thread: int) -> None:
        _sweep((bounds[thread], bounds[thread + 1]), *inputs, given[thread])

    def blur(classes_of_part: tuple[Range, _Part]) -> None:
        classes, part = classes_of_part
        some = slice(part.first, part.past)
        _blur(classes, given, part.first, part.beside, table[some], other[some])

    with ThreadPoolExecutor(threads) as pool:  # starts no thread before it has work
        run = pool.map if threads > 1 else map
        list(run(sweep, range(threads)))
        for _ in range(iterations):
            list(run(blur, product(some_classes, parts)))
            list(run(sweep, range(threads)))
    return probabilities[:, :classes]


@dataclass(frozen=True, slots=True)
class _Part:
    """One lattice among the rows of a table."""

    first: int
    past: int
    beside: Array


def _parts(lattices: Sequence[tuple[float, Lattice]]) -> list[_Part]:
    parts, first = [], 0
    for _, lattice in lattices:
        past = first + lattice.beside.shape[2] + 1  # behind its vertices stands a row of zeros
        parts.append(_Part(first, past, lattice.beside.numpy()))
        first = past
    return parts


def _around(count: int, lattices: Sequence[tuple[float, Lattice]]) -> Around:
    """The vertices of all lattices around all pixels."""
    axes = [len(lattice.beside) for _, lattice in lattices]
    corner = torch.zeros(count, sum(axes), dtype=torch.int32)
    weight, own = torch.zeros(count, sum(axes)), torch.zeros(count)
    row, column = 0, 0
    for (factor, lattice), several in zip(lattices, axes, strict=True):
        root = lattice.left
        assert root is not None
        assert root is lattice.right
        rows = slice(None) if len(lattice.pixels) == count else lattice.pixels
        columns = slice(column, column + several)
        corner[rows, columns] = lattice.slice.column.view(-1, several) + row
        # half of the factors when a pixel gives, half when it takes
        factors = root[rows, None] * math.sqrt(factor * lattice.scale)
        weight[rows, columns] = lattice.slice.weight.view(-1, several) * factors
        if lattice.own is not None:
            own += factor * lattice.own * root.square()
        row, column = row + lattice.beside.shape[2] + 1, column + several
    return corner.numpy(), weight.numpy(), own.numpy()
