"""Method ldf against full supervision, and its parts one by one, on a data set of objects.

    python benchmarks/objects.py DATA --out RUNS [--seeds 0,1,2] [--jobs "full;ldf;..."]
                                 [--steps 200] [--size 128] [--crop 96] [--minutes 60]
                                 [--into docs/results.md]

DATA is a folder with masks, a background and splits train, val, test. Trains by the command line,
one run after the other, from the first seed on, and compares the saliency maps of the test split
with its masks. Writes RUNS/NAME-SEED.json for every run and RUNS/table.md from all that are there;
what is measured already is not trained again, and an interrupted run goes on where it stopped.
After `--minutes` no further run is begun. `--into docs/results.md` puts the table there as well,
between `<!-- objects: begin -->` and `<!-- objects: end -->`. The figures: means over seeds, and
half the range.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from hintseg.data.dataset import open_dataset
from hintseg.evaluation import predicted_pairs, saliency_watch
from hintseg.metrics import evaluate_pairs
from hintseg.predict.predictor import load
from hintseg.saliency import SaliencyTotals

ONE = ("fine_steps=0",)  # stage coarse alone
HINTED = ("labels=hints",)
# name: hints, method, its settings, the stages that are measured
JOBS = {
    "full": ("masks", "full", (), ("",)),
    "ldf": ("masks", "ldf", ONE, ("",)),
    "saliency+edge": ("masks", "ldf", (*ONE, "auxiliary=saliency+edge"), ("",)),
    "body+edge": ("masks", "ldf", (*ONE, "auxiliary=body+edge"), ("",)),
    "saliency+detail": ("masks", "ldf", (*ONE, "auxiliary=saliency+detail"), ("",)),
    "one iteration": ("masks", "ldf", (*ONE, "iterations=1"), ("",)),
    "two stages": ("masks", "ldf", (), ("coarse", "fine")),
    "scribbles, partial": ("scribbles", "partial", (), ("",)),
    "scribbles, ldf": ("scribbles", "ldf", HINTED, ("coarse", "fine")),
    "points, partial": ("points", "partial", (), ("",)),
    "points, ldf": ("points", "ldf", HINTED, ("coarse", "fine")),
    "scribbles, spml": ("scribbles", "spml", (), ("",)),
    "gamma 1": ("masks", "ldf", (*ONE, "gamma=1"), ("",)),
    "one size": ("masks", "ldf", (*ONE, "sizes=[1.0]"), ("",)),
}
NEAR = 3  # pixels from the edge of a mask, at the resolution of the photographs
BEGIN, END = "<!-- objects: begin -->", "<!-- objects: end -->"
REACH = 4000  # pixels: farther from an edge is none
COLUMNS = {
    "mae": "MAE",
    "max_f": "max F",
    "mean_f": "mean F",
    "adaptive_f": "adaptive F",
    "mean_e": "mean E",
    "s": "S",
    "weighted_f": "weighted F",
    "near": f"error within {NEAR} px",
    "far": "error elsewhere",
    "miou": "mIoU",
    "near_miou": f"mIoU within {NEAR} px",
}


def hintseg(*words: object) -> tuple[float, float]:
    """Run one command of hintseg; its processor seconds and its greatest memory in MiB."""
    process = subprocess.Popen([sys.executable, "-m", "hintseg", *map(str, words)])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"hintseg {' '.join(map(str, words))}: failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def source_of(data: Path, hints: str, seed: int, out: Path) -> Path:
    """The data set, with simulated hints where the job learns from them."""
    if hints == "masks":
        return data
    folder = out / f"data-{hints}-{seed}"
    if not folder.exists():
        hintseg("simulate", data, "--hints", hints, "--seed", seed, "--out", folder)
    return folder


def trained(name: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Train a job, or go on with it; what it took."""
    hints, method, own, _ = JOBS[name]
    folder = options.out / file_name(name, seed)
    budget = ["--steps", options.steps, "--size", options.size, "--crop", options.crop]
    fixed = ["train.validate_images=0", "train.threads=1", *(f"{method}.{pair}" for pair in own)]
    words = [word for pair in fixed for word in ("--set", pair)]
    data = source_of(options.data, hints, seed, options.out)
    train = ["train", data, "--method", method, *budget, "--seed", seed, "--device", "cpu", *words]
    began = time.perf_counter()
    seconds, memory = hintseg(*train, "--out", folder, "--resume")
    return {"minutes": (time.perf_counter() - began) / 60, "cpu": seconds, "memory": memory}


def judged(model: Path, data: Path) -> dict[str, float]:
    """What the maps of a model are worth on the test split, and where they err."""
    predictor, dataset = load(model), open_dataset(data)
    totals = SaliencyTotals(REACH)
    pairs = predicted_pairs(predictor, dataset, dataset.names("test"), watch=saliency_watch(totals))
    found = evaluate_pairs(pairs, len(dataset.classes), trimaps=(NEAR,))
    errors, pixels = totals.by_distance
    sums = np.nan_to_num(errors) * pixels
    return {
        **totals.figures().record(),
        "near": float(sums[:, :NEAR].sum() / pixels[:, :NEAR].sum()),
        "far": float(sums[:, NEAR:].sum() / pixels[:, NEAR:].sum()),
        "miou": found.metrics.miou,
        "near_miou": found.trimaps[NEAR].miou,
    }


def measure(name: str, seed: int, options: argparse.Namespace) -> None:
    """One job and one seed, unless it is done."""
    file = options.out / f"{file_name(name, seed)}.json"
    if file.exists():
        return
    folder, took = options.out / file_name(name, seed), trained(name, seed, options)
    stages = {}
    for stage in JOBS[name][3]:
        stages[stage] = judged(chosen(folder, stage), options.data)
    record = {"name": name, "seed": seed, **took, "steps": options.steps, "stages": stages}
    file.write_text(json.dumps(record, indent=2))


def chosen(run: Path, stage: str) -> Path:
    """The model of a run, or that of one of its stages."""
    if not stage:
        return run
    return run / stage / json.loads((run / stage / "manifest.json").read_text())["model"]


def file_name(name: str, seed: int) -> str:
    """The run of a job and seed."""
    return f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"


def write_table(out: Path) -> str:
    """All that has been measured, job by job."""
    records = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    head = ["job", "seeds", *COLUMNS.values(), "processor minutes", "MiB"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, (*_, stages) in JOBS.items():
        of_job = sorted((r for r in records if r["name"] == name), key=lambda r: r["seed"])
        lines += [row(name, stage, of_job) for stage in stages if of_job]
    text = "\n".join(lines) + "\n"
    (out / "table.md").write_text(text)
    return text


def put_into(document: Path, table: str) -> None:
    """The table between the marks of a document; the rest stays as it is."""
    before, _, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{document}: has no lines {BEGIN} and {END}; write them where the table belongs")
    document.write_text(f"{before}{BEGIN}\n{table}{END}{after}")


def row(name: str, stage: str, records: list[dict]) -> str:
    """One line: means over the seeds, and half the range where there are several."""
    cells = [f"{name}, {stage}" if stage else name, ",".join(str(r["seed"]) for r in records)]
    for key in COLUMNS:
        values = [record["stages"][stage][key] for record in records]
        cells.append(shown(values, percent=key in ("miou", "near_miou")))
    cells.append(f"{statistics.mean(r['cpu'] for r in records) / 60:.1f}")
    cells.append(f"{statistics.mean(r['memory'] for r in records):.0f}")
    return "| " + " | ".join(cells) + " |"


def shown(values: list[float], *, percent: bool) -> str:
    """Mean and half the range."""
    factor, digits = (100, 1) if percent else (1, 3)
    mean, half = statistics.mean(values) * factor, (max(values) - min(values)) / 2 * factor
    spread = f" ± {half:.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread}"


def main() -> None:
    """Measure every job, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", default="", help="names, with ; between them; default: all")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for seed in map(int, options.seeds.split(",")):
        for name in options.jobs.split(";") if options.jobs else JOBS:
            if time.monotonic() - began > 60 * options.minutes:
                sys.exit(f"{options.out}: {options.minutes:g} minutes are over; run it again")
            measure(name, seed, options)
            table = write_table(options.out)
            print(table, flush=True)
            if options.into:
                put_into(options.into, table)


if __name__ == "__main__":
    main()
