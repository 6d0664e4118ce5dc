"""What the studio's fast head makes of hints, before any training: mIoU, doubt, time of a stroke.

    python benchmarks/quick_head.py DATA [--images 60]

DATA is a folder with hints and masks, such as `hintseg simulate` writes. Every image is labelled by
heads of its own hints, of all other images' hints, and of both. Prints mIoU over the pixels of all
images, the mean doubt, the correlation over images of doubt with the share of wrong pixels, and the
median time from hints to scores.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from hintseg.data.dataset import open_dataset
from hintseg.data.samples import load_weak
from hintseg.metrics import confusion_of, metrics_of
from hintseg.pooling import pool_labels
from hintseg.predict.doubt import labels_and_doubt
from hintseg.predict.quick import BackboneFeatures, hinted_cells, quick_scores, steadied
from hintseg.predict.tiles import scores_at_resolution
from hintseg.regions import image_regions


def seen(dataset, name, features):
    """Features, hinted cells, regions and mask of an image."""
    image = dataset.image(name)
    found = features(image)
    labels = torch.from_numpy(load_weak(dataset, name, size=None).labels.astype(np.int64))
    cells = hinted_cells(found, pool_labels(labels[None], 4)[0])
    return (
        found,
        cells,
        torch.from_numpy(image_regions(image).astype(np.int64)),
        dataset.truth(name),
    )


def measure(dataset, images, *, own, others):
    """One row of the table."""
    confusion, doubts, wrong, times = 0, [], [], []
    for name, (features, cells, regions, truth) in images.items():
        rest = [known[1] for other, known in images.items() if other != name] if others else []
        began = time.perf_counter()
        scores = quick_scores(features, cells if own else None, rest, len(dataset.classes))
        times.append(time.perf_counter() - began)
        scores = scores_at_resolution(scores, *truth.shape, covered=truth.shape)
        labels, doubt = labels_and_doubt(steadied(scores, regions))
        confusion = confusion + confusion_of(labels.numpy(), truth, len(dataset.classes))
        doubts.append(float(doubt.mean()))
        wrong.append(float((labels.numpy() != truth)[truth >= 0].mean()))
    agreement = np.corrcoef(doubts, wrong)[0, 1]
    return metrics_of(confusion).miou, np.mean(doubts), agreement, np.median(times)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=60)
    options = parser.parse_args()
    dataset, features = open_dataset(options.data), BackboneFeatures()
    names = dataset.hinted_names()
    some = names[:: max(1, len(names) // options.images)][: options.images]
    images = {name: seen(dataset, name, features) for name in some}
    print("hints of       mIoU   doubt  correlation  ms")
    for label, own, others in (("the image", 1, 0), ("all others", 0, 1), ("both", 1, 1)):
        miou, doubt, agreement, seconds = measure(dataset, images, own=own, others=others)
        figures = f"{100 * miou:5.1f}  {doubt:.2f}   {agreement:.2f}  {1e3 * seconds:8.0f}"
        print(f"{label:12} {figures}")


if __name__ == "__main__":
    main()
