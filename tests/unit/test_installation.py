"""Packages that are absent, that do not fit, and those that a command can do without."""

import json
import os
import subprocess
import sys

import pytest

from conftest import draw_data
from hintseg.errors import InstallationError
from hintseg.versions import importing_torchvision

UNFIT = "operator torchvision::nms does not exist"
PROGRAM = """
import contextlib, io, json, sys
from hintseg import cli
found = []
for words in json.load(sys.stdin):
    sys.argv = ["hintseg", *words]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
    loaded = [name for name in ("torch", "timm", "higra", "numba") if name in sys.modules]
    found.append((code, said.getvalue(), loaded))
json.dump(found, sys.stdout)
"""


def commands(folder, *all_words, path=""):
    """Exit code or message, output and heavy modules after each command of one process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([list(map(str, words)) for words in all_words]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(path), *sys.path])},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_without_a_torchvision_that_fits_all_works_but_the_networks(tmp_path):
    data = draw_data(tmp_path / "data")
    broken = tmp_path / "broken" / "torchvision"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(f"raise RuntimeError({UNFIT!r})\n")
    found = commands(
        tmp_path,
        ["methods"],
        ["check", data],
        ["simulate", data, "--hints", "points", "--out", "hinted"],
        ["export", "coco", data, "--out", "coco.json"],
        ["evaluate", data / "masks", data],
        ["train", data, "--out", "run"],
        ["train", data, "--out", "run", "--method", "full"],
        path=broken.parent,
    )
    codes, texts, loaded = zip(*found, strict=True)
    assert codes[:5] == (0, 0, 0, 0, 0), texts
    for message in codes[5:]:
        assert UNFIT in message
        assert "pip install --force-reinstall torch torchvision" in message
        assert len(message.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert loaded[0] == loaded[1] == loaded[2] == loaded[3] == []
    assert loaded[4] == ["torch"]


def test_an_absent_torchvision_is_said():
    absent = ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
    expected = r"torchvision is not installed, .*pip install"
    with pytest.raises(InstallationError, match=expected), importing_torchvision():
        raise absent


def test_another_absent_package_is_not_taken_for_it():
    absent = ModuleNotFoundError("No module named 'huggingface_hub'", name="huggingface_hub")
    with pytest.raises(ModuleNotFoundError, match="huggingface_hub"), importing_torchvision():
        raise absent


def test_a_library_that_does_not_load_is_said():
    expected = r"does not fit torch \d.*libcudart"
    with pytest.raises(InstallationError, match=expected), importing_torchvision():
        raise OSError("libcudart.so.13: cannot open shared object file")
