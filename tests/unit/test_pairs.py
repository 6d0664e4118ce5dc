"""Affinities of pairs: the released formulas, and what they must be by definition."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hintseg.errors import ConfigError
from hintseg.losses import displacement_loss, pair_affinities, pair_affinity_loss
from hintseg.refine import (
    edge_walk,
    neighbour_pairs,
    path_affinities,
    pixel_correlation,
    random_walk,
)
from hintseg.structures import UNLABELLED, VOID

GOLDEN = Path(__file__).parents[1] / "golden"


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "affinity_ldf.npz") as file:
        return {key: torch.from_numpy(np.array(file[key])) for key in file}


def released_pairs(golden, case):
    return torch.stack([golden[f"{case}_from"], golden[f"{case}_to"]])


@pytest.mark.parametrize("case", ["aff0", "aff1"])
def test_affinities_and_their_loss_are_the_released_ones(golden, case):
    pairs = released_pairs(golden, case)
    affinities = pair_affinities(golden[f"{case}_features"], pairs)
    torch.testing.assert_close(affinities, golden[f"{case}_affinity"], atol=1e-10, rtol=0)
    loss = pair_affinity_loss(affinities, pairs, golden[f"{case}_labels"])
    torch.testing.assert_close(loss, golden[f"{case}_loss"], atol=1e-10, rtol=0)


@pytest.mark.parametrize("case", ["walk0", "walk1"])
def test_the_walk_is_the_released_one(golden, case):
    walked = random_walk(
        golden[f"{case}_scores"],
        golden[f"{case}_affinity"],
        beta=float(golden[f"{case}_beta"]),
        steps=int(golden[f"{case}_steps"]),
    )
    torch.testing.assert_close(walked, golden[f"{case}_out"], atol=1e-10, rtol=0)


@pytest.mark.parametrize("case", ["path0", "path1"])
def test_paths_and_the_walk_along_them_are_the_released_ones(golden, case):
    edges = golden[f"{case}_edge"]
    found = path_affinities(edges, released_pairs(golden, case))
    torch.testing.assert_close(found, golden[f"{case}_affinity"], atol=1e-10, rtol=0)
    walked = edge_walk(
        golden[f"{case}_scores"],
        edges,
        radius=int(golden[f"{case}_radius"]),
        beta=float(golden[f"{case}_beta"]),
        steps=int(golden[f"{case}_steps"]),
    )
    torch.testing.assert_close(walked.float(), golden[f"{case}_propagated"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", ["pcm0", "pcm1"])
def test_pixel_correlation_is_the_released_one(case):
    with np.load(GOLDEN / "seam.npz") as file:
        scores, features, refined = (
            torch.from_numpy(file[f"{case}_{name}"]) for name in ("scores", "features", "refined")
        )
    found = pixel_correlation(scores, features)
    torch.testing.assert_close(found, refined, atol=1e-10, rtol=0)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 7), st.integers(1, 7), st.sampled_from([0.5, 1, 1.5, 2.3, 5]))
def test_pairs_are_all_those_within_the_radius_each_once(rows, columns, radius):
    found = {
        tuple(sorted(pair)) for pair in neighbour_pairs(rows, columns, radius=radius).T.tolist()
    }
    cells = list(itertools.product(range(rows), range(columns)))
    near = {
        (i, j)
        for (i, a), (j, b) in itertools.combinations(enumerate(cells), 2)
        if math.dist(a, b) < radius
    }
    assert found == near
    assert len(found) == neighbour_pairs(rows, columns, radius=radius).shape[1]


def test_the_released_radius_has_34_neighbours_in_the_half_plane():
    assert neighbour_pairs(9, 9, radius=5).shape[1] == sum(
        math.dist((0, 0), (dy, dx)) < 5 and (dy > 0 or dx > 0)
        for (y, x) in itertools.product(range(9), range(9))
        for dy in range(5)
        for dx in range(-4, 5)
        if y + dy < 9 and 0 <= x + dx < 9
    )


def test_a_batch_is_pooled_and_its_images_stay_apart():
    features, pairs = noise(2, 3, 4, 5), neighbour_pairs(4, 5, radius=3)
    labels = torch.randint(-2, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    both = pair_affinities(features, pairs)
    torch.testing.assert_close(both[1], pair_affinities(features[1], pairs))
    wide = pair_affinities(torch.cat([*features], dim=-2), torch.cat([pairs, pairs + 20], dim=1))
    torch.testing.assert_close(
        pair_affinity_loss(both, pairs, labels),
        pair_affinity_loss(
            wide, torch.cat([pairs, pairs + 20], dim=1), torch.cat([*labels], dim=-2)
        ),
    )


@pytest.mark.parametrize("missing", [UNLABELLED, VOID, 255])
def test_cells_without_a_class_teach_nothing(missing):
    pairs = neighbour_pairs(3, 3, radius=2)
    affinities = noise(pairs.shape[1]).requires_grad_()
    loss = pair_affinity_loss(affinities, pairs, torch.full((3, 3), missing))
    loss.backward()
    assert loss.item() == 0
    assert not affinities.grad.any()


def test_without_a_background_class_zero_is_a_class_like_others():
    pairs = neighbour_pairs(2, 3, radius=2)
    affinities, labels = noise(pairs.shape[1]), torch.tensor([[0, 0, 1], [0, 1, 1]])
    plain = pair_affinity_loss(affinities, pairs, labels, background=None)
    torch.testing.assert_close(plain, pair_affinity_loss(affinities, pairs, labels + 3))
    assert plain != pair_affinity_loss(affinities, pairs, labels)


def test_gradients_of_the_losses():
    pairs = neighbour_pairs(3, 4, radius=2.5)
    labels = torch.tensor([[0, 0, 1, -1], [0, 1, 1, 2], [2, 2, 0, 0]])
    features = noise(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f: pair_affinity_loss(pair_affinities(f, pairs), pairs, labels), features
    )
    edges = noise(3, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: path_affinities(e, pairs), edges)
    displacements = (3 * noise(2, 3, 4, seed=3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: displacement_loss(d, pairs, labels), displacements)


def test_displacements_to_one_centre_of_each_class_cost_nothing():
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    labels = (columns > 1).long() + 1
    centre = torch.where(labels == 1, 0.5, 3.0)
    displacements = torch.stack([1.5 - rows, centre - columns])
    pairs = neighbour_pairs(4, 5, radius=10)
    assert displacement_loss(displacements, pairs, labels).item() == pytest.approx(0, abs=1e-6)
    assert displacement_loss(displacements, pairs, labels * 0).item() > 0.1  # the background's


def test_a_path_is_cut_by_the_strongest_edge_on_it():
    edges = torch.zeros(5, 5)
    edges[:, 2] = torch.tensor([0.1, 0.9, 0.3, 0.2, 0.0])
    across = torch.tensor([[10, 10, 10], [14, 11, 0]])  # row 2: to the right, beside, up
    assert path_affinities(edges, across).tolist() == pytest.approx([0.7, 1.0, 1.0])
    backwards = across.flip(0)
    assert torch.equal(path_affinities(edges, backwards), path_affinities(edges, across))


def test_pairs_walk_as_their_dense_matrix_does():
    pairs = neighbour_pairs(4, 6, radius=3)
    affinities, scores = noise(pairs.shape[1]), noise(2, 4, 6, seed=1)
    matrix = torch.eye(24, dtype=torch.float64)
    matrix[pairs[0], pairs[1]] = matrix[pairs[1], pairs[0]] = affinities
    shuffled = torch.randperm(pairs.shape[1], generator=torch.Generator().manual_seed(0))
    turned = pairs[:, shuffled].flip(0)  # neither order nor direction counts
    sparse = random_walk(scores, affinities[shuffled], pairs=turned, beta=3, steps=9)
    torch.testing.assert_close(sparse, random_walk(scores, matrix, beta=3.0, steps=9))


def test_no_score_leaves_its_range_and_border_cells_have_neighbours():
    pairs = neighbour_pairs(12, 9, radius=5)
    scores = noise(3, 12, 9)
    walked = random_walk(scores, torch.ones(pairs.shape[1]), pairs=pairs, beta=8, steps=400)
    assert (walked.amax(dim=(1, 2)) <= scores.amax(dim=(1, 2))).all()
    assert walked.std(dim=(1, 2)).max() < 1e-3  # all cells are connected, so all become equal


def test_a_cell_like_nothing_keeps_its_scores():
    scores = noise(1, 2, 2)
    none = torch.zeros(4, 4, dtype=torch.float64)
    assert torch.equal(random_walk(scores, none, beta=2, steps=5), scores)
    assert torch.equal(
        random_walk(noise(1, 1, 1), torch.ones(1, 1), beta=1, steps=2), noise(1, 1, 1)
    )


def test_impossible_numbers_are_refused():
    scores, pairs = noise(1, 2, 2), neighbour_pairs(2, 2, radius=2)
    with pytest.raises(ConfigError, match="beta"):
        random_walk(scores, torch.ones(4, 4), beta=-1, steps=1)
    with pytest.raises(ConfigError, match="4 x 4"):
        random_walk(scores, torch.ones(3, 3), beta=1, steps=1)
    with pytest.raises(ConfigError, match="one for each of the 6"):
        random_walk(scores, torch.ones(2), pairs=pairs, beta=1, steps=1)
    with pytest.raises(ConfigError, match="cells 0 to 3"):
        random_walk(scores, torch.ones(6), pairs=pairs + 1, beta=1, steps=1)


def test_correlation_stays_in_the_range_of_the_scores_and_needs_features():
    features, scores = noise(2, 4, 3, 5) - 0.5, noise(2, 3, 3, 5, seed=1)
    refined = pixel_correlation(scores, features)
    assert (refined >= 0).all()
    assert (refined <= scores.amax(dim=(2, 3), keepdim=True)).all()
    assert not pixel_correlation(scores, torch.zeros_like(features)).any()
