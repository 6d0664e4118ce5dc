"""What the studio's server computes for a stroke and for an image: CPU time and memory, no browser.

    python benchmarks/stroke.py DATA [--images 220] [--strokes 20]

DATA is a folder of photographs with a dataset.yaml; so many of them are copied. Twenty have strokes
of eight classes already. Prints the median CPU time, which other processes change little, and the
wall time, which they change much, of saving a stroke and answering with the new prediction; the
same of opening an image that nobody has looked at; and the memory of the process before and after
opening 200 images (pictures and predictions).
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
import yaml
from starlette.testclient import TestClient

from hintseg.studio.guard import Door
from hintseg.studio.server import build_app
from hintseg.studio.session import Session

HINTED = 20


def line(label, x, y) -> dict:
    """A stroke of a class."""
    return {"label": label, "points": [[x, y], [x + 40, y + 12]], "shape_type": "linestrip"}


def copied(data, folder, count) -> None:
    """So many photographs and their classes."""
    (folder / "images").mkdir()
    for number, path in enumerate(sorted((data / "images").iterdir())[:count]):
        shutil.copy(path, folder / "images" / f"i{number:03}{path.suffix}")
    classes = yaml.safe_load((data / "dataset.yaml").read_text())["classes"]
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"classes": classes}))


class Page:
    """What a page asks for, and what it costs."""

    def __init__(self, session) -> None:
        self.client = TestClient(
            build_app(session, Door()),
            base_url="http://127.0.0.1:8765",
            headers={"x-hintseg": "1"},
        )
        self.version, self.shapes = "none", []

    def save(self, name, shapes, version) -> str:
        """Write a drawing; its version."""
        answer = self.client.put(
            f"/api/hints?name={name}",
            content=json.dumps({"shapes": shapes, "flags": {}}),
            headers={"if-match": version},
        )
        return answer.json()["version"]

    def stroke(self, name, label, place) -> None:
        """Draw, save, see."""
        self.shapes.append(line(label, *place))
        self.version = self.save(name, self.shapes, self.version)
        self.client.get(f"/api/seen?name={name}")

    def open(self, name) -> None:
        """Everything that an opened image needs."""
        self.client.get(f"/api/image?name={name}")
        self.client.get(f"/api/picture?name={name}&side=4096")
        self.client.get(f"/api/seen?name={name}")


def cost(work) -> tuple:
    """Milliseconds of CPU and of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return 1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)


def say(label, costs) -> None:
    """Medians."""
    cpu, wall = (statistics.median(column) for column in zip(*costs, strict=True))
    print(f"{label:44} {cpu:6.0f} ms CPU  {wall:6.0f} ms", flush=True)


def memory() -> float:
    """MB that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=220)
    parser.add_argument("--strokes", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        copied(options.data, Path(folder), options.images)
        session = Session(Path(folder))
        page, classes = Page(session), session.dataset.classes
        names = list(session.dataset.images)
        for name in names[1 : HINTED + 1]:
            shapes = [line(classes[k % len(classes)], 10 + 20 * k, 40 + 9 * k) for k in range(8)]
            page.save(name, shapes, "none")
            session.seeing.learn(session.dataset, name)
        drawn = [(classes[k % 3], (20.0 + 8 * k, 60.0 + 4 * k)) for k in range(options.strokes + 2)]
        costs = [cost(lambda each=each: page.stroke(names[0], *each)) for each in drawn]
        say("a stroke: saved, and the new prediction", costs[2:])
        before, others = memory(), names[HINTED + 1 :]
        say(
            "an image: opened, picture, prediction",
            [cost(lambda n=n: page.open(n)) for n in others],
        )
        print(f"memory: {before:.0f} MB, after {len(others)} images {memory():.0f} MB")


if __name__ == "__main__":
    main()
