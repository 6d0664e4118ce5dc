"""A mask as its body and its detail, or as its edge: what the label decoupling of LDF learns from.

Source: Wei et al., "Label Decoupling Framework for Salient Object Detection", CVPR 2020
(arXiv:2008.11048), section 3.2.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from hintseg.errors import ConfigError

Mask = Bool[np.ndarray, "height width"]
Shares = Float[np.ndarray, "height width"]

BLUR = 5  # pixels of the side of the box that the released code blurs a mask with
TOUCHING = np.ones((3, 3), dtype=bool)  # pixels that share a corner are of one component


def body_and_detail(
    mask: Mask, *, gamma: float = 0.5, released: bool = False, per_component: bool = False
) -> tuple[Shares, Shares]:
    """How deep inside an object each pixel lies, and the rest of the mask.

        body = mask (d / max d)^gamma        detail = mask - body

    where d is the Euclidean distance of a pixel to the nearest one outside of the mask and the
    maximum is that of the image. `body + detail` is the mask, and both are 0 outside of it. A mask
    without outside is all body; an empty one has neither.

    Args:
        mask: Which pixels are of an object.
        gamma: 1 as published (section 3.2), 0.5 as released, where details are thinner.
        released: As the released code: the mask is blurred with a box of 5 x 5 pixels first, so
            that the body reaches 2 pixels beyond it (there the detail is 0, not negative), and the
            body is rounded down to steps of 1/255. OpenCV's distance is not quite Euclid's: its
            body differs by a few steps.
        per_component: Maxima of the connected parts of the mask (also by corners), so that a small
            object beside a large one has a body of the same depth.

    Returns:
        Body and detail, float32 from 0 to 1.

    Raises:
        ConfigError: gamma is not above 0.

    Example:
        >>> import numpy as np
        >>> mask = np.array([[False, True, True, True, True, True, False]])
        >>> body, detail = body_and_detail(mask, gamma=1.0)
        >>> body.round(2)
        array([[0.  , 0.33, 0.67, 1.  , 0.67, 0.33, 0.  ]], dtype=float32)
        >>> bool((body + detail == mask).all())
        True
    """
    if not 0 < gamma < np.inf:
        raise ConfigError(f"gamma: must be above 0, got {gamma}")
    inside = _blurred(mask) if released else mask
    body = _depths(inside, gamma, per_component=per_component)
    if released:
        body = np.floor(body * 255) / np.float32(255)
    return body, np.maximum(mask - body, np.float32(0))


def edge_of(mask: Mask) -> Shares:
    """The border between object and background: 1 on the pixels on both sides of it, else 0.

    Two pixels are neighbours that share a side; the border of the image is none.

    Example:
        >>> import numpy as np
        >>> edge_of(np.array([[False, False, True, True, True]]))
        array([[0., 1., 1., 0., 0.]], dtype=float32)
    """
    edge = np.zeros(mask.shape, dtype=bool)
    down, across = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    return edge.astype(np.float32)


def _depths(inside: Mask, gamma: float, *, per_component: bool) -> Shares:
    """(d / max d)^gamma inside, 0 outside."""
    # Numba comes with it, which most who import this room do not need.
    from hintseg.hints.distances import component_maxima, squared_distances  # noqa: PLC0415

    if inside.all():
        return np.ones(inside.shape, dtype=np.float32)
    squares = squared_distances(inside).astype(np.float32)
    if per_component:
        parts, _ = ndimage.label(inside, TOUCHING)
        squares /= np.maximum(component_maxima(squares, parts), 1)[parts]
    else:
        squares /= np.maximum(squares.max(initial=0), 1)
    depths = np.sqrt(squares)
    if gamma == 0.5:  # half the time of a power
        return np.sqrt(depths)
    return depths if gamma == 1 else depths ** np.float32(gamma)


def _blurred(mask: Mask) -> Mask:
    """Where a blurred mask of 0 and 255 is not 0: one pixel of it is enough."""
    reached: Mask = ndimage.maximum_filter(mask, size=BLUR, mode="mirror")
    return reached
