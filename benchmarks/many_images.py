"""Start of a training on very many images: seconds and memory until the first batch is there.

    python benchmarks/many_images.py [--images 1000,10000,100000] [--method partial]

The images are hard links of one small photograph, with one mask and one file of hints. Each number
is measured in a process of its own; what the imports take (a training of 8 images) stands first.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from hintseg.images.label_maps import write_label_map
from hintseg.images.photographs import write_png

CLASSES = ("grass", "cow", "sky")
SIDE = 64
MOST_LINKS = 50_000  # of one file; file systems have limits
HINTS = {
    "version": "5.4.1",
    "flags": {},
    "shapes": [
        {"label": "sky", "shape_type": "point", "points": [[9, 5]]},
        {"label": "cow", "shape_type": "point", "points": [[30, 40]]},
        {"label": "grass", "shape_type": "linestrip", "points": [[5, 60], [60, 60]]},
    ],
    "imagePath": "image.png",
    "imageData": None,
    "imageHeight": SIDE,
    "imageWidth": SIDE,
}


def make(root, count):
    """A data set of so many links."""
    rng = np.random.default_rng(0)
    image = PillowImage.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    write_png(root / "one.png", image)
    mask = np.arange(SIDE)[:, None].repeat(SIDE, 1) * 3 // SIDE
    write_label_map(root / "mask.png", mask.astype(np.int16), classes=3)
    (root / "hints.json").write_text(json.dumps(HINTS))
    kinds = {"images": ("one.png", ".png"), "masks": ("mask.png", ".png")}
    for folder, (file, ending) in {**kinds, "hints": ("hints.json", ".json")}.items():
        (root / folder).mkdir()
        for number in range(count):
            if number % MOST_LINKS == 0:
                first = root / folder / f"{number:06d}{ending}"
                shutil.copy(root / file, first)
            else:
                os.link(first, root / folder / f"{number:06d}{ending}")
    names = "".join(f"{number:06d}\n" for number in range(count))
    (root / "train.txt").write_text(names)
    classes = ", ".join(CLASSES)
    (root / "dataset.yaml").write_text(f"classes: [{classes}]\nsplits: {{train: train.txt}}\n")
    return root


def start(root, out, method):
    """Seconds until the first batch, and the greatest memory of this process in MB."""
    from hintseg.training import train  # noqa: PLC0415

    class FirstBatch(Exception):  # noqa: N818 - no error
        """The first batch is there."""

    def stop(fabric, module, optimizer, schedule, batches, **_):
        next(iter(batches))
        raise FirstBatch

    from hintseg.methods import fitting  # noqa: PLC0415

    fitting.fit = stop
    settings = {
        "train": {"backbone": "test_efficientnet", "weights": "random", "crop": 32, "batch": 2,
                  "device": "cpu", "steps": 10},
    }  # fmt: skip
    began, cpu = time.perf_counter(), time.process_time()
    with suppress(FirstBatch):
        train(root, out, method=method, settings=settings)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "MB": memory}
    print(json.dumps(found), flush=True)
    os._exit(0)


def main():
    """Measure each number of images in a process of its own."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--images", default="1000,10000,100000")
    words.add_argument("--method", default="partial")
    words.add_argument("--start", nargs=2, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.start:
        start(Path(given.start[0]), Path(given.start[1]), given.method)
    for count in (8, *map(int, given.images.split(","))):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "data"
            root.mkdir()
            make(root, count)
            command = [sys.executable, __file__, "--method", given.method]
            command += ["--start", str(root), str(Path(folder) / "run")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if not done.stdout.strip():
                sys.exit(done.stderr[-2000:])
            found = json.loads(done.stdout.splitlines()[-1])
        seconds = f"{found['seconds']:6.1f} s ({found['cpu']:.1f} s of a core)"
        print(f"{count:7} images: {seconds}, {found['MB']:6.0f} MB", flush=True)


if __name__ == "__main__":
    main()
