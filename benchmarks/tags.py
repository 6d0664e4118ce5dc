"""Where seeds from tags come from, and how good they are: localisers x what spreads their maps.

    python benchmarks/tags.py DATA --out RUNS [--seed 0] [--steps 500] [--by cam,seam,sc_cam]
                              [--expand none,affinity,irn,embedding] [--agree 0,6] [--every 1]
                              [--wrong 0.1] [--set localise.margin=0.1 ...]

Simulates tags for DATA (a folder with masks), trains each localiser once (0.4 of the steps, and as
many for what spreads its maps), makes the seeds of every N-th train image and compares them with
the masks: share of the pixels that get a seed, share of those that are right, mean recall of the
classes, and the mean IoU where a pixel without a seed is wrong. Writes RUNS/tags-SEED.md, one line
after the other; what is trained already is not trained again.
"""

import argparse
import itertools
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from hintseg.data.dataset import open_dataset
from hintseg.engine.run import Run, start_run
from hintseg.images.label_maps import read_label_map
from hintseg.methods.config import make_config
from hintseg.methods.job import Job
from hintseg.methods.localise.stage import localise, unseen_images
from hintseg.methods.settings import merge, parse_overrides
from hintseg.models.saved import ModelDescription
from hintseg.resize import resize_labels

TRAIN = {"size": 192, "crop": 160, "batch": 8, "device": "cpu", "threads": 1}


def prepared(data: Path, out: Path, name: str, sections: dict, options: argparse.Namespace) -> Job:
    """A job whose method is `cam` with other settings; nothing is trained yet."""
    train = {**TRAIN, "steps": options.steps, "seed": options.seed}
    config = make_config("cam", str(data), sections=merge({"train": train}, sections))
    dataset = open_dataset(data)
    description = ModelDescription(
        dataset.classes.names, dataset.classes.background, size=192, zoom=1.4
    )
    run = Run(out / name)
    if not (run.root / "config.yaml").exists():
        start_run(run, config.dump())
    return Job(dataset, run, Fabric(accelerator="cpu"), config.train, config.own, description)


def take_over(base: Path, folder: Path) -> None:
    """The trained localiser of another variant."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in base.glob("classifier.safetensors"):
        shutil.copy(path, folder)
    for path in (*base.glob("round-*"), base / "affinity", base / "irn"):
        if path.is_dir():
            shutil.copytree(path, folder / path.name, dirs_exist_ok=True)


def compared(job: Job, folder: Path, names: tuple[str, ...]) -> dict[str, float]:
    """Seeds against masks, in %."""
    classes = len(job.dataset.classes)
    table = np.zeros((classes, classes + 1))
    for name in names:
        seeds = read_label_map(folder / "seeds" / f"{name}.png", classes=classes, undeclared=-1)
        truth = resize_labels(job.dataset.checked_truth(name), *seeds.shape)
        known = truth >= 0
        found = np.where(seeds < 0, classes, seeds)[known]
        table += np.bincount(truth[known] * (classes + 1) + found, minlength=table.size).reshape(
            table.shape
        )
    right, truth = np.diag(table), table.sum(axis=1)
    there, seeded = truth > 0, table[:, :-1].sum()
    union = truth + table[:, :-1].sum(axis=0) - right
    return {
        "seeded": 100 * seeded / table.sum(),
        "right": 100 * right.sum() / max(1, seeded),
        "recall": 100 * (right[there] / truth[there]).mean(),
        "miou": 100 * (right[there] / union[there]).mean(),
    }


def measure(options: argparse.Namespace) -> None:
    """Every variant; one line each."""
    out = options.out
    wrong = f"-wrong{options.wrong}" if options.wrong else ""
    data = out / f"{options.data.name}-tags-{options.seed}{wrong}"
    if not data.exists():
        words = ["simulate", options.data, "--hints", "tags", "--seed", options.seed, "--out", data]
        words += ["--wrong-tags", options.wrong]
        subprocess.run([sys.executable, "-m", "hintseg", *map(str, words)], check=True)
    table = out / f"tags-{options.data.name}-{options.seed}.md"
    variants = itertools.product(options.by, options.expand, options.agree)
    for by, expand, agree in variants:
        name = "-".join([options.data.name, by, expand, f"agree{agree}", str(options.seed)])
        own = {"by": by, "expand": {"by": expand}, "agreement": {"rounds": int(agree)}}
        if by == "seam":
            own["output_stride"] = 8
        sections = merge({"cam": {"localise": own}}, parse_overrides(options.set))
        name += wrong + "".join("-" + word.rsplit(".", 1)[-1] for word in options.set)
        job = prepared(data, out, name, sections, options)
        settings, folder = job.method_settings.localise, job.run.stage_folder("localise")
        base = out / f"learnt-{options.data.name}-{by}-{options.seed}{wrong}"
        take_over(base, folder)
        names = unseen_images(job, settings)[:: options.every]
        began = time.perf_counter()
        localise(job, settings, names, folder)
        seconds = time.perf_counter() - began
        take_over(folder, base)
        figures = compared(job, folder, names)
        told = " ".join([*options.set, wrong[1:]]).strip()
        row = [by, expand, agree, told, *(f"{v:.1f}" for v in figures.values())]
        with table.open("a") as file:
            file.write("| " + " | ".join([*row, f"{seconds:.0f} s"]) + " |\n")
        print(*row, f"{seconds:.0f} s", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument(
        "--by", type=lambda text: text.split(","), default=["cam", "seam", "sc_cam"]
    )
    parser.add_argument(
        "--expand",
        type=lambda text: text.split(","),
        default=["none", "affinity", "irn", "embedding"],
    )
    parser.add_argument("--agree", type=lambda text: text.split(","), default=["0", "6"])
    parser.add_argument("--wrong", type=float, default=0.0, help="share of images with a wrong tag")
    parser.add_argument("--set", action="append", default=[])
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
