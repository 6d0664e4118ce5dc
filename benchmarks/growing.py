"""How many pixels hints label, and how many of them rightly: as drawn, over whole regions, grown.

    python benchmarks/growing.py DATA... [--images 24] [--size 192]

DATA are folders with hints and masks, such as `hintseg simulate` writes. Prints for each: share of
the pixels with a label, share of these that the mask calls the same, and the mean of that share
over the classes; and the time of growing an image.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from hintseg.data.dataset import open_dataset
from hintseg.data.samples import load_hinted, load_masked, load_weak
from hintseg.hints.raster import THIN
from hintseg.regions import grow_labels, image_regions
from hintseg.structures import UNLABELLED


def over_regions(labels, regions):
    """Labels reach to the ends of their region, where it has hints of one class only."""
    spread = labels.copy()
    for region in np.unique(regions[labels >= 0]):
        inside = regions == region
        classes = np.unique(labels[inside & (labels >= 0)])
        if len(classes) == 1:
            spread[inside & (labels == UNLABELLED)] = classes[0]
    return spread


def main() -> None:
    """Measure every data set and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size", type=int, default=192)
    options = parser.parse_args()
    print("| data | labels | cover | right | mean of classes |\n|---|---|---|---|---|")
    for folder in options.data:
        dataset = open_dataset(folder)
        names = dataset.train_names()
        names = names[:: max(1, len(names) // options.images)][: options.images]
        counts, pixels, seconds = {}, 0, 0.0
        for name in names:
            sample = load_hinted(dataset, name, size=options.size)
            truth = load_masked(dataset, name, size=options.size).weak.labels
            core = load_weak(dataset, name, size=options.size, brush=THIN).labels
            regions = image_regions(sample.image, count=50)
            began = time.perf_counter()
            grown = grow_labels(sample.image, core, sample.weak.labels, regions)
            seconds += time.perf_counter() - began
            drawn = sample.weak.labels
            made = {"as drawn": drawn, "regions": over_regions(drawn, regions), "grown": grown}
            pixels += truth.size
            for kind, labels in made.items():
                known = (labels >= 0) & (truth >= 0)
                places = np.stack([labels[known], truth[known]]).astype(int)
                table = counts.setdefault(kind, np.zeros((len(dataset.classes),) * 2))
                np.add.at(table, tuple(places), 1)
        for kind, table in counts.items():
            each = table.sum(axis=1)
            shares = table.diagonal()[each > 0] / each[each > 0]
            row = each.sum() / pixels, table.trace() / each.sum(), shares.mean()
            print(f"| {folder.name} | {kind} | " + " | ".join(f"{100 * v:.1f}" for v in row) + " |")
        print(f"| {folder.name} | {1000 * seconds / len(names):.0f} ms an image | | | |")


if __name__ == "__main__":
    main()
