"""A tiny data set and a tiny model, for every test that needs one.

The data set is made anew for each test, so that a test may damage it. The model has random weights
and is shared: no test may change it.
"""

import json
import os
import shutil
import signal
from contextlib import contextmanager

# The hook that checks types compiles anew whatever a module of ours imports first: the large
# packages come before.
import lightning_fabric  # noqa: F401
import matplotlib.figure  # noqa: F401
import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial  # noqa: F401
import starlette.testclient  # noqa: F401
import timm  # noqa: F401
import torch
import torchvision.transforms.v2  # noqa: F401
import typer.testing  # noqa: F401
from hypothesis import settings
from PIL import Image as PillowImage

from hintseg.data.dataset import open_dataset
from hintseg.images.label_maps import write_label_map
from hintseg.images.photographs import write_png
from hintseg.models.saved import ModelDescription, build_segmenter
from hintseg.report import run_page
from hintseg.structures import VOID, ClassSet

# On tiny tensors more threads only wait for each other; hintseg and what it starts heed the wish.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
settings.register_profile("hintseg", deadline=None, derandomize=True)  # the same on every machine
settings.load_profile("hintseg")

HEIGHT, WIDTH = 40, 56
CLASSES = ("grass", "cow", "sky")
TINY_MODEL = {"backbone": "test_efficientnet", "dim": 8, "width": 16}
TINY = {  # a training of seconds
    **TINY_MODEL,
    "weights": "random",
    "crop": 32,
    "batch": 2,
    "log_every": 1,
    "device": "cpu",
    "threads": 1,
}
COLOURS = np.array([(60, 140, 50), (130, 80, 50), (120, 170, 230)])  # of the classes
SPLITS = {
    "train": ("field", "herd", "hill", "meadow"),
    "val": ("pond", "ridge"),
    "test": ("shed", "valley"),
}


def pytest_collection_modifyitems(items):
    """What starts processes comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@contextmanager
def room_for(size):
    """No file of this process can be larger than so many bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(autouse=True)
def report_where_asked(request, monkeypatch):
    """Half of a tiny run is its report: it is made for tests that are marked `report` alone."""
    if not request.node.get_closest_marker("report"):
        monkeypatch.setattr(run_page, "report_run", lambda *_: None)


@pytest.fixture
def classes():
    """The classes of the data set; none of them is a background."""
    return ClassSet(CLASSES)


@pytest.fixture
def data_folder(tmp_path):
    """The drawn data set."""
    return draw_data(tmp_path / "data")


def draw_data(root):
    """Eight drawn images with masks; those of the train split have hints of all kinds.

    Sky above, grass below, a cow (a disc) on the grass, and two columns of void at the right.
    """
    rng = np.random.default_rng(0)
    for name in (name for names in SPLITS.values() for name in names):
        mask = draw_mask(rng)
        write_png(root / "images" / f"{name}.png", PillowImage.fromarray(draw_image(mask, rng)))
        write_label_map(root / "masks" / f"{name}.png", mask, classes=len(CLASSES))
        if name in SPLITS["train"]:
            write_hints(root / "hints" / f"{name}.json", mask)
    lines = ["classes: [" + ", ".join(CLASSES) + "]", "splits:"]
    (root / "splits").mkdir()
    for split, names in SPLITS.items():
        (root / "splits" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        lines.append(f"  {split}: splits/{split}.txt")
    (root / "dataset.yaml").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def dataset(data_folder):
    """The data set, opened."""
    return open_dataset(data_folder)


@pytest.fixture(scope="session")
def segmenter():
    """A model of three classes with random weights, always the same, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_segmenter(ModelDescription(CLASSES, **TINY_MODEL))
        with torch.no_grad():
            model.classifier[-1].weight.mul_(20)  # scores that differ from place to place
    return model.eval()


def draw_mask(rng):
    """A landscape, every class in it with at least 30 pixels."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.where(rows < rng.integers(12, 18), 2, 0).astype(np.int16)
    centre = rng.integers(24, 30), rng.integers(14, 40)
    mask[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 60] = 1
    mask[:, -2:] = VOID
    return mask


def draw_image(mask, rng):
    """The colours of the classes, with noise."""
    noise = rng.normal(0, 12, (*mask.shape, 3))
    return (COLOURS[np.maximum(mask, 0)] + noise).clip(0, 255).astype(np.uint8)


def write_hints(path, mask):
    """A scribble on the sky, a point and a box on the cow, a polygon and a tag for the grass."""
    rows, columns = np.nonzero(mask == 1)
    top, bottom = int(rows.min()), int(rows.max()) + 1
    left, right = int(columns.min()), int(columns.max()) + 1
    middle = [(left + right) / 2, (top + bottom) / 2]
    shapes = [
        ("sky", "linestrip", [[4, 4], [30, 8], [48, 5]]),
        ("cow", "point", [middle]),
        ("cow", "rectangle", [[left, top], [right, bottom]]),
        ("grass", "polygon", [[2, 37], [50, 36], [50, 39], [2, 39.5]]),
    ]
    document = {
        "version": "5.4.1",
        "flags": {"grass": True},
        "shapes": [
            {"label": label, "shape_type": kind, "points": points, "flags": {}, "group_id": None}
            for label, kind, points in shapes
        ],
        "imagePath": f"../images/{path.stem}.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture(scope="session")
def made_world(tmp_path_factory):
    """What the tests of faults damage copies of; made once."""
    from commands import make_world  # noqa: PLC0415 - of tests/contracts

    root = tmp_path_factory.mktemp("faults")
    make_world(root)
    return root


@pytest.fixture
def world(made_world, tmp_path, monkeypatch, capsys):
    """A data set, a run and all commands, for a test that may damage them."""
    from commands import World  # noqa: PLC0415 - of tests/contracts

    shutil.copytree(made_world, tmp_path / "world")
    return World(tmp_path / "world", monkeypatch, capsys)
