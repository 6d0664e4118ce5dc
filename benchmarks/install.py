"""What an installation weighs: packages, bytes on disk, and what a command costs at its start.

    python benchmarks/install.py [--repeats 5] [--source SRC] [--packages 12]

Packages and bytes are those that `pip install hintseg` brings to this system (no extras), by what
pip recorded of them. Times are processor seconds (user and system) of whole processes, the least of
the repeats, so that other work on the machine matters little; the data set is of four drawn images.
--source measures the code of another checkout (its folder src), for before and after.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

HERE = Path(__file__).resolve()
HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "lightning_fabric",
    "numba",
    "higra",
    "matplotlib",
    "skimage",
)
TINY = ["--backbone", "test_efficientnet", "--set", "train.weights=random", "--device", "cpu"]


def needed(name: str, extras: frozenset[str] = frozenset()) -> dict[str, int]:
    """Bytes of a package and of all that it needs on this system, by name."""
    sizes: dict[str, int] = {}
    asked = [(canonicalize_name(name), extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while asked:
        package, wanted = asked.pop()
        if (package, wanted) in seen:
            continue
        seen.add((package, wanted))
        try:
            found = distribution(package)
        except PackageNotFoundError:
            continue  # optional on this system, or another release needs it
        files = (Path(found.locate_file(file)) for file in found.files or ())
        sizes[package] = sum(file.stat().st_size for file in files if file.is_file())
        asked += list(requirements(found.requires or [], wanted))
    return sizes


def requirements(lines: list[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Names and extras of the requirements that hold here."""
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def draw(root: Path) -> None:
    """Four images of two classes, each with a mask."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(4):
        mask = np.zeros((48, 64), dtype=np.uint8)
        mask[10 + index : 34, 20:44] = 1
        colours = np.array([(60, 140, 50), (130, 80, 50)])[mask]
        noisy = (colours + rng.normal(0, 12, colours.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(root / "images" / f"{index}.png")
        Image.fromarray(mask).save(root / "masks" / f"{index}.png")
    (root / "dataset.yaml").write_text(
        "classes: [grass, cow]\nsplits: {train: t.txt, val: v.txt}\n"
    )
    (root / "t.txt").write_text("0\n1\n")
    (root / "v.txt").write_text("2\n3\n")


def commands(data: Path, out: Path) -> dict[str, list[str]]:
    """Words of Python for what is timed; in this order."""
    run = ["-m", "hintseg"]
    few = ["--steps", "1", "--crop", "32", "--batch", "2", *TINY]
    return {
        "import hintseg": ["-c", "import hintseg"],
        "import hintseg.cli": ["-c", "import hintseg.cli"],
        "hintseg --help": [*run, "--help"],
        "hintseg methods": [*run, "methods"],
        "hintseg check": [*run, "check", str(data)],
        "hintseg simulate": [*run, "simulate", str(data), "--hints", "points", "--out", f"{out}/h"],
        "hintseg evaluate MASKS": [*run, "evaluate", str(data / "masks"), str(data)],
        "hintseg train, one step": [
            *(*run, "train", str(data), "--method", "full", "--out", f"{out}/run", *few)
        ],
        "hintseg predict": [*run, "predict", f"{out}/run", f"{data}/images", "--out", f"{out}/m"],
    }


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """Processor seconds of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *words], env=environment, check=True, capture_output=True, timeout=600
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def loaded(words: list[str], environment: dict[str, str]) -> list[str]:
    """The heavy packages that a command loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    return [name for name in HEAVY if name in names]


def times(source: Path, repeats: int) -> Iterator[tuple[str, float, list[str]]]:
    """Name, seconds and heavy packages of each command."""
    path = os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        draw(data)
        places = [Path(folder) / str(turn) for turn in range(repeats + 1)]
        everywhere = [commands(data, place) for place in places]
        for name in everywhere[0]:
            heavy = loaded(everywhere[0][name], environment)
            found = [seconds(words[name], environment) for words in everywhere[1:]]
            yield name, min(found), heavy


def main() -> None:
    """Print all figures as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--source", type=Path, default=HERE.parents[1] / "src")
    parser.add_argument("--packages", type=int, default=12, help="how many of the largest to name")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sizes = needed("hintseg")
    mine = {name: size for name, size in sizes.items() if not name.startswith("nvidia")}
    cuda = sum(sizes.values()) - sum(mine.values())
    print(f"{len(sizes) - 1} packages, {sum(sizes.values()) / 1e6:.0f} MB;", end=" ")
    print(
        f"{len(sizes) - len(mine)} of them, {cuda / 1e6:.0f} MB, are NVIDIA's libraries of torch\n"
    )
    print("| package | MB |\n|---|---|")
    for name, size in sorted(mine.items(), key=lambda item: -item[1])[: asked.packages]:
        print(f"| {name} | {size / 1e6:.0f} |")
    print("\n| command | processor seconds | loads |\n|---|---|---|")
    rows = []
    for row in times(asked.source, asked.repeats):
        rows.append(row)
        print(f"| {row[0]} | {row[1]:.2f} | {', '.join(row[2])} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps({"packages": sizes, "commands": rows}))


if __name__ == "__main__":
    main()
