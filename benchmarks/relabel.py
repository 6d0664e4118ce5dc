"""Pseudo labels of many images: one after the other by all threads of torch, or several at once.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/relabel.py DATA [--images 200] [--threads 2]

A segmenter with random weights labels images with hints as stage `relabel` does. Both ways take
turns in groups of 20 images, so that a busy machine is as busy for either.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy
import torch

from hintseg.cores import each
from hintseg.data.dataset import open_dataset
from hintseg.data.samples import load_hinted
from hintseg.models.saved import ModelDescription, build_segmenter
from hintseg.predict.pseudo_labels import confident_labels, pseudo_scores

GROUP = 20


def label(model, load, name):
    """What is done for one image."""
    sample = load(name)
    scores = pseudo_scores(model, sample)
    return float((confident_labels(scores, sample.weak, confidence=0.7) >= 0).mean())


def main():
    """Print seconds an image, both ways."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("data", type=Path)
    words.add_argument("--images", type=int, default=200)
    words.add_argument("--size", type=int, default=320)
    words.add_argument("--threads", type=int, default=2)
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    dataset = open_dataset(given.data)
    names = dataset.hinted_names()[: given.images]
    model = build_segmenter(ModelDescription(dataset.classes.names)).eval()
    work = partial(label, model, partial(load_hinted, dataset, size=given.size))
    work(names[0])
    took = {"one after the other": [0.0, 0.0], "several at once": [0.0, 0.0]}
    for first in range(0, len(names), GROUP):
        group = names[first : first + GROUP]
        found = []
        for ways, way in zip(took.values(), (map, each), strict=True):
            began, cpu = time.perf_counter(), time.process_time()
            found.append(list(way(work, group)))
            ways[0] += time.perf_counter() - began
            ways[1] += time.process_time() - cpu
        assert numpy.allclose(*found, atol=1e-3), "how many are worked on at once must not matter"
    for way, (seconds, cpu) in took.items():
        passed, busy = (1000 * value / len(names) for value in (seconds, cpu))
        print(f"{way}: {passed:.0f} ms an image, {busy:.0f} ms of a core")


if __name__ == "__main__":
    main()
