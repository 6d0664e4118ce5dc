"""The dense CRF against pydensecrf2, and both against the formula.

    pip install pydensecrf2
    python benchmarks/crf.py DATA RUN [--images 4] [--repeats 5] [--threads 2] [--preset psa]

Scores are those of the trained model RUN on photographs of the split test of DATA, brought to 500
x 375 pixels: of all classes, and of four (those of the mask, then the most probable ones). Prints
JSON: medians in milliseconds of the whole call (kernels and inference), how much faster ours is (by
medians of the same run; also in a batch of all images against one after the other), mean and
largest difference of the marginals, the share of pixels with equal arg-max; and, on a small image,
how far both are from the n x n form. The peers take turns, so that a busy machine slows both.
Ours keeps the kernel of place for photographs of one size: "ours_first_of_its_size" does not. On a
busy machine, trust processor time on one thread (--threads 1): with more, waiting for each other
counts as work.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hintseg.data.dataset import Dataset, open_dataset
from hintseg.filters.bilateral import bilateral_features, exact_filter, position_features
from hintseg.predict.predictor import Predictor, load
from hintseg.predict.tiles import scores_at_resolution
from hintseg.refine.crf import LEAST, CrfPreset, _near, dense_crf, find_preset
from hintseg.resize import resize_image

try:
    import pydensecrf.densecrf as peer
except ImportError:
    sys.exit("this benchmark needs pydensecrf2: pip install pydensecrf2")

HEIGHT, WIDTH = 375, 500
SMALL_HEIGHT, SMALL_WIDTH = 60, 80
FEW = 4  # classes

Case = tuple[np.ndarray, Tensor]  # image, scores of its size


def main() -> None:
    """Time and compare for all and for few classes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--preset", default="psa")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    predictor, dataset = load(options.run), open_dataset(options.data)
    preset = find_preset(options.preset)
    names = dataset.names("test")
    chosen = [names[i * len(names) // options.images] for i in range(options.images)]
    cases = [case_of(predictor, dataset, name) for name in chosen]
    few = [few_classes(dataset, *pair) for pair in zip(chosen, cases, strict=True)]
    results = {
        f"{len(some[0][1])} classes": {
            **compare(some, preset, options.repeats),
            f"{SMALL_WIDTH} x {SMALL_HEIGHT}, difference from the formula": against_formula(
                some, preset
            ),
        }
        for some in (few, cases)
    }
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    settings = {key: str(value) for key, value in vars(options).items()}
    print(json.dumps({**results, "machine": machine, "settings": settings}, indent=2))


def case_of(predictor: Predictor, dataset: Dataset, name: str) -> Case:
    """A photograph at the size of the benchmark and what the model says of it."""
    image = resize_image(dataset.image(name), HEIGHT, WIDTH)
    scores = predictor.predict(image).scores
    covered = predictor.fit(HEIGHT, WIDTH)
    return image, scores_at_resolution(scores, HEIGHT, WIDTH, covered=covered).contiguous()


def few_classes(dataset: Dataset, name: str, case: Case) -> Case:
    """The same with the classes of the mask, filled up by those that are the most probable."""
    image, scores = case
    truth = dataset.checked_truth(name)
    rank = scores.mean(dim=(1, 2))
    rank[torch.from_numpy(np.unique(truth[truth >= 0])).long()] += 1
    some = scores[rank.topk(FEW).indices]
    return image, some / some.sum(dim=0)


def theirs(image: np.ndarray, scores: Tensor, preset: CrfPreset) -> Tensor:
    """The peer, with the same kernels and unaries."""
    classes, height, width = scores.shape
    unary = -np.log(np.clip(scores.numpy().reshape(classes, -1), LEAST, 1))
    crf = peer.DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
    crf.addPairwiseGaussian(sxy=preset.gaussian_sxy, compat=preset.gaussian)
    crf.addPairwiseBilateral(
        sxy=preset.bilateral_sxy,
        srgb=preset.bilateral_srgb,
        rgbim=np.ascontiguousarray(image),
        compat=preset.bilateral,
    )
    found = np.array(crf.inference(preset.iterations), np.float32)
    return torch.from_numpy(found.reshape(classes, height, width))


def anew(image: np.ndarray, scores: Tensor, preset: CrfPreset) -> Tensor:
    """Ours, the kernel of place not kept from photographs of the same size before."""
    _near.cache_clear()
    return dense_crf(image, scores, preset=preset)


def formula(image: np.ndarray, scores: Tensor, preset: CrfPreset) -> Tensor:
    """Mean field with all pairs of pixels."""
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    settings = {"normalisation": "symmetric", "self_affinity": True}
    sigmas = {"sxy": preset.bilateral_sxy, "srgb": preset.bilateral_srgb}
    near = exact_filter(position_features(batch, sxy=preset.gaussian_sxy), **settings)
    alike = exact_filter(bilateral_features(batch, **sigmas), **settings)
    unary = scores.clamp(min=LEAST).log()[None]
    shares = unary.softmax(dim=1)
    for _ in range(preset.iterations):
        votes = preset.gaussian * near(shares) + preset.bilateral * alike(shares)
        shares = (unary + votes).softmax(dim=1)
    return shares[0]


def compare(cases: list[Case], preset: CrfPreset, repeats: int) -> dict[str, object]:
    """Times and agreement on images one by one, and on all as a batch."""
    images = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image, _ in cases])
    scores = torch.stack([scores for _, scores in cases])
    forms: dict[str, Callable[[], list[Tensor]]] = {
        "ours": lambda: [dense_crf(*case, preset=preset) for case in cases],
        "ours_first_of_its_size": lambda: [anew(*case, preset) for case in cases],
        "ours_in_a_batch": lambda: list(dense_crf(images, scores, preset=preset)),
        "pydensecrf": lambda: [theirs(*case, preset) for case in cases],
    }
    found = {name: form() for name, form in forms.items()}  # the first calls warm up
    wall: dict[str, list[float]] = {name: [] for name in forms}
    processor: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, form in forms.items():
            began = time.perf_counter(), time.process_time()
            form()
            wall[name].append((time.perf_counter() - began[0]) / len(cases))
            processor[name].append((time.process_time() - began[1]) / len(cases))
    return {
        "wall": summary(wall),
        "processor": summary(processor),
        "ours_and_pydensecrf": agreement(found["ours"], found["pydensecrf"]),
        "batch_and_one_by_one": agreement(found["ours_in_a_batch"], found["ours"]),
    }


def against_formula(cases: list[Case], preset: CrfPreset) -> dict[str, object]:
    """How near both come to the n x n form, at a size at which that can be had."""
    small = []
    for image, scores in cases:
        pixels = resize_image(image, SMALL_HEIGHT, SMALL_WIDTH)
        size = {"size": (SMALL_HEIGHT, SMALL_WIDTH), "mode": "bilinear", "antialias": True}
        small.append((pixels, torch.nn.functional.interpolate(scores[None], **size)[0]))
    exact = [formula(*case, preset) for case in small]
    return {
        "ours": agreement([dense_crf(*case, preset=preset) for case in small], exact),
        "pydensecrf": agreement([theirs(*case, preset) for case in small], exact),
        "no CRF": agreement([scores for _, scores in small], exact),
    }


def agreement(some: list[Tensor], others: list[Tensor]) -> dict[str, float]:
    """Differences of marginals, and equal labels."""
    apart = torch.stack([(a - b).abs() for a, b in zip(some, others, strict=True)])
    equal = [(a.argmax(0) == b.argmax(0)) for a, b in zip(some, others, strict=True)]
    return {
        "mean_difference": float(f"{float(apart.mean()):.2g}"),
        "largest_difference": float(f"{float(apart.max()):.2g}"),
        "equal_labels_percent": round(100 * float(torch.stack(equal).float().mean()), 3),
    }


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Medians and least times of an image, and how much shorter than the peer's the medians are."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "median_ms": {name: round(1000 * median, 1) for name, median in medians.items()},
        "least_ms": {name: round(1000 * min(values), 1) for name, values in times.items()},
        "times_faster": {
            name: round(medians["pydensecrf"] / median, 2) for name, median in medians.items()
        },
    }


if __name__ == "__main__":
    main()
