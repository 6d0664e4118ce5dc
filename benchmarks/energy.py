"""What an energy costs: time and memory of a training step, and the lattice against all pairs.

    python benchmarks/energy.py DATA [--rounds 3] [--steps 24] [--crop 160] [--batch 8]
                                [--kinds crf,quadratic,potts,ncut,kernelcut,association,entropy]
                                [--sides 40,64]

Prints JSON. "steps": for `partial` and for `regularized` with each energy from its first step on,
medians over the steps of all rounds in milliseconds, wall and processor time (of all threads, those
that make batches too), each as a multiple of `partial`, and the most memory of the process in MB.
Every training is a process of its own; they take turns, so that a busy machine slows all of them.
"filter": the loss of the CRF and its gradient on photographs of so many cells a side, through the
lattice and through all pairs: medians in milliseconds, the values, and the cosine between the two
gradients at the logits.
"""

import argparse
import itertools
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hintseg import training
from hintseg.data.dataset import open_dataset
from hintseg.filters.bilateral import bilateral_features, exact_filter, permutohedral_filter
from hintseg.losses.energy import crf_loss
from hintseg.methods import fitting

KINDS = "crf,quadratic,potts,ncut,kernelcut,association,entropy"
CLASSES = 21  # of the logits through which the filters are compared


def main() -> None:
    """Time the steps and the filters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--kinds", default=KINDS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--crop", type=int, default=160)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--sides", default="40,64", help="cells; empty: no filters")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # this process does one training
    options = parser.parse_args()
    if options.one:
        print(json.dumps(trained(options.one, options)))
        return
    sides = [int(side) for side in options.sides.split(",") if side]
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    result = {
        "steps": compare_steps(options),
        "filter": {str(side): compare_filters(options, side) for side in sides},
        "machine": machine,
        "settings": {key: value for key, value in vars(options).items() if key != "one"},
    }
    print(json.dumps(result, indent=2))


def compare_steps(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians over all rounds, with `partial` as the measure."""
    kinds = ["partial", *(kind for kind in options.kinds.split(",") if kind)]
    runs: dict[str, list[dict]] = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind in kinds:
            words = [sys.executable, __file__, *sys.argv[1:], "--one", kind]
            output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            runs[kind].append(json.loads(output.splitlines()[-1]))
    medians = {
        kind: {
            part: statistics.median([value for run in found for value in run[part]])
            for part in ("wall_ms", "processor_ms")
        }
        for kind, found in runs.items()
    }
    return {
        kind: {
            **{part: round(value, 1) for part, value in medians[kind].items()},
            "times_wall": round(medians[kind]["wall_ms"] / medians["partial"]["wall_ms"], 2),
            "times_processor": round(
                medians[kind]["processor_ms"] / medians["partial"]["processor_ms"], 2
            ),
            "peak_mb": round(statistics.median(run["peak_mb"] for run in found)),
        }
        for kind, found in runs.items()
    }


def trained(kind: str, options: argparse.Namespace) -> dict[str, object]:
    """Times of the last three quarters of the steps of one training."""
    shared = {key: getattr(options, key) for key in ("steps", "size", "crop", "batch")}
    fixed = {"device": "cpu", "validate_images": 0, "checkpoint_every": 10**6}
    own = {"energy": kind, "start": 0.0, "ramp": 0.0}
    if kind == "entropy":
        own = {**own, "energy": "none", "entropy": 1.0}
    settings = {"train": {**shared, **fixed}}
    method = "partial" if kind == "partial" else "regularized"
    if method == "regularized":
        settings["regularized"] = own
    ticks = watch_steps()
    training.report_run = lambda *_: None  # a benchmark of steps needs no report
    with tempfile.TemporaryDirectory() as folder:
        training.train(options.data, Path(folder) / "run", method=method, settings=settings)
    warm = ticks[len(ticks) // 4 :]
    pairs = list(itertools.pairwise(warm))
    return {
        "wall_ms": [1000 * (after[0] - before[0]) for before, after in pairs],
        "processor_ms": [1000 * (after[1] - before[1]) for before, after in pairs],
        "peak_mb": max(tick[2] for tick in ticks),
    }


def watch_steps() -> list[tuple[float, float, float]]:
    """Wall time, processor time and peak memory after every step, as they come."""
    ticks: list[tuple[float, float, float]] = []
    fit = fitting.fit

    def timed_fit(*parts, start, seed, on_step):
        def listen(step, losses, waited):
            on_step(step, losses, waited)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            ticks.append((time.perf_counter(), time.process_time(), peak))

        fit(*parts, start=start, seed=seed, on_step=listen)

    fitting.fit = timed_fit
    return ticks


def compare_filters(options: argparse.Namespace, side: int) -> dict[str, object]:
    """The same loss through the lattice and through all pairs."""
    images = photographs(options, side)
    kept = torch.ones(len(images), side, side, dtype=torch.bool)
    features = bilateral_features(images, sxy=0.2 * side, srgb=15.0)
    torch.manual_seed(0)
    coarse = 3 * torch.randn(len(images), CLASSES, max(2, side // 8), max(2, side // 8))
    logits = F.interpolate(coarse, size=(side, side), mode="bilinear").requires_grad_()

    def through(make: Callable[..., object]) -> tuple[Tensor, Tensor]:
        affinity = make(features, self_affinity=True, kept=kept)
        loss = crf_loss(logits.softmax(dim=1), affinity)
        return loss.detach(), torch.autograd.grad(loss, logits)[0].flatten()

    forms = {"lattice": permutohedral_filter, "all_pairs": exact_filter}
    found = {name: through(form) for name, form in forms.items()}
    times = {name: timed(lambda form=form: through(form)) for name, form in forms.items()}
    cosine = F.cosine_similarity(found["lattice"][1], found["all_pairs"][1], dim=0)
    return {
        "milliseconds": times,
        "times_faster": round(times["all_pairs"] / times["lattice"], 1),
        "values": {name: round(float(value), 4) for name, (value, _) in found.items()},
        "cosine_of_gradients": round(float(cosine), 4),
    }


def photographs(options: argparse.Namespace, side: int) -> Tensor:
    """The middles of some photographs, averaged over cells."""
    dataset, squares = open_dataset(options.data), []
    names = dataset.hinted_names()
    for name in names[:: max(1, len(names) // options.batch)][: options.batch]:
        image = torch.from_numpy(dataset.image(name).transpose(2, 0, 1).copy())[None].float()
        short = min(image.shape[-2:])
        squares.append(F.adaptive_avg_pool2d(image[..., :short, :short], side))
    return torch.cat(squares).round().to(torch.uint8)


def timed(work: Callable[[], object], repeats: int = 3) -> float:
    """Median in milliseconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(times), 1)


if __name__ == "__main__":
    main()
