"""Images with hints become dense pseudo labels that respect the hints, at their own resolution."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image as PillowImage

from hintseg.data.dataset import open_dataset
from hintseg.data.samples import load_hinted
from hintseg.errors import ConfigError, DataError, RunError
from hintseg.hints.raster import Brush
from hintseg.images.label_maps import overlay, read_label_map
from hintseg.images.photographs import read_image
from hintseg.predict.folders.hinted import label_files
from hintseg.predict.predictor import Predictor
from hintseg.predict.pseudo_labels import confident_labels, pseudo_scores, refined
from hintseg.predict.retrieval.votes import build_prototypes
from hintseg.structures import UNLABELLED, ClassSet

TRAIN = ["field", "herd", "hill", "meadow"]


@pytest.fixture
def predictor(segmenter, classes):
    return Predictor(segmenter, classes)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def names(paths):
    return [path.stem for path in paths]


def labels_in(folder, name="herd"):
    return read_label_map(folder / f"{name}.png", classes=3, undeclared=UNLABELLED)


def keep_only(dataset, name, *, tags):
    """Take all shapes of an image away but leave tags."""
    path = dataset.json_file(name)
    document = {**json.loads(path.read_text()), "shapes": [], "flags": dict.fromkeys(tags, True)}
    path.write_text(json.dumps(document))
    return open_dataset(dataset.root)


@pytest.mark.parametrize("size", [None, 32, 100])
def test_every_hinted_image_gets_a_class_for_every_pixel_and_hints_stay(
    segmenter, classes, dataset, out, size
):
    outcome = label_files(Predictor(segmenter, classes, size=size), dataset, out)
    assert names(outcome.written) == TRAIN
    for name in TRAIN:
        labels, weak = labels_in(out, name), load_hinted(dataset, name, size=None).weak
        assert labels.shape == dataset.size(name)
        assert (labels >= 0).all()
        known = weak.labels >= 0
        assert known.any()
        assert np.array_equal(labels[known], weak.labels[known])
    with PillowImage.open(out / "herd.png") as picture:
        assert (picture.mode, picture.getpalette()[3:6]) == ("P", [128, 0, 0])


@pytest.mark.parametrize("tags", [("cow",), ("grass", "sky")])
def test_a_class_known_to_be_absent_is_nowhere(predictor, dataset, out, tags):
    dataset = keep_only(dataset, "herd", tags=tags)
    label_files(predictor, dataset, out)
    possible = {dataset.classes.index(tag) for tag in tags}
    assert set(np.unique(labels_in(out))) <= possible
    if len(tags) == 1:
        assert (labels_in(out) == 1).all()


def test_a_pixel_in_doubt_is_unlabelled_and_a_hint_is_never_in_doubt(predictor, dataset, out):
    label_files(predictor, dataset, out)
    label_files(predictor, dataset, out / "sure", confidence=0.9)
    label_files(predictor, dataset, out / "certain", confidence=1.0)
    everywhere, sure, certain = (labels_in(out / part) for part in (".", "sure", "certain"))
    shares = [(labels >= 0).mean() for labels in (everywhere, sure, certain)]
    assert shares[0] == 1 > shares[1] > shares[2] > 0
    assert np.array_equal(sure[sure >= 0], everywhere[sure >= 0])
    known = load_hinted(dataset, "herd", size=None).weak.labels
    assert np.array_equal(certain[known >= 0], known[known >= 0])
    assert np.asarray(PillowImage.open(out / "sure" / "herd.png"))[sure < 0].tolist() == [
        255
    ] * int((sure < 0).sum())


def test_hints_are_drawn_as_wide_as_told(predictor, dataset, out):
    label_files(predictor, dataset, out, confidence=1.0)
    wide = {"brush": Brush(0.1, 0.1)}
    label_files(predictor, dataset, out / "wide", confidence=1.0, **wide)
    assert (labels_in(out / "wide") >= 0).sum() > (labels_in(out) >= 0).sum()
    known = load_hinted(dataset, "herd", size=None, **wide).weak.labels
    assert np.array_equal(labels_in(out / "wide")[known >= 0], known[known >= 0])


def test_by_retrieval_an_image_does_not_find_itself(segmenter, classes, dataset, out):
    known = {"herd": 1, "hill": 2}
    dataset = keep_only(dataset, "herd", tags=("grass", "cow", "sky"))

    def labelled_with(names, folder):
        images = {name: dataset.image(known_as) for name, known_as in names.items()}
        samples = (
            (name, image, np.full(image.shape[:2], known[names[name]]))
            for name, image in images.items()
        )
        index = build_prototypes(segmenter, samples, labelled_by="masks")
        predictor = Predictor(segmenter, classes, prototypes=lambda: index)
        label_files(predictor, dataset, out / folder, by="retrieval", confidence=0.99)
        return labels_in(out / folder)

    assert (labelled_with({"hill": "hill"}, "other") == 2).all()
    assert (labelled_with({"herd": "herd", "hill": "hill"}, "both") == 2).all()
    assert (labelled_with({"pond": "herd", "hill": "hill"}, "itself") != 2).any()


def test_overlays_show_what_was_written(predictor, dataset, out):
    label_files(predictor, dataset, out, overlays=True)
    expected = overlay(dataset.image("herd"), labels_in(out))
    assert np.array_equal(read_image(out / "overlays" / "herd.png"), expected)


def test_images_without_hints_are_passed_over(predictor, dataset, out):
    dataset.json_file("herd").unlink()
    outcome = label_files(predictor, dataset, out)
    assert names(outcome.written) == ["field", "hill", "meadow"]
    assert not (out / "herd.png").exists()


def test_what_is_finished_is_not_done_again(predictor, dataset, out):
    label_files(predictor, dataset, out)
    (out / "herd.png").unlink()
    before = (out / "hill.png").stat().st_mtime_ns
    outcome = label_files(predictor, dataset, out)
    assert names(outcome.written) == ["herd"]
    assert names(outcome.skipped) == ["field", "hill", "meadow"]
    assert (out / "hill.png").stat().st_mtime_ns == before


def test_a_broken_hint_file_is_reported_and_the_rest_is_done(predictor, dataset, out):
    dataset.json_file("herd").write_text("{")
    outcome = label_files(predictor, open_dataset(dataset.root), out)
    assert names(outcome.written) == ["field", "hill", "meadow"]
    (message,) = outcome.failed.values()
    assert "herd.json" in message


@pytest.mark.parametrize(
    "options",
    [
        {"confidence": 0.5},
        {"brush": Brush(point_radius=0.05)},
        {"brush": Brush(scribble_width=0.05)},
    ],
)
def test_other_options_are_refused(predictor, dataset, out, options):
    label_files(predictor, dataset, out)
    with pytest.raises(ConfigError, match="holds predictions of another model or other options"):
        label_files(predictor, dataset, out, **options)


def test_another_model_is_refused(predictor, segmenter, classes, dataset, out):
    label_files(predictor, dataset, out)
    with pytest.raises(ConfigError, match="another model"):
        label_files(Predictor(segmenter, classes, size=32), dataset, out)


def test_an_image_whose_hints_or_photograph_have_changed_is_labelled_anew(predictor, dataset, out):
    label_files(predictor, dataset, out)
    changed = keep_only(dataset, "herd", tags=("cow",))
    shutil.copy(dataset.images["field"], dataset.images["hill"])
    outcome = label_files(predictor, changed, out)
    assert (names(outcome.written), names(outcome.skipped)) == (["herd", "hill"], TRAIN[::3])
    label_files(predictor, changed, out / "new")
    for name in TRAIN:
        assert (out / f"{name}.png").read_bytes() == (out / "new" / f"{name}.png").read_bytes()
    assert names(label_files(predictor, changed, out).skipped) == TRAIN


def test_what_silence_means_is_part_of_the_hints(predictor, dataset, out):
    dataset = keep_only(dataset, "herd", tags=("cow",))
    label_files(predictor, dataset, out)
    description = dataset.root / "dataset.yaml"
    description.write_text(description.read_text() + "tags_complete: false\n")
    assert "herd" in names(label_files(predictor, open_dataset(dataset.root), out).written)


@pytest.mark.parametrize("options", [{"steps": 0}, {"sharpness": 1.0}, {"crf": "psa"}])
def test_walk_and_crf_are_as_told(predictor, dataset, out, options):
    label_files(predictor, dataset, out / "usual", confidence=0.5)
    label_files(predictor, dataset, out / "other", confidence=0.5, **options)
    usual, other = labels_in(out / "usual"), labels_in(out / "other")
    assert (usual != other).any()
    crf = options.pop("crf", None)
    sample = load_hinted(dataset, "herd", size=None)
    scores = pseudo_scores(predictor.model, sample, **options)
    scores = scores if crf is None else refined(scores, sample, crf)
    assert np.array_equal(other, confident_labels(scores, sample.weak, confidence=0.5))


def test_a_folder_of_predictions_or_of_the_data_set_is_refused(predictor, dataset, out):
    for folder in (dataset.root / "images", dataset.hints_folder):
        with pytest.raises(ConfigError, match="choose another --out"):
            label_files(predictor, dataset, folder)
    with pytest.raises(ConfigError, match=r"label\.json is missing"):
        label_files(predictor, dataset, dataset.masks_folder)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"split": "trian"}, DataError, "no split 'trian'"),
        ({"split": "val"}, DataError, "no hints for any of the 2 images of split 'val'"),
        ({"confidence": 1.5}, ConfigError, "confidence: must be 0 to 1, got 1.5"),
        ({"confidence": float("nan")}, ConfigError, "confidence: must be 0 to 1"),
        ({"by": "guess"}, ConfigError, "by: choose classifier, retrieval, both or best"),
        ({"by": "retrieval"}, RunError, "no prototypes"),
    ],
)
def test_what_cannot_work_leaves_no_trace(predictor, dataset, out, options, kind, message):
    with pytest.raises(kind, match=message):
        label_files(predictor, dataset, out, **options)
    assert not out.exists()


def test_other_classes_are_refused(segmenter, dataset, out):
    other = Predictor(segmenter, ClassSet(("grass", "sky", "cow")))
    with pytest.raises(ConfigError, match="its classes are not those of the model"):
        label_files(other, dataset, out)
    assert not out.exists()
