"""From a model to pre-annotations, as a user does it."""

import json
import sys

import numpy as np
import pytest
from PIL import Image as PillowImage

from conftest import TINY_MODEL
from hintseg import cli
from hintseg.hints.labelme import read_labelme
from hintseg.hints.raster import rasterize
from hintseg.images.label_maps import read_label_map
from hintseg.models.saved import ModelDescription, save_model
from hintseg.structures import UNLABELLED, ClassSet

CLASSES = ("grass", "cow", "sky")


@pytest.fixture
def hintseg(monkeypatch, capsys):
    """Run a command in this process; gives exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["hintseg", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
            if isinstance(code, str):
                print(code, file=sys.stderr)  # as the interpreter does
                code = 1
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code or 0, out, err

    return run


@pytest.fixture
def run_folder(tmp_path, segmenter):
    """A finished run, as far as `predict` looks at it."""
    save_model(tmp_path / "run", segmenter, ModelDescription(CLASSES, **TINY_MODEL))
    return tmp_path / "run"


def test_predictions_become_objects_with_scores_under_the_names_of_the_photographs(
    hintseg, run_folder, data_folder, tmp_path
):
    photos, masks, file = data_folder / "images", tmp_path / "masks", tmp_path / "coco.json"
    code, _, err = hintseg("predict", run_folder, photos, "--out", masks, "--scores")
    assert code == 0, err
    code, out, err = hintseg("export", "coco", masks, "--images", photos, "--out", file)
    assert code == 0, err
    assert "8 images" in out
    content = json.loads(file.read_text(encoding="utf-8"))
    assert [category["name"] for category in content["categories"]] == list(CLASSES)
    assert all((photos / image["file_name"]).is_file() for image in content["images"])
    assert content["annotations"]
    for found in content["annotations"]:
        assert 1 / 3 - 0.01 <= found["score"] <= 1
    with PillowImage.open(masks / "scores" / "pond.png") as scores:
        assert (scores.mode, scores.size) == ("L", (56, 40))
        assert np.asarray(scores).min() >= 85 - 1  # the best of three classes


def test_scores_that_were_not_wanted_come_with_the_next_call(
    hintseg, run_folder, data_folder, tmp_path
):
    words = ["predict", run_folder, data_folder / "images", "--out", tmp_path / "masks"]
    assert "8 label maps written" in hintseg(*words)[1]
    before = (tmp_path / "masks" / "pond.png").read_bytes()
    assert "8 label maps written" in hintseg(*words, "--scores")[1]
    assert (tmp_path / "masks" / "pond.png").read_bytes() == before
    assert "8 finished before" in hintseg(*words, "--scores")[1]
    assert "8 finished before" in hintseg(*words)[1]


def test_labels_are_sure_where_hints_are(hintseg, run_folder, data_folder, tmp_path):
    (run_folder / "config.yaml").write_text("method: partial\n")
    out = tmp_path / "labels"
    code, _, err = hintseg("label", run_folder, data_folder, "--out", out, "--scores")
    assert code == 0, err
    with PillowImage.open(out / "scores" / "herd.png") as scores:
        assert np.asarray(scores)[4:8, 10:20].max() == 255  # the scribble on the sky
    code, said, err = hintseg(
        *("export", "labelstudio", out, "--images", data_folder, "--out", tmp_path / "t.json")
    )
    assert code == 0, err
    assert "4 photographs without a label map" in said


def test_corrected_labelme_files_can_be_learned_from(hintseg, run_folder, data_folder, tmp_path):
    photos, masks, out = data_folder / "images", tmp_path / "masks", data_folder / "corrected"
    assert hintseg("predict", run_folder, photos, "--out", masks)[0] == 0
    exact = ["--tolerance", "0", "--smallest", "0"]
    code, _, err = hintseg("export", "labelme", masks, "--images", photos, "--out", out, *exact)
    assert code == 0, err
    for file in sorted(out.glob("*.json")):
        hints, size = read_labelme(file, ClassSet(CLASSES))
        labels = read_label_map(masks / f"{file.stem}.png", classes=3, undeclared=UNLABELLED)
        assert np.array_equal(rasterize(hints, size, ClassSet(CLASSES)).labels, labels)
    text = (data_folder / "dataset.yaml").read_text()
    (data_folder / "dataset.yaml").write_text(text + "hints: corrected\n")
    assert hintseg("check", data_folder)[0] == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["coco", "{run}", "--out", "c.json"], "hintseg predict"),
        (["coco", "nowhere", "--out", "c.json"], "nowhere: no such folder"),
        (["coco", "{data}", "--out", "c.txt"], "choose a name *.json"),
        (["cvat", "{data}", "--out", "c.xml", "--as", "boxes"], "cvat can have polygons, masks"),
        (["geojson", "{data}/images", "--out", "g"], "give --classes"),
        (["geojson", "{data}", "--out", "{data}"], "exists already"),
        (["yolo", "{data}", "--out", "y", "--split", "tset"], "no split 'tset'"),
        (["yolo", "{data}", "--out", "y", "--objects", "pixel"], "choose component or class"),
    ],
)
def test_a_mistake_is_one_line_with_a_remedy(
    hintseg, run_folder, data_folder, tmp_path, monkeypatch, words, text
):
    monkeypatch.chdir(tmp_path)
    words = [word.format(run=run_folder, data=data_folder) for word in words]
    code, _, err = hintseg("export", *words)
    assert code == 1
    assert text in err
    assert len(err.strip().splitlines()) == 1
    assert not [path for path in tmp_path.iterdir() if path.name not in ("run", "data")]


def test_a_broken_map_does_not_stop_the_rest(hintseg, data_folder, tmp_path):
    (data_folder / "masks" / "pond.png").write_bytes(b"no image")
    code, out, err = hintseg("export", "geojson", data_folder, "--out", tmp_path / "g")
    assert code == 1
    assert "7 images" in out
    assert "pond.png" in err
    assert len(list((tmp_path / "g").glob("*.geojson"))) == 7


def test_an_unknown_format_names_the_known_ones(hintseg):
    code, _, err = hintseg("export", "cocoo", "x", "--out", "y")
    assert code == 2
    assert "coco" in err
