"""What other busy processes cost: times quiet, and beside one and two of them.

    python benchmarks/shared_cores.py [--only loss crf partial spml predict] [--rounds 3]
                                      [--busy 0 1 2] [--cores 2] [--source SRC] [--markdown]

The contrastive loss (12 800 pixels, 5 600 segments, forward and backward), the dense CRF on a photo
scene of 500 x 375 (preset psa, 21 classes), a training step of `partial` and of `spml` (crop 160,
batch 8, mean over the last 20), and `predict` of 20 photo scenes. Each is measured in a process of
its own, set up as the command line does; a busy process is a loop that keeps one core. The loads
take turns; figures are medians over the rounds, in seconds, and multiples of the quiet one.

--source measures the code of another checkout (its folder src), for before and after; the two take
turns as well. --spinning leaves the environment as it is, as a program that does not call
`hintseg.use_cores` before it imports torch. Linux; all on the first --cores cores.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve()
OURS = HERE.parents[1] / "src"
BUSY = "while True: pass"
LOSS, CRF_SIZE, CRF_CLASSES = (12_800, 5_600), (375, 500), 21
WARM, STEPS, PHOTOGRAPHS = 5, 25, 20
STEP = {"size": 192, "crop": 160, "batch": 8, "device": "cpu", "validate_images": 0}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--source", type=Path, help="src of another checkout")
    parser.add_argument("--spinning", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print({"prepare": prepare, **TASKS}[options.task](options.work))
        return
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))
    with tempfile.TemporaryDirectory() as folder:
        times = measure_all(options, Path(folder))
    if options.markdown:
        print_table(times)
        return
    machine = {"processor": platform.processor() or platform.machine(), "cores": options.cores}
    print(json.dumps({**figures(times), "machine": machine}, indent=2))


def measure_all(options: argparse.Namespace, work: Path) -> dict[tuple[str, str, int], list[float]]:
    """Seconds of every round by (code, task, number of busy processes)."""
    sources = {"ours": OURS} if options.source is None else {"before": options.source, "ours": OURS}
    run_child(OURS, "prepare", work, spinning=False)
    times: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(options.rounds):
        for task in options.only:
            for count in options.busy:
                for name, source in sources.items():
                    spinning = options.spinning or name == "before"
                    with busy_processes(count):
                        seconds = run_child(source, task, work, spinning=spinning)
                    times.setdefault((name, task, count), []).append(seconds)
                    print(name, task, count, round(seconds, 4), file=sys.stderr)
    return times


def run_child(source: Path, task: str, work: Path, *, spinning: bool) -> float:
    """Seconds of a task in a process of its own."""
    words = [sys.executable, str(HERE), "--task", task, "--work", str(work)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    if not spinning:
        words = [sys.executable, "-c", CHILD, *words[1:]]
    done = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


CHILD = """
import runpy, sys
import hintseg
hintseg.use_cores()
sys.argv = sys.argv[1:]
sys.path.insert(0, str(__import__("pathlib").Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextmanager
def busy_processes(count: int):
    """So many loops that never rest, while the block runs."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def median_seconds(call: Callable[[], object], *, repeats: int) -> float:
    """Of a call that was made once before."""
    call()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def prepare(work: Path) -> float:
    """Photo scenes with hints, and a model trained for a moment."""
    from hintseg.data.dataset import open_dataset
    from hintseg.data.scenes.composing import write_scenes
    from hintseg.data.simulated import simulate_dataset
    from hintseg.training import train

    write_scenes(work / "scenes", train=40, val=0, test=PHOTOGRAPHS, size=CRF_SIZE)
    simulate_dataset(open_dataset(work / "scenes"), work / "data", kinds=["points"])
    train(
        work / "data",
        work / "model",
        method="partial",
        settings={"train": {**STEP, "steps": 2, "crop": 64, "size": 96}},
    )
    return 0.0


def loss(_: Path) -> float:
    """Forward and backward."""
    from contrastive import make_case, ours

    case = make_case(*LOSS)
    return median_seconds(lambda: ours(case), repeats=7)


def crf(work: Path) -> float:
    """Kernels and inference of one photo scene."""
    import torch

    from hintseg.images.photographs import read_image
    from hintseg.refine.crf import dense_crf

    image = read_image(sorted((work / "scenes" / "images").iterdir())[0])
    coarse = torch.randn(1, CRF_CLASSES, 12, 16, generator=torch.Generator().manual_seed(0))
    scores = torch.nn.functional.interpolate(coarse * 3, size=CRF_SIZE, mode="bicubic")
    shares = scores[0].softmax(dim=0)
    return median_seconds(lambda: dense_crf(image, shares, preset="psa"), repeats=7)


def step(work: Path, method: str) -> float:
    """Mean of the last steps of a short training."""
    short = {"spml": {"relabel": {"rounds": []}}} if method == "spml" else {}
    settings = {"train": {**STEP, "steps": STEPS, "checkpoint_every": 10**6}, **short}
    return step_seconds(work / "data", method=method, settings=settings)


def step_seconds(data: Path, *, settings: dict[str, dict], **named: str) -> float:
    """Mean seconds of the steps of a training but for the first ones."""
    from hintseg.methods import fitting
    from hintseg.training import train

    fit, ends = fitting.fit, []

    def watched(*parts: object, on_step: Callable, **others: object) -> None:
        def listen(*facts: object) -> None:
            on_step(*facts)
            ends.append(time.perf_counter())

        fit(*parts, on_step=listen, **others)

    fitting.fit = watched
    try:
        with tempfile.TemporaryDirectory() as folder:
            train(data, Path(folder) / "run", settings=settings, **named)
    finally:
        fitting.fit = fit
    return (ends[-1] - ends[WARM - 1]) / (len(ends) - WARM)


def predict(work: Path) -> float:
    """All photographs of the split test, from files to files."""
    from hintseg.data.dataset import open_dataset
    from hintseg.predict.folders.photographs import predict_files
    from hintseg.predict.predictor import load

    dataset, predictor = open_dataset(work / "data"), load(work / "model")
    files = {name: dataset.images[name] for name in dataset.names("test")}

    def call() -> None:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            predict_files(predictor, files, Path(folder) / "masks")

    return median_seconds(call, repeats=3)


TASKS: dict[str, Callable[[Path], float]] = {
    "loss": loss,
    "crf": crf,
    "partial": lambda work: step(work, "partial"),
    "spml": lambda work: step(work, "spml"),
    "predict": predict,
}


def figures(times: dict[tuple[str, str, int], list[float]]) -> dict[str, dict]:
    """Medians, and multiples of the quiet time of the same code."""
    seconds = {key: statistics.median(values) for key, values in times.items()}
    found: dict[str, dict] = {}
    for (name, task, count), value in seconds.items():
        entry = {"seconds": round(value, 4)}
        if (name, task, 0) in seconds:
            entry["times_quiet"] = round(value / seconds[name, task, 0], 2)
        if name == "ours" and ("before", task, count) in seconds:
            entry["times_before"] = round(value / seconds["before", task, count], 3)
        found.setdefault(name, {}).setdefault(task, {})[f"busy {count}"] = entry
    return found


def print_table(times: dict[tuple[str, str, int], list[float]]) -> None:
    """The same as a table for docs/results.md."""
    print("| code | task | busy processes | seconds | times quiet | times before |")
    print("|---|---|---|---|---|---|")
    for name, tasks in figures(times).items():
        for task, loads in tasks.items():
            for load, entry in loads.items():
                cells = [entry["seconds"], entry.get("times_quiet"), entry.get("times_before")]
                shown = ["" if cell is None else str(cell) for cell in cells]
                print(f"| {name} | {task} | {load.split()[1]} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
