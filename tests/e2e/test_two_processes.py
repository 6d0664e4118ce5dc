"""Methods whose parts rest in some steps, trained by two processes of torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from conftest import TINY, draw_data

SOURCE = Path(__file__).parents[2] / "src"
LOCALISE = {"steps": 8, "scales": [1.0], "flip": False}
REGIONAL = {"centroids": 2, "slots": 3, "sure": 0.0}  # 4 images, 2 in a step: epochs of 2 steps


def torchrun(data, out, method, own):
    """Train in two processes, as `torchrun --nproc_per_node 2 -m hintseg train` does."""
    shared = {**TINY, "steps": 3, "validate_images": 0}
    pairs = [f"train.{key}={value}" for key, value in shared.items()]
    pairs += [f"{method}.{key}={json.dumps(value)}" for key, value in own.items()]
    words = [word for pair in pairs for word in ("--set", pair)]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    train = ["-m", "hintseg", "train", data, "--method", method, *words, "--out", out]
    done = subprocess.run(
        [sys.executable, *launch, *map(str, train)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def meadows(tmp_path_factory):
    """The drawn data set, grass its background; two of its images have tags alone."""
    data = draw_data(tmp_path_factory.mktemp("two") / "data")
    with (data / "dataset.yaml").open("a") as file:
        file.write("background: grass\n")
    for name in ("herd", "hill"):
        path = data / "hints" / f"{name}.json"
        document = json.loads(path.read_text())
        tags = {shape["label"]: True for shape in document["shapes"]}
        path.write_text(json.dumps({**document, "shapes": [], "flags": tags}))
    return data


@pytest.mark.parametrize(
    "regional",
    [REGIONAL, {**REGIONAL, "slots": 0, "contrast": 0}],
    ids=["whole", "no memory, no aggregation, no contrast"],
)
def test_rca(meadows, tmp_path, regional):
    own = {"localise": {**LOCALISE, "regional": regional}}
    torchrun(meadows, tmp_path / "run", "rca", own)
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert len(list((tmp_path / "run" / "localise" / "seeds").glob("*.png"))) == 2
    known = load_file(tmp_path / "run" / "localise" / "classifier.safetensors")["known"]
    assert known.any() == (regional["slots"] > 0 and regional["centroids"] > 0)


def test_ldf(meadows, tmp_path):
    own = {"foreground": "any", "labels": "hints", "fine_steps": 2}
    torchrun(meadows, tmp_path / "run", "ldf", own)
    made = tmp_path / "run" / "fine" / "labels"
    assert len(list(made.glob("*.png"))) == 4  # each process has made two of them
    assert (tmp_path / "run" / "coarse" / "maps.png").exists()
    assert (tmp_path / "run" / "report.html").exists()
