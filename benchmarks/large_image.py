"""Peak memory and time of `hintseg predict` on one large photograph.

    python benchmarks/large_image.py RUN [--megapixels 60] [--native]

Makes a photograph of that size from noise and gradients, predicts it in a process of its own and
prints that process's peak memory as the operating system counts it. `--native` lets the model see
the image at its full size, in tiles, whatever the run remembers of `--size`.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def photograph(path: Path, megapixels: float) -> tuple[int, int]:
    """Write a JPEG with the proportions 3 : 2."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)
    return height, width


def main() -> None:
    """Predict and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--megapixels", type=float, default=60)
    parser.add_argument("--native", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = folder / "run"
        run.mkdir()
        shutil.copy(options.run / "model.safetensors", run)
        description = json.loads((options.run / "model.json").read_text())
        if options.native:
            description["size"] = None
        (run / "model.json").write_text(json.dumps(description))
        height, width = photograph(folder / "large.jpg", options.megapixels)
        words = ["predict", run, folder / "large.jpg", "--out", folder / "out", "--device", "cpu"]
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hintseg.cli", *map(str, words)], check=True)
        seconds = time.perf_counter() - began
        with Image.open(folder / "out" / "large.png") as written:
            assert written.size == (width, height)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # of the largest child
    figures = {"pixels": [height, width], "classes": len(description["classes"])}
    figures |= {
        "size": description["size"],
        "peak_gib": round(peak, 2),
        "seconds": round(seconds, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
