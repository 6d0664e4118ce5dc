"""Two processes and one command give the files and the figures of one process."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from conftest import TINY_MODEL
from hintseg.cli import app
from hintseg.models.saved import ModelDescription, save_model


@pytest.fixture
def run(segmenter, tmp_path):
    """The folder of a model."""
    description = ModelDescription(("grass", "cow", "sky"), **TINY_MODEL)
    save_model(tmp_path / "run", segmenter, description)
    return tmp_path / "run"


def hintseg(*words, code=0, launch=("-m", "hintseg.cli")):
    done = subprocess.run(
        [sys.executable, *launch, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=300,
    )
    assert done.returncode == code, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done


def alone(*words, code=0):
    """What a command says that is run by this process."""
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done.stdout


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "hintseg")


def test_two_processes_predict_the_files_of_one(run, data_folder, tmp_path):
    words = ["predict", run, data_folder / "images", "--device", "cpu", "--scores", "--out"]
    assert "8 label maps written" in alone(*words, tmp_path / "one")
    said = hintseg(*words, tmp_path / "two", "--devices", "2")
    assert said.stdout.splitlines() == [f"{tmp_path / 'two'}: 8 label maps written"]
    assert not said.stderr
    hintseg(*words, tmp_path / "run2", launch=TORCHRUN)
    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "run2")
    (data_folder / "images" / "herd.png").write_bytes(b"no image")
    broken = hintseg(*words, tmp_path / "two", "--devices", "2", code=1)
    assert "0 label maps written, 7 finished before" in broken.stdout
    (line,) = broken.stderr.splitlines()
    assert "herd.png" in line


def test_two_processes_label_and_evaluate_as_one(run, data_folder, tmp_path):
    words = ["label", run, data_folder, "--device", "cpu", "--out"]
    alone(*words, tmp_path / "one")
    assert "4 label maps written" in hintseg(*words, tmp_path / "two", "--devices", "2").stdout
    assert content(tmp_path / "one") == content(tmp_path / "two")
    words = ["evaluate", run, data_folder, "--split", "train", "--device", "cpu", "--json"]
    one = alone(*words, tmp_path / "1.json")
    assert hintseg(*words, tmp_path / "2.json", "--devices", "2").stdout == one
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


def test_shares_of_an_evaluation_by_queue_are_added_up(run, data_folder, tmp_path):
    words = ["evaluate", run, data_folder, "--split", "train", "--device", "cpu"]
    counts = ["--counts", tmp_path / "counts"]
    alone(*words, "--json", tmp_path / "whole.json")
    for share in ("1/2", "2/2"):
        said = alone(*words, *counts, "--shard", share)
        assert f"counts of {share} of split train" in said
    alone(*words, *counts, "--json", tmp_path / "sum.json")
    whole, total = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("whole", "sum"))
    assert whole == total


def test_a_mistake_of_all_processes_is_one_line(run, data_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.png").write_bytes(b"a picture")
    words = ["predict", run, data_folder / "images", "--device", "cpu", "--out", tmp_path / "out"]
    (line,) = hintseg(*words, "--devices", "2", code=1).stderr.splitlines()
    assert line.startswith(f"hintseg: {tmp_path / 'out'}: holds PNG files")


def test_a_share_that_cannot_be_is_refused(run, data_folder, tmp_path):
    words = ["predict", run, data_folder / "images", "--out", tmp_path / "out", "--shard", "3/2"]
    error = CliRunner().invoke(app, list(map(str, words))).exception
    assert str(error) == "--shard 3/2: must be I/N, from 1/N to N/N, such as 2/8"
