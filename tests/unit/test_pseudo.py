"""Pseudo labels: the model's word where the hints are silent, and never against them."""

import numpy as np
import pytest
import torch
from torch import nn

from hintseg.data.samples import load_hinted
from hintseg.models.embedder import Classifier, Embedder, Segmenter
from hintseg.predict.pseudo_labels import confident_labels, pseudo_scores, refined
from hintseg.predict.retrieval.index import PrototypeIndex
from hintseg.predict.retrieval.votes import build_prototypes
from hintseg.predict.tiles import label_at_resolution
from hintseg.structures import UNLABELLED, VOID, Sample, WeakLabels

SIDE = 24


class Colours(Embedder):
    """The embedding of a cell is its mean colour, less a middle grey, and a constant."""

    def __init__(self):
        nn.Module.__init__(self)
        self.dim, self.backbone = 4, nn.Identity()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        cells = nn.functional.avg_pool2d(images.float() / 255 - 0.5, 4, ceil_mode=True)
        return torch.cat([cells, torch.full_like(cells[:, :1], 0.1)], dim=1)


class Linear(Classifier):
    """Logits are the first embedding values, ten times as large."""

    def __init__(self, classes):
        nn.Module.__init__(self)
        self.classes = classes

    def forward(self, embeddings):
        return 10 * embeddings[:, : self.classes]


def model_of(classes=3):
    model = Segmenter(Colours(), classes)
    model.classifier = Linear(classes)
    return model.eval()


def sample_of(labels=None, *, absent=(), size=(SIDE, SIDE), classes=3, seed=0):
    """Noise in blocks of cells; nothing labelled unless given."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-size[0] // 8), -(-size[1] // 8), 3), dtype=np.uint8)
    image = coarse.repeat(8, axis=0).repeat(8, axis=1)[: size[0], : size[1]]
    labels = np.full(size, UNLABELLED) if labels is None else labels
    out = np.isin(np.arange(classes), absent)
    weak = WeakLabels(labels.astype(np.int16), ~out, out, np.zeros((0, 5)))
    return Sample("name", image, weak)


def test_without_a_walk_and_hints_it_is_the_classifier():
    sample = sample_of()
    pixels = torch.from_numpy(sample.image.transpose(2, 0, 1).copy())[None]
    expected = model_of()(pixels).softmax(dim=1)[0]
    found = pseudo_scores(model_of(), sample, steps=0)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(SIDE, SIDE), (1, 1), (3, 50), (17, 5)])
@pytest.mark.parametrize("steps", [0, 8])
def test_every_cell_has_a_distribution_over_the_possible_classes(size, steps):
    scores = pseudo_scores(model_of(), sample_of(absent=[1], size=size), steps=steps)
    assert scores.shape == (3, -(-size[0] // 4), -(-size[1] // 4))
    assert (scores[1] == 0).all()
    assert (scores >= 0).all()
    assert torch.allclose(scores.sum(dim=0), torch.ones(()))


def test_hints_stay_and_reach_what_looks_alike():
    labels = np.full((SIDE, SIDE), UNLABELLED)
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:, 12:] = (10, 250, 20)  # the classifier would say 1
    labels[0, 0], labels[0, 20] = 1, 2
    plain = sample_of(labels)
    sample = Sample("name", image, plain.weak)
    scores = pseudo_scores(model_of(), sample, steps=64)
    assert scores[:, 0, 0].tolist() == [0, 1, 0]
    assert scores[:, 0, 5].tolist() == [0, 0, 1]
    assert (scores[:, :, 3:].argmax(dim=0) == 2).all()
    assert (scores[:, :, :3].argmax(dim=0) == 1).all()


def test_a_mirrored_image_has_mirrored_scores():
    labels = np.full((SIDE, SIDE), UNLABELLED)
    labels[3, 7] = 2
    one = sample_of(labels, absent=[0])
    weak = WeakLabels(
        labels[:, ::-1].astype(np.int16), one.weak.tags, one.weak.absent, np.zeros((0, 5))
    )
    other = Sample("name", one.image[:, ::-1], weak)
    mirrored = pseudo_scores(model_of(), other, steps=8)
    assert torch.allclose(mirrored.flip(-1), pseudo_scores(model_of(), one, steps=8), atol=1e-5)


def test_with_an_index_the_segments_of_other_images_vote():
    sample = sample_of()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def index(number):
        """Five segments of another image with class 2, one of the image `number` with class 0."""
        image = np.array([1, 1, 1, 1, 1, number], np.int32)
        label = np.array([2, 2, 2, 2, 2, 0], np.int32)
        boxes = np.zeros((6, 4), np.int32)
        return PrototypeIndex(vectors, label, image, boxes, ("name", "other"), "hints", 3, 5)

    own = pseudo_scores(model_of(), sample, steps=0, index=index(0))
    assert (own[2] == 1).all()  # its own segment has no vote
    foreign = pseudo_scores(model_of(), sample, steps=0, index=index(1))
    assert torch.allclose(foreign[0], torch.tensor(1 / 6))
    without = pseudo_scores(model_of(), sample_of(absent=[0]), steps=0, index=index(1))
    assert (without[2] == 1).all()


def test_an_unknown_image_excludes_nothing():
    vectors = np.eye(4, dtype=np.float32)[:2]
    index = PrototypeIndex(
        vectors,
        np.array([0, 1], np.int32),
        np.zeros(2, np.int32),
        np.zeros((2, 4), np.int32),
        ("other",),
        "hints",
        3,
        5,
    )
    found = pseudo_scores(model_of(), sample_of(), steps=0, index=index)
    assert torch.allclose(found[:2], torch.tensor(0.5))


# Scores -> labels


def weak_of(labels, absent=(False, False)):
    absent = np.array(absent)
    return WeakLabels(np.array(labels, np.int16), ~absent, absent, np.zeros((0, 5)))


def test_doubtful_pixels_are_unlabelled_and_known_ones_stay():
    scores = torch.tensor([0.9, 0.6, 0.4, 0.1])
    scores = torch.stack([scores, 1 - scores])[:, None]  # four cells side by side
    labels = np.full((4, 16), UNLABELLED)
    labels[0, 0], labels[1, 1], labels[2, 15] = 1, VOID, 0
    found = confident_labels(scores, weak_of(labels), confidence=0.8)
    assert found.dtype == np.int16
    assert (found[0, 0], found[1, 1], found[2, 15]) == (1, VOID, 0)
    assert found[3, :3].tolist() == [0, 0, 0]
    assert found[3, -2:].tolist() == [1, 1]
    assert (found[3, 5:11] == UNLABELLED).all()


def test_without_a_least_confidence_every_pixel_has_a_label():
    scores = torch.rand(2, 3, 4).softmax(dim=0)
    found = confident_labels(scores, weak_of(np.full((11, 13), UNLABELLED)), confidence=0.0)
    assert found.shape == (11, 13)
    assert (found >= 0).all()


def test_where_no_class_is_possible_nothing_is_labelled():
    sample = sample_of(absent=[0, 1, 2])
    scores = pseudo_scores(model_of(), sample, steps=4)
    assert (scores == 0).all()
    assert (confident_labels(scores, sample.weak, confidence=0.0) == UNLABELLED).all()


@pytest.mark.parametrize("crf", [None, "psa"])
def test_where_no_class_is_possible_the_scores_are_zero_after_a_crf_too(crf):
    sample = sample_of(absent=(0, 1, 2))
    scores = pseudo_scores(model_of(), sample)
    scores = scores if crf is None else refined(scores, sample, crf)
    assert not scores.any()
    assert (label_at_resolution(scores, 9, 9, covered=(SIDE, SIDE)) == UNLABELLED).all()


def test_one_pixel():
    found = confident_labels(
        torch.tensor([0.3, 0.7])[:, None, None], weak_of([[UNLABELLED]]), confidence=0.5
    )
    assert found.tolist() == [[1]]


def test_both_ask_classifier_and_votes(segmenter, classes, dataset):
    sample, other = (load_hinted(dataset, name, size=None) for name in ("herd", "field"))
    index = build_prototypes(segmenter, [("field", other.image, other.weak.labels)])
    alone = pseudo_scores(segmenter, sample, steps=0)
    votes = pseudo_scores(segmenter, sample, steps=0, index=index)
    both = pseudo_scores(segmenter, sample, steps=0, index=index, both=True)
    free = (alone < 1).all(dim=0)  # cells without a label of their own
    torch.testing.assert_close(both[:, free], (alone + votes)[:, free] / 2, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(both, alone)
