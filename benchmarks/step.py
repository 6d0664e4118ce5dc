"""Where the time of a training step goes: data, forward, backward, optimiser.

    python benchmarks/step.py DATA [--methods partial,spml] [--steps 60] [--crop 160] [--batch 8]

Runs the same parts as `hintseg train` on the CPU and prints medians in milliseconds as JSON, for
each method, and its step as a multiple of the first one's. Of a method with several stages: the
longest, the others are left out or short. "Data" is the time that the loop waits for its batch;
batches are made by threads meanwhile.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from hintseg.engine import fit as loop
from hintseg.methods import fitting
from hintseg.methods.settings import merge, parse_overrides
from hintseg.training import train

PARTS = ("data", "forward", "backward", "optimiser")


SHORT = {"spml": {"relabel": {"rounds": []}, "localise": {"steps": 1}}}  # one stage alone


def main() -> None:
    """Time the parts of a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--methods", default="partial,spml")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--crop", type=int, default=160)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], help="settings of a method")
    options = parser.parse_args()
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    watch_parts(times)
    measured = {}
    for method in options.methods.split(","):
        for values in times.values():
            values.clear()
        measured[method] = measure(method, times, options)
    first = next(iter(measured.values()))["step_ms"]
    for result in measured.values():
        result["times_first"] = round(result["step_ms"] / first, 2)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps({**measured, "machine": machine, "settings": vars(options)}, indent=2))


def measure(method: str, times: dict[str, list[float]], options: argparse.Namespace) -> dict:
    """Medians of the last five sixths of the steps of a method."""
    settings = {key: getattr(options, key) for key in ("steps", "size", "crop", "batch")}
    fixed = {"device": "cpu", "validate_images": 0, "checkpoint_every": 10**6}
    given = {"train": {**settings, **fixed}, method: SHORT.get(method, {})}
    own = parse_overrides(pair for pair in options.set if pair.startswith(f"{method}."))
    with tempfile.TemporaryDirectory() as folder:
        train(options.data, Path(folder) / "run", method=method, settings=merge(given, own))
    warm = -(options.steps - options.steps // 6)
    medians = {part: 1000 * statistics.median(values[warm:]) for part, values in times.items()}
    total = sum(medians.values())
    return {
        "milliseconds": {part: round(value, 2) for part, value in medians.items()},
        "percent": {part: round(100 * value / total, 2) for part, value in medians.items()},
        "step_ms": round(total, 1),
    }


def watch_parts(times: dict[str, list[float]]) -> None:
    """Put a clock around each part of the loop."""
    fit, forward = loop.fit, loop.LossModule.forward

    def timed(part: str, function):
        def call(*args: object, **keywords: object):
            began = time.perf_counter()
            result = function(*args, **keywords)
            times[part].append(time.perf_counter() - began)
            return result

        return call

    def timed_fit(fabric, module, optimizer, schedule, batches, *, start, seed, on_step):
        def listen(step, losses, waited):
            times["data"].append(waited)
            on_step(step, losses, waited)

        fabric.backward = timed("backward", fabric.backward)
        optimizer.step = timed("optimiser", optimizer.step)
        parts = (fabric, module, optimizer, schedule, batches)
        fit(*parts, start=start, seed=seed, on_step=listen)

    loop.LossModule.forward = timed("forward", forward)
    fitting.fit = timed_fit


if __name__ == "__main__":
    main()
