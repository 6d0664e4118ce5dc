"""Metrics from one confusion matrix, checked by hand and by brute force."""

import io
import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as PillowImage
from rich.console import Console

from conftest import TINY_MODEL
from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, DataError, RunError
from hintseg.evaluation import (
    evaluate,
    names_with_masks,
    predicted_pairs,
    read_pairs,
    summarize,
)
from hintseg.images.label_maps import write_label_map
from hintseg.metrics import confusion_of, evaluate_pairs, metrics_of, near_boundary
from hintseg.models.saved import ModelDescription, save_model
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.options import PredictOptions
from hintseg.predict.predictor import Predictor
from hintseg.predict.retrieval.votes import build_prototypes
from hintseg.report.tables import print_evaluation
from hintseg.structures import UNLABELLED, VOID, ClassSet

TRUTH = np.array([[0, 0, 0], [1, 1, VOID], [2, 2, 2]], dtype=np.int16)
FOUND = np.array([[0, 0, 1], [1, 0, 2], [2, 2, VOID]], dtype=np.int16)


def maps(classes, side=6):
    return arrays.arrays(np.int16, (side, side), elements=st.integers(VOID, classes - 1))


# Counting


def test_the_example_of_nine_pixels_comes_out_as_by_hand():
    confusion = confusion_of(FOUND, TRUTH, 3)
    assert confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 1]]
    metrics = metrics_of(confusion)
    np.testing.assert_allclose(metrics.iou, [2 / 4, 1 / 3, 2 / 3])
    np.testing.assert_allclose(metrics.accuracy, [2 / 3, 1 / 2, 2 / 3])
    assert metrics.miou == pytest.approx((1 / 2 + 1 / 3 + 2 / 3) / 3)
    assert metrics.mean_accuracy == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert metrics.pixel_accuracy == pytest.approx(5 / 8)


@given(found=maps(4), truth=maps(4), data=st.data())
@settings(max_examples=60)
def test_counts_and_metrics_are_those_of_brute_force(found, truth, data):
    where = data.draw(st.none() | arrays.arrays(bool, (6, 6)))
    seen = np.ones((6, 6), bool) if where is None else where
    confusion = confusion_of(found, truth, 4, where=where)
    counted = (truth >= 0) & seen
    for t in range(4):
        for p in range(4):
            assert confusion[t, p] == ((truth == t) & (found == p) & counted).sum()
        assert confusion[t, 4] == ((truth == t) & (found < 0) & counted).sum()
    metrics = metrics_of(confusion)
    for c in range(4):
        both = ((truth == c) & (found == c) & counted).sum()
        either = (((truth == c) | (found == c)) & counted).sum()
        assert math.isnan(metrics.iou[c]) if not either else metrics.iou[c] == both / either


def test_void_and_unlabelled_truth_does_not_count_whatever_is_predicted():
    truth = np.array([[VOID, UNLABELLED, 1]], dtype=np.int16)
    for guess in (0, 1, VOID):
        found = np.array([[guess, guess, 1]], dtype=np.int16)
        assert confusion_of(found, truth, 2).tolist() == [[0, 0, 0], [0, 1, 0]]


def test_a_prediction_without_a_class_is_a_miss_and_no_false_alarm():
    truth = np.array([[0, 0, 1, 1]], dtype=np.int16)
    found = np.array([[0, VOID, 1, UNLABELLED]], dtype=np.int16)
    metrics = metrics_of(confusion_of(found, truth, 2))
    assert metrics.iou.tolist() == [0.5, 0.5]
    assert metrics.pixel_accuracy == 0.5


def test_an_absent_class_has_no_iou_and_does_not_count():
    truth = np.array([[0, 0, 1, 1]], dtype=np.int16)
    metrics = metrics_of(confusion_of(truth, truth, 5))
    assert metrics.miou == 1.0
    assert np.isnan(metrics.iou[2:]).all()
    assert metrics.mean_accuracy == 1.0


def test_a_class_that_is_only_predicted_counts_with_zero():
    truth, found = np.zeros((1, 4), np.int16), np.array([[0, 0, 0, 1]], np.int16)
    metrics = metrics_of(confusion_of(found, truth, 3))
    assert metrics.iou[:2].tolist() == [0.75, 0.0]
    assert metrics.miou == 0.375
    assert math.isnan(metrics.accuracy[1])
    assert metrics.mean_accuracy == 0.75


def test_without_any_counted_pixel_nothing_has_a_value():
    metrics = metrics_of(confusion_of(FOUND, np.full_like(TRUTH, VOID), 3))
    assert math.isnan(metrics.miou)
    assert math.isnan(metrics.pixel_accuracy)
    assert math.isnan(metrics.mean_accuracy)


def test_counts_of_many_large_images_do_not_overflow():
    confusion = np.full((2, 3), 10**15, dtype=np.int64)
    assert metrics_of(confusion).pixel_accuracy == pytest.approx(1 / 3)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64])
def test_300_classes_are_counted_whatever_the_kind_of_integer(dtype):
    top = min(299, np.iinfo(dtype).max)
    labels = np.array([[0, top]], dtype=dtype)
    confusion = confusion_of(labels, labels, 300)
    assert confusion.shape == (300, 301)
    assert confusion[top, top] == 1
    assert confusion.sum() == 2


def test_maps_of_two_sizes_cannot_be_compared():
    with pytest.raises(ConfigError, match=r"prediction is \(3, 2\), truth is \(3, 3\)"):
        confusion_of(FOUND[:, :2], TRUTH, 3)


# Many images


@given(pairs=st.lists(st.tuples(maps(3, 4), maps(3, 4)), min_size=1, max_size=4))
@settings(max_examples=30)
def test_images_add_up_to_one_matrix(pairs):
    named = [(f"n{index}", found, truth) for index, (found, truth) in enumerate(pairs)]
    result = evaluate_pairs(named, 3)
    joined = confusion_of(
        np.hstack([found for found, _ in pairs]), np.hstack([truth for _, truth in pairs]), 3
    )
    assert np.array_equal(result.metrics.confusion, joined)
    assert np.array_equal(sum(result.images.values()), joined)
    assert list(result.images) == [name for name, _, _ in named]


def test_the_miou_of_a_split_is_not_the_mean_over_images():
    large = np.zeros((10, 10), np.int16)
    small, wrong = np.ones((1, 1), np.int16), np.zeros((1, 1), np.int16)
    result = evaluate_pairs([("a", large, large), ("b", wrong, small)], 2)
    assert result.metrics.iou.tolist() == [100 / 101, 0.0]
    assert result.metrics.pixel_accuracy == 100 / 101


def test_no_image_gives_no_figures():
    assert math.isnan(evaluate_pairs([], 3).metrics.miou)


def test_images_are_evaluated_one_by_one():
    def source():
        for name in "ab":
            yield name, FOUND, TRUTH

    assert set(evaluate_pairs(source(), 3, trimaps=[1]).images) == {"a", "b"}


# Near boundaries


def near_slowly(truth, width):
    near = np.zeros(truth.shape, bool)
    for y, x in np.ndindex(truth.shape):
        rows, columns = np.nonzero(truth != truth[y, x])
        near[y, x] = (np.hypot(rows - y, columns - x) <= width).any()
    return near


@given(
    truth=arrays.arrays(
        np.int16,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([VOID, UNLABELLED, 0, 0, 0, 0, 1]),
    ),
    width=st.integers(1, 6),
)
@settings(max_examples=100)
def test_the_trimap_is_that_of_brute_force(truth, width):
    assert np.array_equal(near_boundary(truth, width), near_slowly(truth, width))


def test_a_trimap_has_its_width_on_both_sides():
    truth = np.repeat([[0] * 10 + [1] * 10], 4, axis=0).astype(np.int16)
    for width in (1, 3, 5):
        columns = np.flatnonzero(near_boundary(truth, width)[0])
        assert (columns.min(), columns.max()) == (10 - width, 9 + width)


@pytest.mark.parametrize("label", [VOID, 0, 3])
def test_one_label_has_no_boundary(label):
    assert not near_boundary(np.full((5, 7), label, np.int16), 3).any()


def test_metrics_near_boundaries_count_those_pixels_only():
    truth = np.repeat([[0] * 10 + [1] * 10], 4, axis=0).astype(np.int16)
    found = np.roll(truth, 2, axis=1)  # wrong in columns 0, 1, 10 and 11
    result = evaluate_pairs([("a", found, truth)], 2, trimaps=[1, 2, 20])
    accuracy = {width: band.pixel_accuracy for width, band in result.trimaps.items()}
    assert accuracy == {1: 0.5, 2: 0.5, 20: 0.8}
    assert result.metrics.pixel_accuracy == 0.8


@pytest.mark.parametrize("widths", [[0], [3, -1]])
def test_a_trimap_of_no_width_is_refused(widths):
    with pytest.raises(ConfigError, match="trimap: widths are 1 pixel or more, got"):
        evaluate_pairs([], 2, trimaps=widths)


# From data sets, runs and folders


@pytest.fixture
def masks(dataset, tmp_path):
    """A folder with the truth of the val split as predictions."""
    for name in dataset.names("val"):
        path = tmp_path / "masks" / f"{name}.png"
        write_label_map(path, dataset.truth(name), classes=3)
    return tmp_path / "masks"


@pytest.fixture
def run(segmenter, tmp_path):
    """A run folder with the random model."""
    save_model(tmp_path / "run", segmenter, ModelDescription(("grass", "cow", "sky"), **TINY_MODEL))
    return tmp_path / "run"


def test_the_truth_as_prediction_is_perfect(dataset, masks):
    figures = evaluate(masks, dataset, trimaps=[2])
    assert figures.miou == figures.pixel_accuracy == figures.mean_accuracy == 1.0
    assert figures.per_class == {"grass": 1.0, "cow": 1.0, "sky": 1.0}
    assert figures.trimap == {"2": {"miou": 1.0, "pixel_accuracy": 1.0}}
    assert figures.absent_classes == []
    assert figures.images == 2
    assert (figures.split, figures.by) == ("val", "masks")
    assert (figures.scales, figures.flip, figures.crf) == (None, None, None)


def test_a_run_and_the_masks_it_predicts_get_the_same_figures(
    dataset, run, segmenter, classes, tmp_path
):
    figures = evaluate(run, dataset, split="test", trimaps=[3])
    files = {name: dataset.images[name] for name in dataset.names("test")}
    predict_files(Predictor(segmenter, classes), files, tmp_path / "predicted")
    again = evaluate(tmp_path / "predicted", dataset, split="test", trimaps=[3])
    for key in ("miou", "pixel_accuracy", "mean_accuracy", "per_class", "trimap", "images"):
        assert getattr(figures, key) == getattr(again, key)
    assert 0 < figures.pixel_accuracy < 1
    assert (figures.by, figures.scales, figures.flip) == ("classifier", (1.0,), False)


def test_views_change_the_figures_of_a_run_and_are_told(dataset, run):
    plain = evaluate(run, dataset)
    turned = evaluate(run, dataset, scales=(0.5, 1.0), flip=True)
    assert turned.scales == (0.5, 1.0)
    assert turned.flip is True
    assert turned.pixel_accuracy != plain.pixel_accuracy


def test_by_retrieval_a_train_image_does_not_find_itself(dataset, segmenter, classes):
    samples = [(n, dataset.image(n), dataset.truth(n)) for n in dataset.names("train")]
    index = build_prototypes(segmenter, samples)
    predictor = Predictor(segmenter, classes, prototypes=lambda: index)
    names, options = ("field", "pond"), PredictOptions(by="retrieval")
    found = {
        n: labels for n, labels, _ in predicted_pairs(predictor, dataset, names, options=options)
    }
    for name in names:
        image = dataset.image(name)
        alone = predictor.predict(image, by="retrieval", exclude=name)
        assert np.array_equal(found[name], alone.labels)
        same = np.array_equal(found[name], predictor.predict(image, by="retrieval").labels)
        assert same == (name == "pond")


def test_figures_are_plain_values_without_nan(dataset, masks, data_folder):
    for name in ("pond", "ridge"):
        grass = np.where(dataset.truth(name) == 1, 0, dataset.truth(name))
        for folder in (data_folder / "masks", masks):
            write_label_map(folder / f"{name}.png", grass, classes=3)
    figures = evaluate(masks, dataset)
    assert figures.per_class == {"grass": 1.0, "cow": None, "sky": 1.0}
    assert figures.absent_classes == ["cow"]
    assert figures.miou == 1.0
    record = figures.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_an_evaluation_of_nothing_has_no_figures():
    summary = summarize(evaluate_pairs([], 2, trimaps=[3]), ClassSet(("a", "b")))
    assert summary.miou is None
    assert summary.pixel_accuracy is None
    assert summary.absent_classes == ["a", "b"]
    assert summary.trimap == {"3": {"miou": None, "pixel_accuracy": None}}


def test_pairs_come_one_by_one(dataset, segmenter, classes):
    pairs = predicted_pairs(Predictor(segmenter, classes), dataset, ["pond", "nowhere"])
    name, found, truth = next(pairs)
    assert name == "pond"
    assert found.shape == truth.shape == (40, 56)
    with pytest.raises(DataError, match="no image 'nowhere'"):
        next(pairs)


@pytest.mark.parametrize("names", [("cow", "grass", "sky"), ("grass", "cow", "sea")])
def test_a_model_of_other_classes_cannot_be_evaluated(dataset, segmenter, names):
    pairs = predicted_pairs(Predictor(segmenter, ClassSet(names)), dataset, ["pond"])
    with pytest.raises(
        ConfigError, match=r"its classes are not those of the model \(.*another ord"
    ):
        next(pairs)


def test_predictions_are_read_with_void_as_missed(dataset, masks):
    write_label_map(masks / "pond.png", np.full((40, 56), VOID), classes=3)
    (_, found, _), _ = read_pairs(masks, dataset, dataset.names("val"))
    assert (found == VOID).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), r"pond\.png: no prediction for image 'pond' of the split"),
        (
            lambda path: write_label_map(path, np.zeros((20, 28), np.int16), classes=3),
            r"pond\.png: is 28 x 20 pixels, the mask of 'pond' 56 x 40; predict at the image's own",
        ),
        (
            lambda path: write_label_map(path, np.full((40, 56), 7), classes=9),
            r"pond\.png: class index 7 does not exist",
        ),
        (lambda path: path.write_bytes(b""), r"pond\.png: not an image file"),
    ],
)
def test_predictions_that_do_not_fit_are_errors_that_name_the_file(dataset, masks, change, message):
    change(masks / "pond.png")
    with pytest.raises(DataError, match=message):
        evaluate(masks, dataset)


def test_a_split_needs_images_and_all_their_masks(dataset, data_folder):
    assert names_with_masks(dataset, "val") == ("pond", "ridge")
    (data_folder / "masks" / "ridge.png").unlink()
    with pytest.raises(DataError, match=r"ridge\.png: no such mask; split 'val' cannot be evalua"):
        names_with_masks(dataset, "val")
    (data_folder / "splits" / "val.txt").write_text("\n")
    with pytest.raises(DataError, match="split 'val' is empty; nothing to evaluate"):
        names_with_masks(open_dataset(data_folder), "val")


def test_a_source_that_is_nothing_is_an_error(dataset, tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder; give a run folder or a folder"):
        evaluate(tmp_path / "nowhere", dataset)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.yaml").touch()
    with pytest.raises(RunError, match="unfinished: no trained model here"):
        evaluate(tmp_path / "unfinished", dataset)


# Masks that mislead


def black_and_white(folder, dataset):
    """Make masks of 0 and 255, cow against the rest."""
    for name in dataset.images:
        pixels = np.where(dataset.truth(name) == 1, 255, 0).astype(np.uint8)
        PillowImage.fromarray(pixels).save(folder / "masks" / f"{name}.png")


def test_figures_of_masks_of_0_and_255_are_said_to_be_worth_nothing(dataset, masks, data_folder):
    black_and_white(data_folder, dataset)
    for name in ("pond", "ridge"):
        write_label_map(masks / f"{name}.png", np.zeros((40, 56), np.int16), classes=3)
    figures = evaluate(masks, dataset)
    assert figures.miou == 1.0
    assert figures.absent_classes == ["cow", "sky"]
    cows = [(dataset.truth(name) == VOID).mean() for name in ("pond", "ridge")]
    assert figures.void == pytest.approx(np.mean(cows))
    assert "split 'val' hold only the values 0 and 255" in figures.warnings[0]
    assert "write values: {0: grass, 255: CLASS}" in figures.warnings[0]


def test_a_class_in_no_mask_is_absent_though_it_was_predicted(dataset, masks, data_folder):
    for name in ("pond", "ridge"):
        grass = np.where(dataset.truth(name) == 1, 0, dataset.truth(name))
        write_label_map(data_folder / "masks" / f"{name}.png", grass, classes=3)
    figures = evaluate(masks, dataset)
    assert figures.per_class["cow"] == 0.0
    assert figures.absent_classes == ["cow"]
    assert figures.warnings == ["no mask of split 'val' shows 'cow'"]
    out = io.StringIO()
    print_evaluation(figures, Console(file=out, width=200))
    assert "0.0 (in no mask)" in out.getvalue()
    assert "3.6 % of the mask pixels are void" in out.getvalue()
    assert "warning: no mask of split 'val' shows 'cow'" in out.getvalue()


def test_sound_masks_give_no_warning(dataset, masks):
    figures = evaluate(masks, dataset)
    assert figures.warnings == []
    assert figures.void == pytest.approx(2 / 56)


def test_predictions_are_read_as_ours_or_as_the_masks_of_the_data_set(dataset, data_folder):
    """One with the palette of the classes holds class indices, another one what the masks hold."""
    black_and_white(data_folder, dataset)
    shutil.copytree(data_folder / "masks", data_folder / "other")
    (data_folder / "dataset.yaml").write_text(
        "classes: [cow, rest]\nvalues: {0: rest, 255: cow}\nsplits: {val: splits/val.txt}\n"
    )
    coded = open_dataset(data_folder)
    write_label_map(data_folder / "other/pond.png", coded.truth("pond"), classes=2)
    figures = evaluate(data_folder / "other", coded)
    assert figures.miou == 1.0
    assert figures.per_class == {"cow": 1.0, "rest": 1.0}


def test_predictions_in_another_coding_are_an_error(dataset, data_folder):
    black_and_white(data_folder, dataset)
    (data_folder / "dataset.yaml").write_text(
        "classes: [rest, cow]\nvalues: {0: rest, 255: cow}\nsplits: {val: splits/val.txt}\n"
    )
    coded = open_dataset(data_folder)
    (data_folder / "other").mkdir()
    for name in ("pond", "ridge"):
        pixels = PillowImage.fromarray(coded.truth(name).astype(np.uint8))
        pixels.save(data_folder / f"other/{name}.png")
    with pytest.raises(DataError, match=r"pond.png: value 1 .*not listed .*predictions are read"):
        evaluate(data_folder / "other", coded)
