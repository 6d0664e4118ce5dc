"""Methods are light records; another package adds one by an entry point."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hintseg.methods import METHODS
from hintseg.methods.job import Recipe

OUTSIDE = '''
"""A method of another package."""

from hintseg.methods import cross_entropy
from hintseg.methods.method import Method

METHOD = Method(
    name="outside",
    summary="from elsewhere",
    takes="points",
    paper="none",
    code="outside_method:RECIPE",
)


def __getattr__(name):
    if name == "RECIPE":
        return cross_entropy.PARTIAL.recipe()
    raise AttributeError(name)
'''
TINY = (
    "train.steps=2 train.crop=64 train.batch=2 train.weights=random train.validate_images=0 "
    "train.backbone=test_efficientnet"
)


def run(*words, folder=None, code=0):
    """The command line in its own process, with the packages of a folder installed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder or ""), *sys.path])}
    line = [sys.executable, "-m", "hintseg.cli", *map(str, words)]
    done = subprocess.run(line, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == code, done.stderr
    return done


def install(folder, value):
    """What pip writes of a package with one entry point."""
    facts = folder / "outside-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[hintseg.methods]\noutside = {value}\n")
    (folder / "outside_method.py").write_text(OUTSIDE)


@pytest.mark.parametrize("name", METHODS)
def test_every_record_finds_its_code(name):
    method = METHODS[name]
    assert isinstance(method.recipe(), Recipe)
    assert method.name == name
    assert all((method.summary, method.takes, method.paper))


def test_methods_are_listed_without_torch():
    script = (
        "import sys; from hintseg.cli import main; sys.argv[1:] = ['methods']\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in METHODS)


def test_a_method_of_another_package_trains(dataset, tmp_path):
    install(tmp_path / "site", "outside_method:METHOD")
    assert "outside  from elsewhere" in run("methods", folder=tmp_path / "site").stdout
    options = [word for setting in TINY.split() for word in ("--set", setting)]
    out = tmp_path / "run"
    given = ("train", dataset.root, "--method", "outside", "--out", out, *options)
    run(*given, folder=tmp_path / "site")
    assert (out / "model.safetensors").is_file()
    # without that package the run still predicts
    run("predict", out, dataset.root / "images", "--out", tmp_path / "masks")
    assert list((tmp_path / "masks").glob("*.png"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [("outside_method:NOTHING", "NOTHING"), ("outside_method:__doc__", "it is no Method")],
)
def test_a_broken_one_is_left_out_with_a_warning(tmp_path, value, reason):
    install(Path(tmp_path), value)
    done = run("methods", folder=tmp_path)
    assert "spml  " in done.stdout
    assert "outside  " not in done.stdout
    assert "method outside" in done.stderr
    assert reason in done.stderr
