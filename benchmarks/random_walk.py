"""The random walk on embeddings against squaring the dense transition.

    python benchmarks/random_walk.py [--side 64] [--dim 64] [--classes 3] [--repeats 5]
                                     [--threads 2] [--kinds smooth noise]

Prints JSON: medians in milliseconds, how much faster than squaring (by medians of the same run),
the largest difference of the scores (all in [0, 1]) and the share of transitions that are kept.
Embeddings are a smooth random field (a photograph's are like that) and, as the other extreme,
independent noise. The peers take turns, so that a busy machine slows all of them. There, trust
processor time on one thread (--threads 1): with more, waiting for each other counts as work.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hintseg.refine.walks import embedding_walk

DOUBLINGS = 6  # 64 steps
SHARPNESS = 100.0


def main() -> None:
    """Time all forms on both kinds of embeddings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--scale", type=int, default=8, help="cells per knot of the smooth field")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", default=["smooth", "noise"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    scores = torch.rand(options.classes, options.side, options.side)
    kinds = {
        "smooth": smooth(options.side, options.dim, options.scale),
        "noise": torch.randn(1, options.dim, options.side, options.side),
    }
    results = {kind: compare(kinds[kind], scores, options.repeats) for kind in options.kinds}
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps({**results, "machine": machine, "settings": vars(options)}, indent=2))


def smooth(side: int, dim: int, scale: int) -> Tensor:
    """Embeddings that change over some `scale` cells, with a little noise."""
    knots = torch.randn(1, dim, max(2, side // scale), max(2, side // scale))
    field = F.interpolate(knots, size=(side, side), mode="bicubic", align_corners=False)
    return field + 0.02 * torch.randn_like(field)


def compare(embeddings: Tensor, scores: Tensor, repeats: int) -> dict[str, object]:
    """Medians, ratios, differences and shares of all forms."""
    forms: dict[str, Callable[[], Tensor]] = {
        "squared": lambda: squared(embeddings, scores),
        "exact": lambda: embedding_walk(embeddings, scores),
    }
    for negligible in (1e-4, 1e-6, 1e-8):
        forms[f"sparse_{negligible:g}"] = lambda least=negligible: embedding_walk(
            embeddings, scores, negligible=least
        )
    found: dict[str, Tensor] = {}
    wall: dict[str, list[float]] = {name: [] for name in forms}
    processor: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, form in forms.items():
            began = time.perf_counter(), time.process_time()
            found[name] = form()
            wall[name].append(time.perf_counter() - began[0])
            processor[name].append(time.process_time() - began[1])
    return {
        "wall": summary(wall),
        "processor": summary(processor),
        "largest_difference": {
            name: float((each - found["squared"]).abs().max()) for name, each in found.items()
        },
        "share_kept": {f"{least:g}": share_kept(embeddings, least) for least in (1e-4, 1e-6, 1e-8)},
    }


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Medians and least times, and how much shorter than squaring's the medians are."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "median_ms": {name: round(1000 * median, 2) for name, median in medians.items()},
        "least_ms": {name: round(1000 * min(values), 2) for name, values in times.items()},
        "times_faster": {
            name: round(medians["squared"] / median, 1) for name, median in medians.items()
        },
    }


def affinities(embeddings: Tensor) -> Tensor:
    """The whole matrix, as the formula says."""
    units = F.normalize(embeddings[0].flatten(1), dim=0)
    return torch.exp(SHARPNESS / 20 * (units.T @ units - 1)).pow(20)


def squared(embeddings: Tensor, scores: Tensor) -> Tensor:
    """The peer: the transition squared again and again, then applied once."""
    transition = affinities(embeddings)
    transition /= transition.sum(dim=0)
    for _ in range(DOUBLINGS):
        transition = transition @ transition
    return (scores.flatten(1) @ transition).reshape(scores.shape)


def share_kept(embeddings: Tensor, negligible: float) -> float:
    """Share of the transitions that are not negligible."""
    return round(float((affinities(embeddings) >= negligible).float().mean()), 5)


if __name__ == "__main__":
    main()
