"""Time and memory of the contrastive loss: ours, the dense formulation, and the floor.

    python benchmarks/contrastive.py [--repeats 5] [--threads 2] [--dense-large]

Forward and backward for two sizes, 24 groups, D = 64. "Dense" has a pixels x segments tensor for
each step of the formula, as the published code does; for the large size it needs 9 GB, and runs
only on request. The "floor" is what nobody can leave out: three matrix products and one
exponential, in tiles that stay in the cache, with no relation at all. The three take turns, so
that other work on the machine hits them alike; times are medians, wall and processor (all threads).
Peak memory beyond that before the call is measured in a process for each (Linux).
"""

import argparse
import ctypes
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from hintseg.losses.contrastive import segment_contrastive_loss

SIZES = {"12800x5600": (12800, 5600), "65536x7500": (65536, 7500)}
GROUPS, DIM, CONCENTRATION, FLOOR_ROWS = 24, 64, 8.0, 96


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dense-large", action="store_true")
    parser.add_argument("--memory", nargs=2, metavar=("METHOD", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        print(extra_megabytes(METHODS[options.memory[0]], options.memory[1]))
        return
    results = {}
    for size in SIZES:
        large = size != next(iter(SIZES))
        names = [name for name in METHODS if name != "dense" or not large or options.dense_large]
        results[size] = compare(names, size, options.repeats, options.threads)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps({"sizes": results, "machine": machine, "settings": vars(options)}, indent=2))


def compare(names: list[str], size: str, repeats: int, threads: int) -> dict[str, dict]:
    """Figures of each method, and ratios to ours."""
    case = make_case(*SIZES[size])
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for turn in range(repeats + 1):
        for name in names:
            wall, processor = time.perf_counter(), time.process_time()
            METHODS[name](case)
            if turn:  # the first warms up
                taken = time.perf_counter() - wall, time.process_time() - processor
                times[name].append(taken)
    figures = {}
    for name, taken in times.items():
        wall, processor = (statistics.median(column) for column in zip(*taken, strict=True))
        own = [sys.executable, str(Path(__file__)), "--threads", str(threads)]
        process = [*own, "--memory", name, size]
        memory = float(subprocess.run(process, check=True, capture_output=True, text=True).stdout)
        figures[name] = {"seconds": wall, "processor_seconds": processor, "extra_mb": memory}
    ours = dict(figures["ours"])
    for figure in figures.values():
        figure.update({f"{key}_to_ours": figure[key] / ours[key] for key in ours})
    return {
        name: {key: round(value, 3) for key, value in figure.items()}
        for name, figure in figures.items()
    }


def make_case(pixels: int, segments: int) -> tuple[torch.Tensor, ...]:
    """Pixels near their segments; groups as images with tags, a sixth of which share one."""
    generator = torch.Generator().manual_seed(0)
    prototypes = F.normalize(torch.randn(segments, DIM, generator=generator), dim=1)
    own = torch.randint(segments, (pixels,), generator=generator)
    noise = F.normalize(torch.randn(pixels, DIM, generator=generator), dim=1)
    embeddings = F.normalize(prototypes[own] + noise / 2, dim=1)
    group = torch.randint(GROUPS, (segments,), generator=generator)
    shared = torch.rand(GROUPS, GROUPS, generator=generator) < 0.08
    shared = shared | shared.T | torch.eye(GROUPS, dtype=torch.bool)
    inputs = embeddings.requires_grad_(), prototypes.requires_grad_()
    return *inputs, own, group[own], group, shared, ~shared


def ours(case: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """The library's."""
    loss = segment_contrastive_loss(*case, concentration=CONCENTRATION)
    return loss.detach(), *torch.autograd.grad(loss, case[:2])


def dense(case: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Every step of the formula on pixels x segments."""
    embeddings, prototypes, own, pixel_group, segment_group, attract, repel = case
    similar = (embeddings @ prototypes.T * CONCENTRATION).exp()
    toward = attract[pixel_group][:, segment_group]
    away = repel[pixel_group][:, segment_group]
    at = own[:, None]
    only = toward.sum(1, keepdim=True) == 1
    toward = toward.scatter(1, at, toward.gather(1, at) & only)
    away = away.scatter(1, at, False)
    counts = toward.any(1)
    plus, minus = (similar * toward).sum(1)[counts], (similar * away).sum(1)[counts]
    loss = -(plus / (plus + minus)).log().mean()
    return loss.detach(), *torch.autograd.grad(loss, case[:2])


def floor(case: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Three products and an exponential, tile by tile."""
    embeddings, prototypes = (tensor.detach() for tensor in case[:2])
    gradients = torch.empty_like(embeddings), torch.zeros_like(prototypes)
    terms = embeddings.new_empty(FLOOR_ROWS, len(prototypes))
    for rows in embeddings.split(FLOOR_ROWS):
        tile = torch.mm(rows, prototypes.T, out=terms[: len(rows)]).exp_()
        begin = rows.storage_offset() // DIM
        torch.mm(tile, prototypes, out=gradients[0][begin : begin + len(rows)])
        gradients[1].addmm_(tile.T, rows)
    return gradients


METHODS: dict[str, Callable[[tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]]] = {
    "ours": ours,
    "dense": dense,
    "floor": floor,
}


def extra_megabytes(method: Callable, size: str) -> float:
    """Peak of the resident memory during one call, less that before it."""
    method(make_case(200, 100))  # the libraries' own buffers
    case = make_case(*SIZES[size])
    ctypes.CDLL(None).malloc_trim(0)  # what is free already would hide what is taken
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before = resident_kilobytes("VmRSS")
    method(case)
    return (resident_kilobytes("VmHWM") - before) * 1024 / 1e6


def resident_kilobytes(key: str) -> int:
    """The resident memory of this process: now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    main()
