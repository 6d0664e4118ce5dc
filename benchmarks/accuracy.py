"""Accuracy of the methods on a data set, over hints and seeds.

    python benchmarks/accuracy.py DATA... --out RUNS [--seeds 0,1,2] [--jobs points:partial,...]
                                  [--crf PRESET,...] [--steps 500] [--size 192] [--crop 160]

A job is HINTS:METHOD. HINTS: full (masks), points, scribbles, boxes, tags, scribbles0.5 (half of
every stroke), mix (each image one of the four kinds at random). METHOD: any, with
settings of its own as in regularized+energy=ncut+weight=0.1 or rca+localise.steps=300; or seeded
(cross-entropy on the hints and on the seeds that SPML would take from activation maps: SPML without
any relation). Simulates hints, trains and evaluates by the command line, one run after the other,
skips what is done already, and writes RUNS/table.md: mean and spread (half the range) of the mIoU
on the test split. Of spml the joint classifier of the embed stage is evaluated, retrieval, and the
classifier of the classify stage where there is one. DATA are folders with masks and splits train,
val, test.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

BUDGET = {"steps": 500, "size": 192, "crop": 160}
NO_RELATIONS = ["annotation", "cooccurrence", "similarity", "affinity"]
SEEDED = [f"spml.relations.{name}=0" for name in NO_RELATIONS]
SEEDED += ["spml.absent=0", "spml.spread=false", "spml.relabel.rounds=[]"]
JOBS = "full:full,points:partial,points:spml,scribbles:partial,scribbles:spml"


def hintseg(*words: object) -> None:
    """Run one command of hintseg."""
    subprocess.run([sys.executable, "-m", "hintseg.cli", *map(str, words)], check=True)


def hinted(data: Path, hints: str, seed: int, out: Path) -> Path:
    """The data set with simulated hints; made if it is not there."""
    if hints == "full":
        return data
    folder = out / f"{data.name}-{hints}-{seed}-data"
    if not folder.exists():
        hintseg("simulate", data, *simulation(hints), "--seed", seed, "--out", folder)
    return folder


def simulation(hints: str) -> list[str]:
    """What `simulate` is asked for."""
    if hints == "mix":
        return ["--hints", "tags,boxes,points,scribbles", "--mix"]
    kinds, _, wrong = hints.partition("+wrong")
    names, fraction = re.fullmatch(r"(.*?[a-z](?::\d+)?)([\d.]*)", kinds).groups()
    words = ["--hints", names.replace("+", ","), "--wrong-tags", wrong or "0"]
    return words + (["--fraction", fraction] if fraction else [])


def keep_budget(options: argparse.Namespace) -> None:
    """A folder is of one budget, since what is done there is not trained again."""
    file, budget = options.out / "budget.json", {key: getattr(options, key) for key in BUDGET}
    known = json.loads(file.read_text()) if file.exists() else budget
    if known != budget:
        sys.exit(f"{options.out}: its runs are of {known}, not {budget}; choose another --out")
    options.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(budget))


def measure(data: Path, job: str, seed: int, options: argparse.Namespace) -> dict[str, dict]:
    """One training and its evaluations by name; read back if done before."""
    hints, method = job.rsplit(":", 1)
    out, refiners = options.out, [name for name in options.crf.split(",") if name]
    source = hinted(data, hints, seed, out)
    folder = out / f"{data.name}-{hints}-{method}-{seed}"
    seconds = folder / "seconds.json"
    if not seconds.exists():
        name, *changes = ("spml" if method == "seeded" else method).split("+")
        settings = SEEDED if method == "seeded" else options.set if method == "spml" else []
        settings = [*settings, *(f"{name}.{change}" for change in changes)]
        words = [word for setting in settings for word in ("--set", setting)]
        began = time.perf_counter()
        budget = [word for key in BUDGET for word in (f"--{key}", getattr(options, key))]
        budget += ["--batch", 8, "--device", "cpu"]
        train = ["train", source, "--method", name, *budget, "--seed", seed, *words]
        hintseg(*train, "--out", folder, "--resume")
        seconds.write_text(json.dumps(time.perf_counter() - began))
    views = {method: (folder, "classifier")}
    if method == "spml":
        chosen = json.loads((folder / "embed" / "manifest.json").read_text())["model"]
        views = {
            "spml, joint classifier": (folder / "embed" / chosen, "classifier"),
            "spml, retrieval": (folder, "retrieval"),
        }
        if (folder / "classify").exists():
            views["spml, after classify"] = (folder, "classifier")
    records = {}
    for view, (model, by) in views.items():
        records[view] = evaluated(data, model, by, folder)
        for crf in refiners:
            records[f"{view}, CRF {crf}"] = evaluated(data, model, by, folder, crf=crf)
    return {name: {**r, "seconds": json.loads(seconds.read_text())} for name, r in records.items()}


def evaluated(data: Path, model: Path, by: str, folder: Path, crf: str = "") -> dict:
    """Figures of a model on the test split."""
    record = folder / f"test-{model.parent.name}-{by}{crf and '-crf-' + crf}.json"
    if not record.exists():
        words = ["--crf", crf] if crf else []
        hintseg("evaluate", model, data, "--split", "test", "--by", by, *words, "--json", record)
    return json.loads(record.read_text())


def row(data: Path, hints: str, name: str, records: list[dict]) -> str:
    """One line of the table."""
    scores = [100 * record["miou"] for record in records]
    near = [100 * record["trimap"]["5"]["miou"] for record in records]
    pixels = [100 * record["pixel_accuracy"] for record in records]
    minutes = [record["seconds"] / 60 for record in records]
    spread = (max(scores) - min(scores)) / 2
    each = ", ".join(f"{score:.1f}" for score in scores)
    mean = statistics.mean
    return (
        f"| {data.name} | {hints} | {name} | {mean(scores):.1f} ± {spread:.1f} | {each} "
        f"| {mean(pixels):.1f} | {mean(near):.1f} | {mean(minutes):.1f} |"
    )


def main() -> None:
    """Measure every data set, job and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", default=JOBS)
    parser.add_argument("--set", action="append", default=[], help="settings of spml")
    parser.add_argument("--crf", default="", help="presets: evaluate with these as well")
    for key, value in BUDGET.items():
        parser.add_argument(f"--{key}", type=int, default=value)
    options = parser.parse_args()
    keep_budget(options)
    runs: dict[tuple[Path, str, str], list[dict]] = {}
    for seed in map(int, options.seeds.split(",")):
        for data in options.data:
            for job in options.jobs.split(","):
                records = measure(data, job, seed, options)
                for name, record in records.items():
                    runs.setdefault((data, job.rsplit(":", 1)[0], name), []).append(record)
    columns = ("data", "hints", "method", "test mIoU %", "by seed", "pixel accuracy %")
    head = "| " + " | ".join((*columns, "within 5 px %", "minutes of train")) + " |"
    lines = [head, "|---" * 8 + "|", *(row(*key, records) for key, records in runs.items())]
    (options.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
