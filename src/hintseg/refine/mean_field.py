"""Mean field on permutohedral lattices, compiled for a CPU.

One sweep over the pixels does all that is to be done with a pixel while its numbers are in
registers: it takes votes from the vertices around it, makes shares of them and gives these to the
same vertices. Numba makes vector instructions of long loops only, a row of classes is a short one:
hence `_Lanes`, eight numbers in one register.

Threads are Python's, each with a range of the pixels and a table of its own to give to. Numba's
own thread pools do not survive a fork, or end the process when two threads use them.

Shape shorthand: rows of values are padded to a multiple of eight classes, the width.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from inspect import unwrap
from math import inf
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
import torch
from jaxtyping import Float
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model
from torch import Tensor

from hintseg.permutohedral import Lattice

LANES = 8
TILE = 32  # pixels whose votes become shares at once: they stay in the fastest cache
NO_POWER = -88.0  # exponent whose power is 0 in float32

Array = np.ndarray
Range = tuple[int, int]  # first pixel and past the last
Rows = Float[Tensor, "pixels classes"]
P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compiled at the first call, and kept on disk where that is possible."""
    raw = unwrap(function)  # what checks types at run time cannot be compiled
    settings = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        found: Callable[P, T] = numba.njit(cache=True, **settings)(raw)
    except RuntimeError:  # no folder to write to
        found = numba.njit(**settings)(raw)
    return found


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
def _take(
    pixels: Range,
    logits: Array,
    own: Array,
    corner: Array,
    weight: Array,
    table: Array,
    shares: Array,
) -> None:
    """Votes of a range of pixels, in place of their shares."""
    width, corners = logits.shape[1], corner.shape[1]
    flat_logits, flat_table, flat_shares = logits.ravel(), table.ravel(), shares.ravel()
    for pixel in range(*pixels):
        for lane in range(0, width, LANES):
            here = pixel * width + lane
            votes = _load(flat_logits, here)
            if own[pixel] != 0:
                votes = _add(votes, -own[pixel], _load(flat_shares, here))
            for k in range(corners):
                vertex = np.int64(corner[pixel, k])
                votes = _add(votes, weight[pixel, k], _load(flat_table, vertex * width + lane))
            _store(flat_shares, here, votes)


@compiled
def _give(pixels: Range, corner: Array, weight: Array, shares: Array, table: Array) -> None:
    """Add the shares of a range of pixels to the vertices around them."""
    width, corners = shares.shape[1], corner.shape[1]
    flat_shares, flat_table = shares.ravel(), table.ravel()
    for pixel in range(*pixels):
        for lane in range(0, width, LANES):
            given = _load(flat_shares, pixel * width + lane)
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
    pixels: Range,
    logits: Array,
    own: Array,
    corner: Array,
    weight: Array,
    table: Array,
    shares: Array,
    given: Array,
) -> None:
    """New shares of a range of pixels, and what they give to the vertices."""
    exponents = np.empty(TILE * logits.shape[1], np.int32)
    for first in range(pixels[0], pixels[1], TILE):
        past = min(first + TILE, pixels[1])
        _take((first, past), logits, own, corner, weight, table, shares)
        _softmax(shares[first:past], exponents)
        _give((first, past), corner, weight, shares, given)


@compiled
def _blur(
    given: Array, first: int, beside: Array, factor: np.float32, table: Array, other: Array
) -> None:
    """What the vertices of one lattice have to give, from what all threads gave them.

    Args:
        given: (threads, vertices, width); the part of this lattice, from `first`, becomes zero.
        first: See above.
        beside: (axes, 2, vertices): numbers of the next and the last vertex along each axis; one
            that is not there is the row behind all others, which stays zero.
        factor: What everything is multiplied by.
        table: (vertices + 1, width): the result.
        other: The same, for what is between.
    """
    axes, _, vertices = beside.shape
    threads, rows, width = given.shape
    source, target = table.ravel(), other.ravel()
    if axes % 2:
        source, target = target, source
    flat = given.ravel()
    for place in range(vertices * width):
        total = np.float32(0)
        for thread in range(threads):
            there = (thread * rows + first) * width + place
            total += flat[there]
            flat[there] = 0
        source[place] = factor * total
    half = np.float32(0.5)
    for axis in range(axes):
        for vertex in range(vertices):
            on, back = np.int64(beside[axis, 0, vertex]), np.int64(beside[axis, 1, vertex])
            for lane in range(0, width, LANES):
                lanes = _load(source, vertex * width + lane)
                lanes = _add(lanes, half, _load(source, on * width + lane))
                lanes = _add(lanes, half, _load(source, back * width + lane))
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
    padded = logits.new_full((count, width), -inf)
    padded[:, :classes] = logits
    around = _around(count, lattices)
    rows = sum(part.vertices + 1 for part in around.parts)
    # zeros: the first sweep takes nothing
    table, other = np.zeros((2, rows, width), np.float32)
    given = np.zeros((threads, rows, width), np.float32)
    shares = torch.zeros_like(padded)
    inputs = padded.numpy(), around.own, around.corner, around.weight, table, shares.numpy()
    bounds = [count * i // threads for i in range(threads + 1)]

    def sweep(thread: int) -> None:
        _sweep((bounds[thread], bounds[thread + 1]), *inputs, given[thread])

    def blur(part: _Part) -> None:
        some = slice(part.first, part.first + part.vertices + 1)
        _blur(given, part.first, part.beside, part.factor, table[some], other[some])

    with ThreadPoolExecutor(threads) as pool:  # starts none before it is asked to
        run = pool.map if threads > 1 else map
        list(run(sweep, range(threads)))
        for _ in range(iterations):
            list(run(blur, around.parts))
            list(run(sweep, range(threads)))
    return shares[:, :classes]


@dataclass(frozen=True, slots=True)
class _Part:
    """One lattice among the rows of a table."""

    first: int
    vertices: int  # behind them stands one row of zeros
    beside: np.ndarray
    factor: np.float32


@dataclass(frozen=True, slots=True)
class _Around:
    """The vertices of all lattices around all pixels."""

    parts: list[_Part]
    corner: np.ndarray  # (pixels, corners): rows of the table
    weight: np.ndarray  # (pixels, corners)
    own: np.ndarray  # (pixels): what each would get of itself and does not


def _around(count: int, lattices: Sequence[tuple[float, Lattice]]) -> _Around:
    axes = [len(lattice.beside) for _, lattice in lattices]
    corner = torch.zeros(count, sum(axes), dtype=torch.int32)
    weight, own = torch.zeros(count, sum(axes)), torch.zeros(count)
    parts, row, column = [], 0, 0
    for (factor, lattice), several in zip(lattices, axes, strict=True):
        root = lattice.left
        assert root is not None
        assert root is lattice.right
        rows = slice(None) if len(lattice.pixels) == count else lattice.pixels
        columns = slice(column, column + several)
        corner[rows, columns] = lattice.slice.column.view(-1, several) + row
        weight[rows, columns] = lattice.slice.weight.view(-1, several) * root[rows, None]
        if lattice.own is not None:
            own += factor * lattice.own * root.square()
        beside = lattice.beside.numpy()
        parts.append(_Part(row, beside.shape[2], beside, np.float32(factor * lattice.scale)))
        row, column = row + beside.shape[2] + 1, column + several
    return _Around(parts, corner.numpy(), weight.numpy(), own.numpy())
