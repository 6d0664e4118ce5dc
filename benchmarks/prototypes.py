"""How many prototypes a training step of SPML has, and what several devices tell each other.

    python benchmarks/prototypes.py DATA [--run RUN] [--preset voc-scribble] [--images 16]

DATA has hints. Takes `--images` random crops as the preset takes them (size, crop, scale), makes
their segments by one forward pass on the CPU (the network of RUN; else the default backbone with
a random head, in place of the preset's), and prints JSON: segments an image, bytes gathered a step
and kept in memory, counted on the tensors that are sent.
"""

import argparse
import json
import platform
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from hintseg.data.dataset import open_dataset
from hintseg.data.loading import Order, iterate
from hintseg.data.samples import load_hinted
from hintseg.data.transforms import Augmentation, augment
from hintseg.methods.config import make_config
from hintseg.methods.spml.learner import RelationLearner
from hintseg.models.backbone import Backbone, load_weights
from hintseg.models.embedder import Embedder, Segmenter
from hintseg.models.saved import load_model
from hintseg.regions.partition import image_regions
from hintseg.segments.memory import FIELDS
from hintseg.structures import Prototypes, region_map


def main() -> None:
    """Count segments and bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--preset", default="voc-scribble")
    parser.add_argument("--images", type=int, default=16)
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    config = make_config("spml", options.data, preset=options.preset)
    train, own = config.train, config.own

    def load(name):
        sample = load_hinted(dataset, name, size=train.size)
        found = image_regions(sample.image, count=own.regions.count)
        return replace(sample, maps={"regions": region_map(found)})

    view = Augmentation(crop=train.crop, scale=train.scale, jitter=train.jitter, hue=train.hue)
    order, view = Order(dataset.hinted_names(), 1, seed=0), partial(augment, settings=view)
    batches = iterate(order, load, view, start=0, stop=options.images)
    learner = RelationLearner(network(options.run, dataset.classes, train.dim), own)
    found = [segments_of(learner, batch) for batch in batches]
    print(json.dumps(summary(found, train, own), indent=1))


def network(run, classes, dim):
    """A trained one, or pretrained features under a random head."""
    if run is not None:
        return load_model(run)[0]
    torch.manual_seed(0)
    backbone = Backbone("tf_efficientnet_lite0", output_stride=16)
    load_weights(backbone, "imagenet")
    return Segmenter(Embedder(backbone, dim=dim), len(classes), unit=True).eval()


@torch.inference_mode()
def segments_of(learner, batch):
    """The prototypes that a batch sends, and its pixels."""
    view = learner._view(learner.model.embedder(batch.images), batch)
    sets = torch.zeros(len(view.segments), batch.tags.shape[1], dtype=torch.bool)
    facts = view.segments.label, view.segments.image, sets, batch.tags, batch.absent
    return Prototypes(view.prototypes, *facts), len(view.pixels)


def summary(found, train, own):
    """Per image, and for a step of the preset's batch."""
    counts = sorted(len(prototypes) for prototypes, _ in found)
    pixels = [number for _, number in found]
    sent = [
        sum(getattr(p, name).numel() * getattr(p, name).element_size() for name in FIELDS)
        for p, _ in found
    ]
    mean, step = statistics.mean(counts), train.batch
    return {
        "machine": {"torch": torch.__version__, "processor": platform.machine()},
        "images": len(found),
        "crop": train.crop,
        "grid": own.grid,
        "regions": own.regions.count,
        "segments_an_image": {
            "mean": round(mean, 1),
            "median": statistics.median(counts),
            "most": counts[-1],
            "least": counts[0],
        },
        "pixels_an_image": {"mean": round(statistics.mean(pixels)), "most": max(pixels)},
        "step": {
            "batch": step,
            "prototypes": round(mean * step),
            "bytes_of_prototypes": round(statistics.mean(sent) * step),
            "bytes_of_memory": round(statistics.mean(sent) * step * own.memory),
        },
    }


if __name__ == "__main__":
    main()
