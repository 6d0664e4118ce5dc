"""A model with the border round it: images of any size in, label maps of that size out."""

import warnings

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from conftest import TINY_MODEL
from hintseg.errors import ConfigError, DataError, RunError
from hintseg.images.label_maps import read_label_map
from hintseg.images.photographs import write_png
from hintseg.models.saved import ModelDescription, save_model
from hintseg.predict.predictor import Predictor, load
from hintseg.resize import resize_image
from hintseg.structures import VOID


@pytest.fixture
def predictor(segmenter, classes):
    return Predictor(segmenter, classes)


def photograph(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return resize_image(coarse, height, width)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 7), (40, 56), (33, 31)])
def test_every_pixel_of_an_image_of_any_size_gets_a_class(predictor, size):
    prediction = predictor.predict(photograph(*size))
    assert prediction.labels.shape == size
    assert prediction.labels.dtype == np.int16
    assert set(np.unique(prediction.labels)) <= {0, 1, 2}
    assert prediction.scores.shape == (3, -(-size[0] // 4), -(-size[1] // 4))
    torch.testing.assert_close(prediction.scores.sum(dim=0), torch.ones_like(prediction.scores[0]))
    assert prediction.classes.names == ("grass", "cow", "sky")


@pytest.mark.parametrize("size", [(1, 1), (3, 7)])
def test_views_of_the_smallest_images_work_too(predictor, size):
    prediction = predictor.predict(photograph(*size), scales=(0.05, 0.5, 2.0), flip=True)
    assert prediction.labels.shape == size


def test_the_same_image_gets_the_same_labels(predictor):
    image = photograph(40, 56)
    first, second = predictor.predict(image), predictor.predict(image.copy())
    assert torch.equal(first.scores, second.scores)
    assert np.array_equal(first.labels, second.labels)


def test_the_image_is_not_changed(predictor):
    image = photograph(5, 7)
    before = image.copy()
    predictor.predict(image, scales=(0.5, 1.0), flip=True)
    assert np.array_equal(image, before)


def test_a_path_and_its_pixels_get_the_same_labels(predictor, tmp_path):
    image = photograph(20, 30)
    path = tmp_path / "a.png"
    write_png(path, PillowImage.fromarray(image))
    expected = predictor.predict(image).labels
    assert np.array_equal(predictor.predict(path).labels, expected)
    assert np.array_equal(predictor.predict(str(path)).labels, expected)


def test_with_flip_a_mirrored_image_gets_mirrored_labels(predictor):
    image = photograph(40, 56)
    labels = predictor.predict(image, flip=True).labels
    mirrored = predictor.predict(image[:, ::-1], flip=True).labels
    assert (mirrored[:, ::-1] == labels).mean() > 0.995  # the rest are ties


def test_options_change_the_scores(predictor):
    image = photograph(40, 56)
    plain = predictor.predict(image).scores
    for options in ({"flip": True}, {"scales": (0.5,)}, {"scales": (1.0, 1.5)}):
        assert (predictor.predict(image, **options).scores - plain).abs().max() > 1e-3


def test_a_working_size_is_used_and_the_result_has_the_size_of_the_image(segmenter, classes):
    image = photograph(80, 112)
    prediction = Predictor(segmenter, classes, size=56).predict(image)
    assert prediction.labels.shape == (80, 112)
    assert prediction.scores.shape == (3, 10, 14)
    direct = Predictor(segmenter, classes).predict(resize_image(image, 40, 56))
    assert torch.equal(prediction.scores, direct.scores)


def test_a_small_image_is_brought_up_to_the_working_size(segmenter, classes):
    prediction = Predictor(segmenter, classes, size=64).predict(photograph(4, 16))
    assert prediction.labels.shape == (4, 16)
    assert prediction.scores.shape == (3, 4, 16)


def test_labels_lie_where_the_things_lie(classes):
    class ByColour(torch.nn.Module):
        """Red, green and blue things, with nothing learned."""

        def forward(self, images):
            return torch.nn.functional.avg_pool2d(images, 4)

    image = np.zeros((47, 61, 3), dtype=np.uint8)
    image[..., 0] = 255
    image[:24, :40] = (0, 255, 0)
    image[30:, 50:] = (0, 0, 255)
    expected = image.argmax(axis=2)
    for size in (None, 200):
        # The predictor asks of its model nothing but logits at stride 4.
        predictor = unchecked(Predictor, ByColour(), classes, size=size)
        labels = predictor.predict(image).labels
        assert (labels == expected).mean() > 0.97
        rows, columns = np.nonzero(labels == 2)
        assert abs(rows.min() - 30) <= 2
        assert abs(columns.min() - 50) <= 2


def unchecked(function, *values, **options):
    """A call without the type checks of the test run, as a user makes it."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        return function(*values, **options)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_a_large_image_in_tiles_is_labelled_as_a_whole(predictor):
    image = photograph(260, 420)
    whole = predictor.predict(image)
    tiled = predictor.predict(image, tile=224)
    assert tiled.scores.shape == whole.scores.shape
    assert (tiled.labels == whole.labels).mean() > 0.8
    torch.testing.assert_close(tiled.scores.sum(dim=0), torch.ones_like(tiled.scores[0]))


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((4, 6), np.uint8), r"\(4, 6\) uint8"),
        (np.zeros((4, 6, 4), np.uint8), r"\(4, 6, 4\) uint8"),
        (np.zeros((4, 6, 3), np.float32), r"\(4, 6, 3\) float32"),
        (np.zeros((0, 6, 3), np.uint8), r"\(0, 6, 3\) uint8"),
        (np.zeros((1, 4, 6, 3), np.uint8), r"\(1, 4, 6, 3\) uint8"),
        (torch.zeros(3, 4, 6, dtype=torch.uint8), "Tensor"),
        ([[1, 2, 3]], "list"),
        (None, "NoneType"),
        (PillowImage.new("RGB", (4, 4)), "Image"),
    ],
)
def test_what_is_no_image_is_refused_with_the_remedy(predictor, image, found):
    with pytest.raises(ConfigError, match=rf"uint8 RGB, got {found}; pass a path"):
        unchecked(predictor.predict, image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "scales: at least one"),
        ({"scales": (0.0,)}, "scales: must lie between"),
        ({"tile": 100}, "tile: must be a multiple of 32 pixels and more than 128, got 100"),
        ({"tile": 64}, "tile: must be a multiple"),
    ],
)
def test_options_that_cannot_work_are_refused(predictor, options, message):
    with pytest.raises(ConfigError, match=message):
        predictor.predict(photograph(4, 4), **options)


def test_a_file_that_is_no_image_is_an_error_that_names_it(predictor, tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"a\.jpg: not an image file"):
        predictor.predict(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"b\.jpg: no such file"):
        predictor.predict(str(tmp_path / "b.jpg"))


def test_the_model_is_in_evaluation_mode_whatever_it_was_in(segmenter, classes):
    segmenter.train()
    image = photograph(40, 56)
    first = Predictor(segmenter, classes).predict(image)
    assert not segmenter.training
    assert torch.equal(first.scores, Predictor(segmenter, classes).predict(image).scores)


@pytest.mark.parametrize("size", [None, 40])
def test_zoom_enlarges_what_the_model_sees_and_not_the_labels(segmenter, classes, size):
    image = photograph(40, 56)
    found = Predictor(segmenter, classes, size=size, zoom=1.5).predict(image)
    longer = 60 if size else 84
    same = Predictor(segmenter, classes, size=longer).predict(image)
    assert found.labels.shape == (40, 56)
    assert torch.equal(found.scores, same.scores)


def test_a_model_on_disk_predicts_as_the_one_in_memory(segmenter, classes, tmp_path):
    save_model(tmp_path, segmenter, ModelDescription(classes.names, **TINY_MODEL, size=48))
    loaded = load(str(tmp_path))
    assert loaded.size == 48
    assert loaded.classes == classes
    image = photograph(40, 56)
    expected = Predictor(segmenter, classes, size=48).predict(image)
    assert torch.equal(loaded.predict(image).scores, expected.scores)


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(RunError, match="no trained model here"):
        load(tmp_path / "nothing")


def test_without_padding_no_size_becomes_a_constant(segmenter):
    with warnings.catch_warnings():  # torch.export says the same, in 40 seconds
        warnings.simplefilter("ignore")
        traced = torch.jit.trace_module(
            segmenter, {"bare": torch.zeros(1, 3, 64, 96)}, check_trace=False
        )
    image = torch.rand(2, 3, 96, 160) * 255
    with torch.inference_mode():
        torch.testing.assert_close(traced.bare(image), segmenter(image), rtol=1e-4, atol=1e-4)


def test_a_prediction_is_saved_with_the_palette_of_its_classes(segmenter, classes, tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    prediction = Predictor(segmenter, classes).predict(image)
    prediction.save(tmp_path / "mask.png")
    again = read_label_map(tmp_path / "mask.png", classes=3, undeclared=VOID)
    assert np.array_equal(again, prediction.labels)
    assert prediction.stride == 4
    assert Predictor(segmenter, classes).predict(image, crf="psa").stride == 1
    with pytest.raises(ConfigError, match=r"ends in \.png"):
        prediction.save(tmp_path / "mask.jpg")
