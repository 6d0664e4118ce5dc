"""Time and memory of an import of COCO: `python benchmarks/formats.py [ANNOTATIONS] [--images N]`.

Makes a file of polygons (of 40 points), boxes and RLE in turn, on photographs of 640 x 480 (JPEG)
of which there are 64 different ones under many names, and runs `hintseg import coco --link` in a
process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image as PillowImage

HEIGHT, WIDTH = 480, 640
CATEGORIES = 80


def main() -> None:
    """Make the source, import it, print time and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=int, nargs="?", default=100_000)
    parser.add_argument("--images", type=int, default=13_700)  # as many a picture as COCO has
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "images", given.images)
        make_file(folder / "instances.json", given.annotations, given.images)
        size = (folder / "instances.json").stat().st_size / 2**20
        started = time.perf_counter()
        words = ["import", "coco", folder / "instances.json", "--images", folder / "images"]
        command = [sys.executable, "-m", "hintseg", *words, "--link", "--out", folder / "out"]
        said = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(said.stdout.splitlines()[-2])
    print(
        f"{given.annotations} annotations ({size:.0f} MB) on {given.images} images: "
        f"{seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of CPU), "
        f"{used.ru_maxrss / 2**20:.2f} GB at most"
    )


def make_images(folder: Path, count: int) -> None:
    """Photographs: smooth noise, 64 files under many names."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:012}.jpg"
        if number >= 64:
            path.hardlink_to(folder / f"{number % 64:012}.jpg")
            continue
        coarse = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        PillowImage.fromarray(coarse).resize((WIDTH, HEIGHT)).save(path, quality=90)


def make_file(path: Path, annotations: int, images: int) -> None:
    """A file as COCO's, every third annotation a polygon, a box, an RLE."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    listed = []
    for number in range(annotations):
        x, y, radius = rng.uniform(100, 540), rng.uniform(100, 380), rng.uniform(10, 90)
        each = {"id": number, "image_id": number % images, "category_id": number % CATEGORIES}
        if number % 3 == 0:
            corners = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
            each["segmentation"] = [corners.ravel().round(2).tolist()]
        elif number % 3 == 1:
            each["bbox"] = [round(x - radius, 2), round(y - radius, 2), 2 * radius, 2 * radius]
        else:
            each["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": disc_runs(x, y, radius)}
        listed.append(each)
    names = [{"id": n, "name": f"class {n}"} for n in range(CATEGORIES)]
    files = [
        {"id": n, "file_name": f"{n:012}.jpg", "height": HEIGHT, "width": WIDTH}
        for n in range(images)
    ]
    path.write_text(json.dumps({"images": files, "annotations": listed, "categories": names}))


def disc_runs(x: float, y: float, radius: float) -> list[int]:
    """Run lengths of a disc, down the columns."""
    runs, done = [], 0
    for column in range(int(x - radius) + 1, int(x + radius)):
        half = (radius**2 - (column - x) ** 2) ** 0.5
        first, last = column * HEIGHT + int(y - half), column * HEIGHT + int(y + half) + 1
        runs += [first - done, last - first]
        done = last
    return [*runs, HEIGHT * WIDTH - done]


if __name__ == "__main__":
    main()
