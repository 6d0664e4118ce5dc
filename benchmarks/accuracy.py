"""Accuracy of the methods on a data set, over seeds.

    python benchmarks/accuracy.py DATA... --out RUNS [--seeds 0,1,2] [--jobs full,points]

Simulates hints, trains and evaluates by the command line, one run after the other, skips what is
done already, and writes RUNS/table.md: mean and spread (half the range) of the mIoU, minutes of
`train`. DATA are data set folders with masks and splits train, val, test; the figures are those of
the test split.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

BUDGET = ["--steps", "500", "--size", "192", "--crop", "160", "--batch", "8", "--device", "cpu"]
METHOD_OF = {"full": "full", "points": "partial", "scribbles": "partial"}


def hintseg(*words: object) -> None:
    """Run one command of hintseg."""
    subprocess.run([sys.executable, "-m", "hintseg.cli", *map(str, words)], check=True)


def measure(data: Path, job: str, seed: int, out: Path) -> dict:
    """One training and its evaluation; read back if done before."""
    folder = out / f"{data.name}-{job}-{seed}"
    record = folder / "test.json"
    if not record.exists():
        source = data
        if job != "full":
            source = out / f"{data.name}-{job}-{seed}-data"
            if not source.exists():
                hintseg("simulate", data, "--hints", job, "--seed", seed, "--out", source)
        began = time.perf_counter()
        train = ["train", source, "--method", METHOD_OF[job], *BUDGET, "--seed", seed]
        hintseg(*train, "--out", folder, "--resume")
        seconds = time.perf_counter() - began
        hintseg("evaluate", folder, data, "--split", "test", "--json", record)
        record.write_text(json.dumps({**json.loads(record.read_text()), "seconds": seconds}))
    return json.loads(record.read_text())


def row(data: Path, job: str, records: list[dict]) -> str:
    """One line of the table."""
    scores = [100 * record["miou"] for record in records]
    near = [100 * record["trimap"]["5"]["miou"] for record in records]
    minutes = [record["seconds"] / 60 for record in records]
    spread = (max(scores) - min(scores)) / 2
    each = ", ".join(f"{score:.1f}" for score in scores)
    return (
        f"| {data.name} | {job} | {METHOD_OF[job]} | {statistics.mean(scores):.1f} ± {spread:.1f} "
        f"| {each} | {statistics.mean(near):.1f} | {statistics.mean(minutes):.1f} |"
    )


def main() -> None:
    """Measure every data set, job and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", default="full,points")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    runs = {(data, job): [] for data in options.data for job in options.jobs.split(",")}
    for seed in seeds:
        for (data, job), records in runs.items():
            records.append(measure(data, job, seed, options.out))
    head = (
        "| data | labels | method | test mIoU % | by seed | within 5 px | minutes |\n" + "|---" * 7
    )
    lines = [head + "|", *(row(data, job, records) for (data, job), records in runs.items())]
    (options.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
