"""How well regions follow the objects, and their processor time, beside SLIC and Felzenszwalb.

    python benchmarks/regions.py DATA [--split val] [--json FILE]

At equal mean numbers of regions: boundary recall (share of the boundary pixels of the truth within
2 pixels of a boundary of regions) and achievable segmentation accuracy (ASA: share of the pixels
that lie in a region most of whose pixels are of their class), with the share of pixels that lie on
a boundary of regions, as recall is easily bought with ragged outlines. Void pixels do not count;
boundaries run through the middle of a void seam of up to 10 pixels. Prints Markdown, then JSON.
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.data import astronaut
from skimage.segmentation import felzenszwalb, slic

from hintseg.data.dataset import open_dataset
from hintseg.regions.partition import edge_map, image_regions, regions_from_edges
from hintseg.resize import fit_size, resize_image, resize_labels

COUNTS = (25, 50, 100, 200)
SIDES = (None, 192)
TOLERANCE = 2  # pixels
SEAM = 5  # pixels: half the widest seam of void that is taken for a boundary
COLUMNS = ("regions", "boundary recall", "ASA", "on boundary", "seconds")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--split", default="val")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for side in SIDES:
        pairs = load(options.data, options.split, side)
        for count in COUNTS:
            rows += [{"side": side, "count": count, **row} for row in compare(pairs, count)]
    found = {"rows": rows, "split": options.split, "large": large(), "machine": machine()}
    print(markdown(rows))
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


def machine() -> dict[str, str]:
    """What the figures depend on."""
    packages = ("higra", "scikit-image", "numpy")
    processor = platform.processor() or platform.machine()
    return {"processor": processor, **{name: version(name) for name in packages}}


def load(data: str, split: str, side: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and truth of a split that have one, brought to a longer side."""
    dataset, pairs = open_dataset(data), []
    for name in filter(dataset.has_mask, dataset.names(split)):
        image, truth = dataset.image(name), dataset.checked_truth(name)
        size = fit_size(*truth.shape, side)
        pairs.append((resize_image(image, *size), resize_labels(truth, *size)))
    return pairs


def compare(pairs: list, count: int):
    """One row for each way to make about `count` regions."""
    for method, cut in (
        ("ours", lambda image, n: image_regions(image, count=n)),
        ("boundary strength", lambda image, n: regions_from_edges(edge_map(image), count=n)),
    ):
        yield {"method": method, **measure(pairs, lambda image, cut=cut: cut(image, count))}
    wanted = count
    for _ in range(3):  # SLIC gives about as many as it is asked for
        row = measure(pairs, lambda image, n=wanted: slic(image, n_segments=n, start_label=0))
        wanted = max(1, round(wanted * count / row["regions"]))
    yield {"method": "SLIC", **row}
    low, high = 1.0, 5000.0
    for _ in range(10):  # larger scales give fewer regions
        scale = float(np.sqrt(low * high))
        row = measure(pairs, lambda image, scale=scale: felzenszwalb(image, scale=scale))
        low, high = (scale, high) if row["regions"] > count else (low, scale)
    yield {"method": "Felzenszwalb", **row}


def measure(pairs: list, cut) -> dict[str, float]:
    """Means over all images; boundary pixels and pixels weigh the same wherever they are."""
    sums, seconds = np.zeros(6), []
    for image, truth in pairs:
        began = time.process_time()
        found = cut(image)
        seconds.append(time.process_time() - began)
        sums += score(found, truth)
    hits, edge, pure, known, count, on_boundary = sums
    values = (count / len(pairs), hits / edge, pure / known, on_boundary / len(pairs))
    return {
        **{key: round(float(value), 4) for key, value in zip(COLUMNS, values, strict=False)},
        "seconds": round(float(np.median(seconds)), 4),
    }


def score(found: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """Boundary pixels found, all; pure pixels, all; regions; share of pixels on a boundary."""
    gap, nearest = ndimage.distance_transform_edt(truth < 0, return_indices=True)
    wanted = boundary(truth[tuple(nearest)]) & (gap <= SEAM)
    drawn = boundary(found)
    reach = ndimage.distance_transform_edt(~drawn) if drawn.any() else np.full(drawn.shape, np.inf)
    known = truth >= 0
    classes = int(truth.max()) + 1
    votes = np.bincount(
        found[known] * classes + truth[known], minlength=classes * (found.max() + 1)
    )
    pure = votes.reshape(-1, classes).max(axis=1).sum()
    hits = (reach[wanted] <= TOLERANCE).sum()
    return hits, wanted.sum(), pure, known.sum(), found.max() + 1, drawn.mean()


def boundary(labels: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour below or to the right of another label, and that neighbour."""
    result = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) != 0
        result |= np.pad(step, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
        result |= np.pad(step, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
    return result


def large() -> dict[str, float]:
    """Seconds for a photograph of 500 x 375, the fastest of ten."""
    image, times = resize_image(astronaut(), 375, 500), []
    for _ in range(10):
        began = time.process_time()
        image_regions(image)
        times.append(time.process_time() - began)
    return {"seconds_500x375": round(min(times), 3)}


def markdown(rows: list[dict]) -> str:
    """The rows as a table."""
    head = ("longer side", "method", *COLUMNS)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = (row["side"] or "full", row["method"], *(row[column] for column in COLUMNS))
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
