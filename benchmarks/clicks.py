"""What a click is worth where the studio asks for it: mIoU against number of clicks.

    python benchmarks/clicks.py DATA [--images 40] [--rounds 8] [--seeds 2] [--json FILE]

DATA is a folder with masks. A simulated annotator clicks on a place and says its class as the mask
has it (a place without a class is skipped, the next one is taken); the fast head of the studio on
frozen ImageNet features learns from all clicks, nothing is trained. In a round as many clicks are
made as there are images, in four parts, each after all images were looked at again. Four ways to
choose where:

    chosen     the studio's: images without a click first, then the most doubtful ones; in each the
               middle of its most doubtful window, further ones at least a window away
    image      the same images, at a random pixel: what choosing the place adds
    place      a random image, at its most doubtful place: what choosing the image adds
    random     a random pixel of a random image

Prints mIoU over the pixels of all images (clicked images included: it is their masks that a person
wants) after each round, the mean over seeds, and the standard deviation of the last.
"""

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from hintseg.data.dataset import open_dataset
from hintseg.hints.raster import rasterize
from hintseg.metrics import confusion_of, metrics_of
from hintseg.predict.doubt import SPOT, labels_and_doubt, summed_up
from hintseg.predict.quick import (
    BackboneFeatures,
    HintedCells,
    hinted_cells,
    quick_scores,
    steadied,
)
from hintseg.predict.tiles import scores_at_resolution
from hintseg.regions import image_regions
from hintseg.resize import pool_labels
from hintseg.structures import Hints, Shape

WAYS = ("chosen", "image", "place", "random")
PARTS = 4  # of a round


@dataclass
class Seen:
    """An image, and what was clicked in it."""

    features: torch.Tensor
    regions: torch.Tensor
    truth: np.ndarray
    clicks: list = field(default_factory=list)  # x, y, class
    cells: HintedCells | None = None

    def learn(self, classes) -> None:
        """Turn the clicks into labelled cells, as wide as the studio draws a point."""
        shapes = tuple(
            Shape("point", label, ((float(x), float(y)),)) for x, y, label in self.clicks
        )
        labels = rasterize(Hints(shapes), self.truth.shape, classes).labels.astype(np.int64)
        self.cells = hinted_cells(self.features, pool_labels(torch.from_numpy(labels)[None], 4)[0])


def look(dataset, features, name) -> Seen:
    """What does not change while clicks are made."""
    image = dataset.image(name)
    regions = torch.from_numpy(image_regions(image).astype(np.int64))
    return Seen(features(image), regions, dataset.truth(name))


def scores_of(images, name, classes):
    """What the fast head says; None before the first click of all."""
    rest = [one.cells for other, one in images.items() if other != name and one.cells is not None]
    return quick_scores(images[name].features, images[name].cells, rest, len(classes))


def doubtful_places(doubt, seen):
    """Places from the most doubtful on, none near a click: x, y in pixels."""
    rows, columns = doubt.shape
    height, width = seen.truth.shape
    near, doubt = SPOT * max(rows, columns), doubt.clone()
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    for x, y, _ in seen.clicks:
        far = (across - x * columns / width) ** 2 + (down - y * rows / height) ** 2 > near**2
        doubt *= far
    for _ in range(10):
        found = summed_up(doubt)
        yield int(found.x * width), int(found.y * height)
        row, column = found.y * rows, found.x * columns
        doubt *= (across - column) ** 2 + (down - row) ** 2 > near**2


def random_places(seen, rng):
    """Pixels anywhere: x, y."""
    height, width = seen.truth.shape
    for _ in range(100):
        yield int(rng.integers(width)), int(rng.integers(height))


def click(seen, places, classes) -> None:
    """The annotator takes the first place that has a class."""
    for x, y in places:
        label = int(seen.truth[y, x])
        if label >= 0:
            seen.clicks.append((x, y, label))
            return seen.learn(classes)
    return None


def part(images, way, count, classes, rng) -> None:
    """So many clicks, chosen from what is known now."""
    names, doubts = list(images), {}
    for name in names:
        scores = None if way == "random" else scores_of(images, name, classes)
        doubts[name] = None if scores is None else labels_and_doubt(scores)[1]
    if way in ("chosen", "image") and all(doubt is not None for doubt in doubts.values()):
        order = sorted(names, key=lambda n: (bool(images[n].clicks), -float(doubts[n].mean())))[
            :count
        ]
    else:
        order = list(rng.choice(names, count, replace=True))
    for name in order:
        seen, doubt = images[name], doubts[name]
        chooses = way in ("chosen", "place") and doubt is not None
        click(seen, doubtful_places(doubt, seen) if chooses else random_places(seen, rng), classes)


def miou(images, classes) -> float:
    """Over the pixels of all images, as the studio shows them."""
    confusion = 0
    for name, seen in images.items():
        scores = scores_of(images, name, classes)
        at = scores_at_resolution(scores, *seen.truth.shape, covered=seen.truth.shape)
        labels, _ = labels_and_doubt(steadied(at, seen.regions))
        confusion = confusion + confusion_of(labels.numpy(), seen.truth, len(classes))
    return 100 * metrics_of(confusion).miou


def curve(images, way, options, classes, seed) -> list:
    """MIoU after each round."""
    rng, figures = np.random.default_rng(seed), []
    for seen in images.values():
        seen.clicks, seen.cells = [], None
    for _ in range(options.rounds):
        left = len(images)
        for share in range(PARTS, 0, -1):
            part(images, way, left // share, classes, rng)
            left -= left // share
        figures.append(miou(images, classes))
    return figures


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset, features = open_dataset(options.data), BackboneFeatures()
    names = [name for name in dataset.names("train") if dataset.has_mask(name)]
    some = names[:: max(1, len(names) // options.images)][: options.images]
    images = {name: look(dataset, features, name) for name in some}
    clicks = [len(images) * (round_ + 1) for round_ in range(options.rounds)]
    print(f"{options.data.name}, {len(images)} images, {options.seeds} seeds; mIoU in %")
    print("clicks  " + " ".join(f"{count:6}" for count in clicks), flush=True)
    found = {}
    for way in WAYS:
        curves = [curve(images, way, options, dataset.classes, s) for s in range(options.seeds)]
        found[way] = curves
        mean, spread = np.mean(curves, axis=0), np.std(curves, axis=0)[-1]
        print(f"{way:8}" + " ".join(f"{m:6.1f}" for m in mean) + f"  +- {spread:.1f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"clicks": clicks, "miou": found}) + "\n")


if __name__ == "__main__":
    main()
