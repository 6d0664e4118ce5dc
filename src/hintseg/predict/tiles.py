"""Images of any size in bounded memory: overlapping tiles, blended; output made band by band."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hintseg.errors import ConfigError
from hintseg.memory import is_out_of_memory, memory_named
from hintseg.models.finite import check_scores
from hintseg.predict.views import STRIDE
from hintseg.structures import UNLABELLED, Image, LabelMap

Scorer = Callable[[Float[Tensor, "1 3 height width"]], Float[Tensor, "1 classes rows columns"]]
ALIGNED = 32  # pixels; a tile at a multiple of this sees the strides as the whole image does
OVERLAP = 128  # pixels
SMALLEST = 256  # pixels; smaller tiles would be overlap for the most part
FEWER_VIEWS = (
    "use --scales 1, a smaller --tile, --device cpu, or a machine with more memory; of many "
    "programs on one GPU, end some"
)
BAND_VALUES = 2**20  # numbers in one band of full-resolution scores: 4 MB stay in the cache


def check_tile(tile: int, overlap: int = OVERLAP) -> None:
    """Refuse tiles that could not cover an image.

    Raises:
        ConfigError: A side that is no multiple of 32, or not larger than the overlap.
    """
    if tile % ALIGNED or tile <= overlap:
        raise ConfigError(
            f"tile: must be a multiple of {ALIGNED} pixels and more than {overlap}, got {tile}"
        )


def fitting_scores(
    score: Scorer, image: Image, *, tile: int = 1024
) -> tuple[Float[Tensor, "classes rows columns"], int]:
    """As `tiled_scores`, in smaller tiles where memory does not suffice; with the tile it took.

    The side is halved down to SMALLEST pixels.

    Raises:
        OutOfMemoryError: Not even those fit.
    """
    while True:
        with memory_named(FEWER_VIEWS):
            try:
                return tiled_scores(score, image, tile=tile), tile
            except Exception as error:
                smaller = _smaller(tile, image)
                if smaller is None or not is_out_of_memory(error):
                    raise
        tile = smaller
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # pieces of the wrong size


def _smaller(tile: int, image: Image) -> int | None:
    """Half of a tile, or of an image that is smaller; None: there is none that would help."""
    used = min(tile, max(image.shape[:2]))
    half = used // 2 // ALIGNED * ALIGNED
    return max(half, SMALLEST) if used > SMALLEST else None


def tiled_scores(
    score: Scorer, image: Image, *, tile: int = 1024, overlap: int = OVERLAP
) -> Float[Tensor, "classes rows columns"]:
    """Probabilities at stride 4 of an image, computed tile by tile.

    Where tiles overlap their scores are blended with weights that fall linearly to the tile's edge.
    The grid covers ceil(side / 4) * 4 pixels; the image is continued by its last row and column.
    Sides of tiles are multiples of 32, as are their places, so a tile sees the strides as a whole
    image does.

    Raises:
        ConfigError: Such tiles cannot cover an image.
        NotFiniteError: A score is NaN or infinite.
    """
    check_tile(tile, overlap)
    height, width = image.shape[:2]
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    total: Tensor | None = None
    weight = torch.zeros(rows, columns)
    for top, bottom in _spans(rows * STRIDE, tile, overlap):
        for left, right in _spans(columns * STRIDE, tile, overlap):
            scores = score(_cut(image, top, bottom, left, right))[0].cpu()
            if total is None:
                total = torch.zeros(scores.shape[0], rows, columns)
            fade = torch.outer(
                _fade(top, bottom, rows * STRIDE, overlap),
                _fade(left, right, columns * STRIDE, overlap),
            )
            cells = np.s_[top // STRIDE : bottom // STRIDE, left // STRIDE : right // STRIDE]
            total[:, *cells] += scores * fade
            weight[cells] += fade
    assert total is not None
    check_scores(total)
    return total.div_(weight)


def label_at_resolution(
    scores: Float[Tensor, "classes rows columns"],
    height: int,
    width: int,
    *,
    covered: tuple[int, int],
    stride: int = STRIDE,
    confidence: float = 0.0,
) -> LabelMap:
    """Arg-max of the scores, bilinear at height x width pixels, in bands of rows.

    Args:
        scores: On a grid of cells of stride x stride pixels.
        height: Rows of the result.
        width: Columns of the result.
        covered: Height and width of the scored image; the last cells may reach beyond.
        stride: Side of a cell.
        confidence: Pixels whose highest score is below this, or is 0, are UNLABELLED.
    """
    labels = np.empty((height, width), dtype=np.int16)
    for rows, best, label in _best(scores, (height, width), covered, stride):
        is_sure = (best >= confidence) & (best > 0)
        labels[rows] = label.where(is_sure, UNLABELLED).numpy()
    return labels


def best_at_resolution(
    scores: Float[Tensor, "classes rows columns"],
    height: int,
    width: int,
    *,
    covered: tuple[int, int],
    stride: int = STRIDE,
) -> Float[np.ndarray, "{height} {width}"]:
    """The highest score of each pixel, that of its label; arguments as `label_at_resolution`."""
    found = np.empty((height, width), dtype=np.float32)
    for rows, best, _ in _best(scores, (height, width), covered, stride):
        found[rows] = best.numpy()
    return found


def _best(
    scores: Float[Tensor, "classes rows columns"],
    size: tuple[int, int],
    covered: tuple[int, int],
    stride: int,
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Highest score of each pixel, and whose it is, in bands of rows."""
    height, width = size
    step = max(1, BAND_VALUES // (scores.shape[0] * width))
    down = _coordinates(height, covered[0], stride)
    across = _coordinates(width, covered[1], stride)
    for first in range(0, height, step):
        rows = slice(first, first + step)
        best, label = _lerp(_lerp(scores, down[rows], dim=1), across, dim=2).max(dim=0)
        yield rows, best, label


def scores_at_resolution(
    scores: Float[Tensor, "classes rows columns"],
    height: int,
    width: int,
    *,
    covered: tuple[int, int],
    stride: int = STRIDE,
) -> Float[Tensor, "classes {height} {width}"]:
    """The scores themselves, bilinear at height x width pixels, where `label_at_resolution` is."""
    across = _lerp(scores, _coordinates(width, covered[1], stride), dim=2)
    return _lerp(across, _coordinates(height, covered[0], stride), dim=1)


def _spans(side: int, tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    """First and end of the tiles along one axis; the last ends with the image."""
    start = 0
    while start + tile < side:
        yield start, start + tile
        start += tile - overlap
    yield start, side


def _fade(first: int, end: int, side: int, overlap: int) -> Float[Tensor, " cells"]:
    """Weight of a tile's cells along one axis: 1 inside, falling linearly over the overlaps."""
    centres = torch.arange((end - first) // STRIDE) * STRIDE + STRIDE / 2
    weight = torch.ones_like(centres)
    if first > 0:
        weight = weight.minimum(centres / overlap)
    if end < side:
        weight = weight.minimum((end - first - centres) / overlap)
    return weight


def _cut(image: Image, top: int, bottom: int, left: int, right: int) -> Tensor:
    part = torch.from_numpy(np.ascontiguousarray(image[top:bottom, left:right]))
    part = part.permute(2, 0, 1)[None].float()
    below, beside = bottom - top - part.shape[2], right - left - part.shape[3]
    return F.pad(part, (0, beside, 0, below), mode="replicate") if below or beside else part


def _coordinates(out: int, covered: int, stride: int) -> Float[Tensor, " out"]:
    """Where the centres of the output pixels lie among the cells, as fractional indices."""
    pixels = (torch.arange(out) + 0.5) * (covered / out)
    return pixels / stride - 0.5


def _lerp(values: Tensor, at: Tensor, *, dim: int) -> Tensor:
    """Linear interpolation at fractional indices along one axis, clamped at the ends."""
    at = at.clamp(0, values.shape[dim] - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=values.shape[dim] - 1)
    shape = [-1 if axis == dim else 1 for axis in range(values.ndim)]
    fraction = (at - low).view(shape)
    return (
        values.index_select(dim, low) * (1 - fraction) + values.index_select(dim, high) * fraction
    )
