"""The example for a cluster gives the files of one process, where Dask is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TINY_MODEL
from hintseg.models.saved import ModelDescription, save_model
from hintseg.predict.folders.inputs import find_inputs
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.predictor import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "predict_on_a_cluster.py"


def test_a_cluster_predicts_the_files_of_one_process(segmenter, data_folder, tmp_path):
    pytest.importorskip("distributed")
    description = ModelDescription(("grass", "cow", "sky"), **TINY_MODEL)
    save_model(tmp_path / "run", segmenter, description)
    photos = data_folder / "images"
    words = [tmp_path / "run", photos, tmp_path / "out", "--shares", 3]
    done = subprocess.run(
        [sys.executable, EXAMPLE, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "written, there before, failed: 8 0 0" in done.stdout
    predict_files(load(tmp_path / "run"), find_inputs([str(photos)]).images, tmp_path / "one")
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    assert made == {path.name: path.read_bytes() for path in (tmp_path / "one").glob("*.png")}
