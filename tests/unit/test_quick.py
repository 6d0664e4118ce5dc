"""The fast head, doubt, and pieces: facts on scenes drawn by hand."""

import numpy as np
import pytest
import torch

from hintseg.errors import DataError
from hintseg.predict.doubt import disagreement, labels_and_doubt, summed_up
from hintseg.predict.pieces import piece_at
from hintseg.predict.quick import (
    MOST,
    BackboneFeatures,
    EmbeddingFeatures,
    HintedCells,
    fit_head,
    hinted_cells,
    quick_scores,
    steadied,
)


@pytest.fixture
def blobs():
    """Three Gaussian classes in five dimensions, 60 cells each."""
    generator = torch.Generator().manual_seed(0)
    centres = 4 * torch.eye(3, 5)
    labels = torch.arange(3).repeat_interleave(60)
    return HintedCells(centres[labels] + torch.randn(180, 5, generator=generator), labels)


def test_the_head_agrees_with_discriminant_analysis_written_down(blobs):
    x, y = blobs.features.double().numpy(), blobs.labels.numpy()
    means = np.stack([x[y == k].mean(axis=0) for k in range(3)])
    rest = x - means[y]
    spread = rest.T @ rest / len(x)
    shrunk = 0.9 * spread + 0.1 * np.eye(5) * (np.trace(spread) / 5 + 1e-4)
    inverse = np.linalg.inv(shrunk)
    logits = x @ inverse @ means.T - 0.5 * np.diag(means @ inverse @ means.T)
    others = np.where(np.eye(3, dtype=bool)[y], -np.inf, logits).max(axis=1)
    margins = np.sort(logits[np.arange(len(y)), y] - others)
    logits /= max(1.0, margins[(len(y) - 1) // 2] / np.log(99))  # half are no surer than 99 %
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    found = fit_head(blobs, [], 3).scores(blobs.features.T[:, None])[:, 0].T
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


def test_half_of_the_hinted_cells_are_no_surer_than_99_percent(blobs):
    for wide in (1.0, 30.0):  # however far apart the classes are
        far = HintedCells(blobs.features * wide, blobs.labels)
        sure = fit_head(far, [], 2 + 1).scores(far.features.T[:, None]).amax(dim=0)
        assert 0.9 < sure.median() <= 0.9901


def test_a_class_without_hints_never_wins(blobs):
    scores = fit_head(blobs, [], 5).scores(blobs.features.T[:, None])
    assert (scores[3:] == 0).all()
    torch.testing.assert_close(scores.sum(dim=0), torch.ones(1, 180))


def test_without_hints_there_is_no_head(blobs):
    nothing = HintedCells(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long))
    assert fit_head(None, [], 3) is None
    assert fit_head(nothing, [nothing], 3) is None
    assert quick_scores(torch.zeros(5, 2, 2), nothing, [], 3) is None


def test_one_hint_is_enough():
    one = HintedCells(torch.ones(1, 5), torch.tensor([1]))
    scores = quick_scores(torch.randn(5, 2, 3), one, [], 3)
    assert (scores.argmax(dim=0) == 1).all()
    assert scores.isfinite().all()


def test_many_cells_of_another_image_do_not_outweigh_the_open_one():
    """Class 1 looks different elsewhere; here its hint decides."""
    own = HintedCells(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    noise = 0.1 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    elsewhere = HintedCells(torch.tensor([-1.0, 0.0]) + noise, torch.ones(2000, dtype=torch.long))
    scores = quick_scores(torch.tensor([[[0.0, 1.0]], [[0.0, 0.0]]]), own, [elsewhere], 2)
    assert scores.argmax(dim=0).tolist() == [[0, 1]]


def test_hinted_cells_are_those_with_a_label_and_not_too_many():
    features = torch.arange(6.0).view(1, 2, 3)
    cells = hinted_cells(features, torch.tensor([[-1, 2, -2], [0, -1, 2]]))
    pairs = sorted(zip(cells.labels.tolist(), cells.features[:, 0].tolist(), strict=True))
    assert pairs == [(0, 3.0), (2, 1.0), (2, 5.0)]
    many = hinted_cells(torch.zeros(1, 60, 60), torch.zeros(60, 60, dtype=torch.long))
    assert MOST / 2 <= len(many.labels) <= MOST


def test_features_lie_at_stride_4_whatever_the_size(segmenter):
    rng = np.random.default_rng(0)
    for height, width in ((40, 56), (33, 70), (5, 3)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        rows, columns = -(-height // 4), -(-width // 4)
        assert BackboneFeatures()(image).shape[1:] == (rows, columns)
        embedded = EmbeddingFeatures(segmenter.embedder)(image)
        assert embedded.shape == (8, rows, columns)
        torch.testing.assert_close(embedded.norm(dim=0), torch.ones(rows, columns))


def test_scores_are_drawn_to_the_mean_of_their_region():
    scores = torch.rand(3, 4, 6).softmax(dim=0)
    regions = (torch.arange(6) // 3).expand(4, 6)
    flat = steadied(scores, regions, share=1.0)
    torch.testing.assert_close(flat[:, 0, 0], scores[:, :, :3].mean(dim=(1, 2)))
    torch.testing.assert_close(steadied(scores, regions, share=0.0), scores)
    torch.testing.assert_close(steadied(scores, regions).sum(dim=0), torch.ones(4, 6))


def test_doubt_agrees_with_the_two_best():
    scores = torch.rand(6, 5, 7, generator=torch.Generator().manual_seed(0)).softmax(dim=0)
    labels, doubt = labels_and_doubt(scores)
    best = scores.topk(2, dim=0)
    torch.testing.assert_close(labels, best.indices[0])
    torch.testing.assert_close(doubt, 1 - best.values[0] + best.values[1])


def test_one_class_is_no_doubt():
    labels, doubt = labels_and_doubt(torch.ones(1, 2, 2))
    assert labels.eq(0).all()
    assert doubt.eq(0).all()


def test_two_that_agree_do_not_disagree():
    scores = torch.rand(4, 3, 3).softmax(dim=0)
    assert disagreement(scores, scores).eq(0).all()
    assert disagreement(torch.eye(2)[:, :1, None], torch.eye(2)[:, 1:, None]).eq(1).all()


def test_the_doubtful_place_is_inside_the_image():
    found = summed_up(torch.ones(1, 1))
    assert (found.mean, found.x, found.y) == (1.0, 0.5, 0.5)


def test_a_piece_is_connected_and_as_large_as_its_box():
    labels = np.zeros((6, 8), np.int16)
    labels[1:3, 1:4] = 1
    labels[4:, 6:] = 1
    labels[2, 2] = 0
    shape = piece_at(labels, 1.0, 1.0)
    assert (shape.kind, shape.label, shape.points) == ("mask", 1, ((1.0, 1.0), (3.0, 2.0)))
    assert shape.bitmap.tolist() == [[True, True, True], [True, False, True]]


@pytest.mark.parametrize(("x", "y", "message"), [(9.0, 0.0, "outside"), (0.0, 0.0, "nothing is")])
def test_a_piece_of_nothing_is_refused(x, y, message):
    with pytest.raises(DataError, match=message):
        piece_at(np.full((3, 4), -1), x, y)
