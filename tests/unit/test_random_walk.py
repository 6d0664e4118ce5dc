"""The walk is a power of a matrix whose columns sum to one, in whatever way it is applied."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hintseg.errors import ConfigError
from hintseg.refine import affinity
from hintseg.refine.walks import embedding_walk, walk
from hintseg.structures import UNLABELLED, VOID


def generator(seed):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def likely(*shape, seed=0):
    return torch.rand(*shape, generator=generator(seed), dtype=torch.float64)


def close_embeddings(views, rows, columns, seed=0):
    """Vectors within some ten degrees of each other, so that every transition counts."""
    return noise(1, 5, 1, 1, seed=seed) + 0.2 * noise(views, 5, rows, columns, seed=seed + 1)


def smooth_embeddings(side, dim=16, seed=0):
    field = noise(1, dim, max(2, side // 6), max(2, side // 6), seed=seed)
    return F.interpolate(field, size=(side, side), mode="bicubic", align_corners=False)


def transition_by_hand(embeddings, sharpness=100.0):
    """One pair of cells at a time, in plain Python."""
    cells = [
        [(vector / vector.norm()).tolist() for vector in view.flatten(1).T] for view in embeddings
    ]
    count = len(cells[0])
    affinity = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            cosines = [sum(a * b for a, b in zip(v[i], v[j], strict=True)) for v in cells]
            mean = sum(math.exp(sharpness / 20 * (cosine - 1)) for cosine in cosines) / len(cosines)
            affinity[i, j] = mean**20
    return affinity / affinity.sum(axis=0)


def walk_by_hand(embeddings, scores, steps, sharpness=100.0):
    power = np.linalg.matrix_power(transition_by_hand(embeddings, sharpness), steps)
    return torch.from_numpy(scores.flatten(1).numpy() @ power).reshape(scores.shape)


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 7, 64])
@pytest.mark.parametrize("negligible", [0.0, 1e-300])
def test_is_the_power_of_the_transition(views, steps, negligible, monkeypatch):
    monkeypatch.setattr(affinity, "MOST_KEPT", 1.0)
    embeddings, scores = close_embeddings(views, 4, 3), noise(2, 4, 3, seed=5)
    found = embedding_walk(embeddings, scores, steps=steps, negligible=negligible)
    torch.testing.assert_close(found, walk_by_hand(embeddings, scores, steps))


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 30.0])
def test_sharpness_is_the_fall_of_log_affinity(sharpness):
    embeddings, scores = noise(1, 3, 4, 3), noise(2, 4, 3, seed=5)
    found = embedding_walk(embeddings, scores, steps=3, sharpness=sharpness)
    torch.testing.assert_close(found, walk_by_hand(embeddings, scores, 3, sharpness))


def test_without_sharpness_one_step_gives_the_mean():
    scores = likely(2, 3, 4)
    found = embedding_walk(noise(1, 2, 3, 4), scores, steps=1, sharpness=0.0)
    torch.testing.assert_close(found, scores.mean(dim=(1, 2), keepdim=True).expand(2, 3, 4))


def test_the_length_of_an_embedding_does_not_matter():
    embeddings, scores = close_embeddings(2, 4, 5), likely(2, 4, 5)
    longer = embeddings * (1e-3 + 1e3 * likely(2, 1, 4, 5, seed=3))
    torch.testing.assert_close(
        embedding_walk(longer, scores, steps=5), embedding_walk(embeddings, scores, steps=5)
    )


def test_views_are_averaged_before_the_power():
    """Cells that agree in one view only: a = (1 + exp(-5)) / 2, not A = (1 + exp(-100)) / 2."""
    embeddings = torch.zeros(2, 2, 1, 2, dtype=torch.float64)
    embeddings[0, 0] = 1  # both cells alike
    embeddings[1, 0, 0, 0] = embeddings[1, 1, 0, 1] = 1  # at a right angle
    found = embedding_walk(embeddings, torch.tensor([[[1.0, 0.0]]]).double(), steps=1)
    affinity = ((1 + math.exp(-5)) / 2) ** 20
    assert found.flatten().tolist() == pytest.approx(
        [1 / (1 + affinity), affinity / (1 + affinity)]
    )


def test_equal_views_are_one_view():
    embeddings, scores = close_embeddings(1, 5, 4), likely(2, 5, 4)
    torch.testing.assert_close(
        embedding_walk(embeddings.expand(3, -1, -1, -1), scores),
        embedding_walk(embeddings, scores),
    )


def test_every_score_counts_in_proportion():
    """Columns of T sum to one: scores that sum to one everywhere still do."""
    scores = likely(4, 6, 5).softmax(dim=0)
    found = embedding_walk(close_embeddings(1, 6, 5), scores)
    torch.testing.assert_close(found.sum(dim=0), torch.ones(6, 5, dtype=torch.float64))


@given(
    seed=st.integers(0, 99),
    views=st.integers(1, 2),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    negligible=st.sampled_from([0.0, 1e-6, 0.5]),
    single=st.booleans(),
)
@settings(max_examples=40)
def test_the_range_of_a_class_is_preserved(seed, views, rows, columns, negligible, single):
    embeddings = close_embeddings(views, rows, columns, seed)
    scores = 100 * noise(3, rows, columns, seed=seed)
    if single:
        embeddings, scores = embeddings.float(), scores.float()
    found = embedding_walk(embeddings, scores, negligible=negligible)
    assert found.shape == scores.shape
    assert (found.amin(dim=(1, 2)) >= scores.amin(dim=(1, 2))).all()
    assert (found.amax(dim=(1, 2)) <= scores.amax(dim=(1, 2))).all()


@pytest.mark.parametrize("negligible", [0.0, 1e-6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_scores_stay(negligible, dtype):
    scores = torch.tensor([0.3, -7.0, 0.0], dtype=dtype)[:, None, None].expand(3, 6, 7)
    embeddings = close_embeddings(1, 6, 7).to(dtype)
    found = embedding_walk(embeddings, scores, negligible=negligible)
    assert torch.equal(found, scores)


def test_steps_add_up():
    embeddings, scores = close_embeddings(2, 4, 5), likely(3, 4, 5)
    halfway = embedding_walk(embeddings, scores, steps=24)
    torch.testing.assert_close(
        embedding_walk(embeddings, halfway, steps=40), embedding_walk(embeddings, scores, steps=64)
    )


def test_is_linear_in_the_scores_and_classes_do_not_meet():
    embeddings, scores = close_embeddings(1, 4, 5), noise(3, 4, 5)
    found = embedding_walk(embeddings, scores)
    for index in range(3):
        alone = embedding_walk(embeddings, 2 * scores[index : index + 1] + 1)
        torch.testing.assert_close(alone[0], 2 * found[index] + 1)


def test_where_a_cell_lies_does_not_matter():
    embeddings, scores = close_embeddings(2, 4, 6), likely(3, 4, 6)
    order = torch.randperm(24, generator=generator(3))

    def moved(maps):
        return maps.flatten(-2)[..., order].reshape(maps.shape)

    torch.testing.assert_close(
        embedding_walk(moved(embeddings), moved(scores)), moved(embedding_walk(embeddings, scores))
    )


def test_rotated_embeddings_give_the_same():
    embeddings, scores = close_embeddings(2, 4, 5), likely(3, 4, 5)
    rotation = torch.linalg.qr(noise(5, 5, seed=8)).Q
    rotated = torch.einsum("de,verc->vdrc", rotation, embeddings)
    torch.testing.assert_close(embedding_walk(rotated, scores), embedding_walk(embeddings, scores))


def test_many_steps_give_each_component_its_mean_weighted_by_degree():
    embeddings = close_embeddings(1, 4, 6)
    embeddings[..., 3:] *= -1  # opposite: exp(-200) is no way across
    scores = likely(2, 4, 6)
    found = embedding_walk(embeddings, scores, steps=2_000)
    units = F.normalize(embeddings[0], dim=0).flatten(1)
    degree = torch.exp(100 * (units.T @ units - 1)).sum(dim=0).reshape(4, 6)
    for half in (np.s_[..., :3], np.s_[..., 3:]):
        mean = (scores * degree)[half].sum(dim=(1, 2)) / degree[half].sum()
        torch.testing.assert_close(found[half], mean[:, None, None].expand(2, 4, 3))


# Known cells


@pytest.mark.parametrize("negligible", [0.0, 1e-6])
def test_known_cells_are_one_hot_before_the_walk_and_after_every_step(negligible):
    embeddings, scores = close_embeddings(1, 3, 4), likely(2, 3, 4)
    fixed = torch.full((3, 4), UNLABELLED)
    fixed[0, 1], fixed[2, 2], fixed[1, 1] = 0, 1, VOID
    matrix = transition_by_hand(embeddings)
    state = scores.flatten(1).numpy().copy()
    state[:, [1, 10]] = np.eye(2)
    for _ in range(5):
        state = state @ matrix
        state[:, [1, 10]] = np.eye(2)
    found = embedding_walk(embeddings, scores, steps=5, fixed=fixed, negligible=negligible)
    tolerance = 1e-12 if negligible == 0 else 1e-4
    np.testing.assert_allclose(found.flatten(1).numpy(), state, atol=tolerance)
    assert found[:, 0, 1].tolist() == [1, 0]
    assert found[:, 2, 2].tolist() == [0, 1]


def test_the_callers_tensors_are_left_alone():
    embeddings, scores = close_embeddings(1, 3, 4), likely(2, 3, 4)
    before = embeddings.clone(), scores.clone()
    fixed = torch.zeros(3, 4, dtype=torch.int16)
    for steps in (0, 2):
        found = embedding_walk(embeddings, scores, steps=steps, fixed=fixed)
        assert found[0].eq(1).all()
        assert torch.equal(embeddings, before[0])
        assert torch.equal(scores, before[1])


def test_one_known_cell_conquers_those_that_are_like_it():
    embeddings = torch.ones(1, 3, 5, 5)
    fixed = torch.full((5, 5), UNLABELLED)
    fixed[2, 2] = 1
    found = embedding_walk(embeddings, torch.full((2, 5, 5), 0.5), steps=500, fixed=fixed)
    torch.testing.assert_close(found[1], torch.ones(5, 5))


# Ways to apply the transition


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("values", [1, 100, 10**9])
def test_tiles_do_not_change_the_result(views, values, monkeypatch):
    embeddings, scores = close_embeddings(views, 7, 9), likely(3, 7, 9)
    monkeypatch.setattr(affinity, "MOST_KEPT", 1.0)
    expected = embedding_walk(embeddings, scores)
    monkeypatch.setattr(affinity, "TILE_VALUES", values)
    monkeypatch.setattr(affinity, "STORED_VALUES", values)
    torch.testing.assert_close(embedding_walk(embeddings, scores), expected)
    torch.testing.assert_close(embedding_walk(embeddings, scores, negligible=1e-99), expected)
    monkeypatch.setattr(affinity, "DENSE_CELLS", 10)
    torch.testing.assert_close(embedding_walk(embeddings, scores), expected)


@pytest.mark.parametrize("views", [1, 2])
def test_the_sparse_form_tends_to_the_exact_one(views):
    embeddings = smooth_embeddings(24).expand(views, -1, -1, -1).clone()
    if views == 2:
        embeddings[1] = embeddings[1] + 0.05 * noise(16, 24, 24)
    scores = likely(3, 24, 24)
    exact = embedding_walk(embeddings, scores)
    errors = [
        float((embedding_walk(embeddings, scores, negligible=n) - exact).abs().max())
        for n in (1e-2, 1e-4, 1e-6, 1e-9)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6
    assert errors[-2] < 1e-3 < errors[0]


@pytest.mark.parametrize("views", [1, 2])
def test_what_is_dropped_depends_on_the_affinity_to_the_power(views, monkeypatch):
    """Eight directions in a circle: the cells next to each other are kept, or they are not."""
    monkeypatch.setattr(affinity, "MOST_KEPT", 1.0)
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    embeddings = torch.stack([angle.cos(), angle.sin()])[None, :, None].expand(views, 2, 1, 8)
    scores = torch.eye(8, dtype=torch.float64)[:1, None]
    beside = math.exp(2.0 * (math.cos(math.pi / 4) - 1))

    def walked(negligible):
        walk = embedding_walk(embeddings, scores, steps=1, sharpness=2.0, negligible=negligible)
        return walk.flatten().tolist()

    own, other = 1 / (1 + 2 * beside), beside / (1 + 2 * beside)
    assert walked(beside * 0.999) == pytest.approx([own, other, 0, 0, 0, 0, 0, other])
    assert walked(beside * 1.001) == [1, 0, 0, 0, 0, 0, 0, 0]


def test_too_many_transitions_are_not_stored_as_sparse(monkeypatch):
    embeddings, scores = torch.ones(1, 2, 6, 6), torch.rand(2, 6, 6, generator=generator(0))
    monkeypatch.setattr(affinity, "sparse_transition", None)
    torch.testing.assert_close(
        embedding_walk(embeddings, scores, negligible=0.5), embedding_walk(embeddings, scores)
    )


# Extremes


@pytest.mark.parametrize("steps", [0, 1, 64])
@pytest.mark.parametrize("negligible", [0.0, 0.5])
def test_one_cell_keeps_its_scores(steps, negligible):
    scores = likely(3, 1, 1)
    found = embedding_walk(noise(2, 4, 1, 1), scores, steps=steps, negligible=negligible)
    assert torch.equal(found, scores)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)])
def test_nothing_stays_nothing(shape):
    found = embedding_walk(noise(1, 4, *shape[1:]), likely(*shape), negligible=1e-6)
    assert found.shape == shape


def test_no_steps_change_nothing():
    scores = likely(3, 4, 5)
    found = embedding_walk(noise(1, 4, 4, 5), scores, steps=0)
    assert torch.equal(found, scores)
    assert found.data_ptr() != scores.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("sharpness", [1e4, 1e12, 1e300])
@pytest.mark.parametrize("negligible", [0.0, 1e-6])
def test_huge_sharpness_keeps_different_cells_apart(dtype, views, sharpness, negligible):
    embeddings, scores = noise(views, 4, 5, 6).to(dtype), likely(2, 5, 6).to(dtype)
    found = embedding_walk(embeddings, scores, sharpness=sharpness, negligible=negligible)
    torch.testing.assert_close(found, scores)


@pytest.mark.parametrize("negligible", [0.0, 1e-6])
def test_equal_embeddings_mix_completely(negligible):
    scores = likely(2, 5, 6)
    found = embedding_walk(torch.ones(2, 4, 5, 6), scores, steps=1, negligible=negligible)
    torch.testing.assert_close(found, scores.mean(dim=(1, 2), keepdim=True).expand(2, 5, 6))


@pytest.mark.parametrize("negligible", [0.0, 1e-6])
@pytest.mark.parametrize("views", [1, 2])
def test_a_zero_embedding_keeps_its_scores(views, negligible):
    embeddings, scores = close_embeddings(views, 4, 5), likely(2, 4, 5)
    embeddings[:, :, 1, 2] = embeddings[:, :, 3, 3] = 0
    found = embedding_walk(embeddings.float(), scores.float(), negligible=negligible)
    assert found.isfinite().all()
    torch.testing.assert_close(found[:, 1, 2], scores[:, 1, 2].float())
    torch.testing.assert_close(found[:, 3, 3], scores[:, 3, 3].float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_result_has_the_type_of_the_scores(dtype):
    embeddings, scores = close_embeddings(1, 4, 5).float(), likely(2, 4, 5)
    found = embedding_walk(embeddings, scores.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(
        found.double(), embedding_walk(embeddings, scores.to(dtype).double()), atol=1e-2, rtol=0
    )


def test_single_precision_is_enough_at_working_size():
    embeddings, scores = smooth_embeddings(20), likely(3, 20, 20)
    exact = embedding_walk(embeddings, scores)
    found = embedding_walk(embeddings.float(), scores.float())
    torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=0)


def test_no_gradient_is_recorded():
    embeddings = close_embeddings(1, 3, 4).requires_grad_()
    assert not embedding_walk(embeddings, likely(2, 3, 4)).requires_grad


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": -1}, "steps: must be 0 or more, got -1"),
        ({"sharpness": -1.0}, "sharpness: must be finite and 0 or more, got -1"),
        ({"sharpness": math.nan}, "sharpness: .* got nan"),
        ({"sharpness": math.inf}, "sharpness: .* got inf"),
        ({"negligible": 1.0}, "negligible: must be at least 0 and below 1, got 1"),
        ({"negligible": -1e-6}, "negligible: .* got -1e-06"),
        ({"fixed": torch.full((3, 4), 2)}, "fixed: class 2 has no scores; there are 2 maps"),
    ],
)
def test_values_out_of_range_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        embedding_walk(close_embeddings(1, 3, 4), likely(2, 3, 4), **wrong)


def test_without_a_view_there_is_no_walk():
    with pytest.raises(ConfigError, match="embeddings: need one view or more, got none"):
        embedding_walk(noise(0, 5, 3, 4), likely(2, 3, 4))


class Given:
    """An affinity that is a matrix."""

    dtype = torch.float64

    def __init__(self, matrix):
        self.matrix = matrix / matrix.sum(dim=0)

    def transition(self, run):
        return lambda state: state @ self.matrix


def test_any_affinity_can_be_walked():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.rand(12, 12, generator=generator, dtype=torch.float64)
    scores = torch.rand(2, 3, 4, generator=generator, dtype=torch.float64)
    given = Given(matrix)
    expected = scores.flatten(1) @ torch.linalg.matrix_power(given.matrix, 5)
    torch.testing.assert_close(walk(scores, given, steps=5), expected.reshape(2, 3, 4))
    fixed = torch.full((3, 4), -1)
    fixed[1, 2] = 1
    held = walk(scores, given, steps=3, fixed=fixed)
    assert held[:, 1, 2].tolist() == [0, 1]
