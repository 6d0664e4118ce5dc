"""The permutohedral lattice as a matrix: symmetric in its parts, near the Gaussian, local."""

import pytest
import torch

from hintseg.errors import ConfigError
from hintseg.filters.permutohedral import build_lattice


def lattice_of(points, *, images=None, without_own=False):
    count = points.shape[1]
    images = torch.zeros(count, dtype=torch.long) if images is None else images
    return build_lattice(points, torch.arange(count), images, count, without_own=without_own)


def dense(lattice, count):
    return lattice.times(torch.eye(count, dtype=torch.float64))


def random_points(dim, count, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(dim, count, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_transpose_is_the_transposed_matrix(dim):
    lattice = lattice_of(random_points(dim, 30))
    assert torch.allclose(dense(lattice.transposed(), 30), dense(lattice, 30).T, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_row_sums_are_those_of_the_matrix(dim):
    for without_own in (False, True):
        lattice = lattice_of(random_points(dim, 30), without_own=without_own)
        sums = dense(lattice, 30).sum(dim=1)
        assert torch.allclose(lattice.row_sums(30), sums, atol=1e-12)


def test_without_own_the_diagonal_is_zero_and_the_rest_as_before():
    points = random_points(2, 25)
    whole, others = dense(lattice_of(points), 25), dense(lattice_of(points, without_own=True), 25)
    assert torch.allclose(others.diagonal(), torch.zeros(25, dtype=torch.float64), atol=1e-12)
    difference = whole - others
    assert torch.allclose(difference, torch.diag(difference.diagonal()), atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_it_is_about_the_gaussian(dim):
    points = random_points(dim, 60, spread=0.7)
    squares = (points[:, :, None] - points[:, None]).square().sum(dim=0)
    found, expected = dense(lattice_of(points), 60), torch.exp(-squares / 2)
    assert torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1] > 0.97
    assert 0.6 < (found.sum() / expected.sum()).item() < 1.4


def test_points_far_apart_and_points_of_other_images_are_nothing_to_each_other():
    points = torch.tensor([[0.0, 0.1, 100.0, 0.0]], dtype=torch.float64)
    matrix = dense(lattice_of(points, images=torch.tensor([0, 0, 0, 1])), 4)
    assert matrix[0, 1] > 0.5
    assert matrix[0, 2] == matrix[0, 3] == matrix[2, 3] == 0


def test_scaled_rows_and_columns_are_scaled():
    lattice = lattice_of(random_points(2, 12))
    left, right = torch.rand(12, dtype=torch.float64), torch.rand(12, dtype=torch.float64)
    expected = left[:, None] * dense(lattice, 12) * right
    assert torch.allclose(dense(lattice.scaled(left, right), 12), expected, atol=1e-12)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e30])
def test_points_that_cannot_be_placed_are_refused(wrong):
    points = random_points(2, 5)
    points[1, 3] = wrong
    with pytest.raises(ConfigError):
        lattice_of(points)
