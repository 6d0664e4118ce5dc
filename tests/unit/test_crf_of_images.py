"""The dense CRF where it meets predictions, pseudo labels and seeds."""

from typing import get_args

import numpy as np
import pytest
import torch

from hintseg.errors import UnknownNameError
from hintseg.predict import refining as module
from hintseg.predict.predictor import Predictor
from hintseg.predict.pseudo_labels import confident_labels
from hintseg.predict.refining import crf_scores, supported_labels
from hintseg.predict.tiles import label_at_resolution, scores_at_resolution
from hintseg.refine import dense_crf
from hintseg.refine.crf import PRESETS, PresetName
from hintseg.structures import UNLABELLED, VOID, WeakLabels


def halves(height, width):
    image = np.full((height, width, 3), 40, np.uint8)
    image[:, width // 2 :] = 200
    return image


def likely(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).softmax(0)


def test_the_names_of_settings_are_those_of_the_presets():
    assert set(get_args(PresetName)) == set(PRESETS)


@pytest.mark.parametrize("size", [(40, 56), (37, 50), (1, 1)])
def test_full_scores_lie_where_the_labels_lie(size):
    """Also where the model has seen the image at another size, and cells reach beyond it."""
    covered = (22, 31)
    scores = likely(3, 6, 8)
    full = scores_at_resolution(scores, *size, covered=covered)
    labels = label_at_resolution(scores, *size, covered=covered)
    assert (full.argmax(dim=0).numpy() == labels).all()


def test_scores_are_those_of_the_crf_at_the_size_of_the_image():
    scores, image = likely(3, 6, 8), halves(24, 32)
    found = crf_scores(image, scores, "psa", covered=(24, 32))
    full = scores_at_resolution(scores, 24, 32, covered=(24, 32))
    torch.testing.assert_close(found, dense_crf(image, full, preset="psa"))


def test_impossible_classes_stay_impossible():
    possible = np.array([True, False, True])
    found = crf_scores(halves(24, 32), likely(3, 6, 8), "psa", covered=(24, 32), possible=possible)
    assert not found[1].any()


def test_large_images_are_shrunk_and_labelled_at_their_size(segmenter, classes, monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 300)
    image = halves(30, 40)
    prediction = Predictor(segmenter, classes).predict(image, crf="psa")
    assert prediction.labels.shape == (30, 40)
    assert prediction.scores.shape == (3, 15, 20)


def test_a_prediction_is_refined_at_the_resolution_of_the_image(segmenter, classes):
    image = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    predictor = Predictor(segmenter, classes, size=25)
    plain, refined = predictor.predict(image), predictor.predict(image, crf="psa")
    expected = crf_scores(image, plain.scores, "psa", covered=predictor.fit(37, 50))
    torch.testing.assert_close(refined.scores, expected)
    assert (refined.labels == expected.argmax(dim=0).numpy()).all()
    assert (refined.labels != plain.labels).any()


def test_an_unknown_preset_is_refused(segmenter, classes):
    with pytest.raises(UnknownNameError, match="preset of the dense CRF"):
        Predictor(segmenter, classes).predict(halves(20, 20), crf="pas")


def test_labels_that_the_image_contradicts_are_dropped():
    labels = np.full((20, 30), UNLABELLED, np.int16)
    labels[2:18, 2:14], labels[2:18, 16:28] = 0, 2
    labels[9:11, 5:7] = 2  # a speck of the wrong class
    labels[0] = VOID
    found = supported_labels(halves(20, 30), labels, "psa", possible=np.array([True, True, True]))
    expected = labels.copy()
    expected[9:11, 5:7] = UNLABELLED
    assert (found == expected).all()
    assert found.dtype == labels.dtype


def test_without_labels_or_a_choice_nothing_is_contradicted():
    labels = np.full((4, 5), UNLABELLED, np.int16)
    some = np.where(np.arange(5) < 2, 1, labels).astype(np.int16)
    both, one = np.array([True, True]), np.array([False, True])
    assert supported_labels(halves(4, 5), labels, "psa", possible=both) is labels
    assert supported_labels(halves(4, 5), some, "psa", possible=one) is some


def test_pseudo_labels_can_be_made_of_the_scores_of_every_pixel():
    scores = likely(2, 9, 7)
    labels = np.full((9, 7), UNLABELLED, np.int16)
    nothing = np.zeros(2, bool)
    weak = WeakLabels(labels, nothing, nothing, np.zeros((0, 5)))
    found = confident_labels(scores, weak, confidence=0.6)
    best, label = scores.max(dim=0)
    assert (found == label.where(best >= 0.6, UNLABELLED).numpy()).all()
