"""K-means, cutting, prototypes, propagated labels."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hintseg.segments.kmeans import (
    grid_partition,
    locations,
    spherical_kmeans,
    with_location,
)
from hintseg.segments.prototypes import cut, find_segments, mean_directions, propagate_labels
from hintseg.structures import UNLABELLED, VOID

GOLDEN = Path(__file__).parents[1] / "golden" / "spml.npz"


@pytest.fixture(scope="module")
def golden():
    if not GOLDEN.is_file():
        pytest.skip("the golden values are not here")
    return np.load(GOLDEN)


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def all_valid(*shape):
    return torch.ones(*shape, dtype=torch.bool)


# Location and grid


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_grid_is_that_of_the_published_code(golden, case):
    rows, columns, side = golden[f"kmeans{case}_size"].tolist()
    grid = grid_partition(locations(all_valid(1, rows, columns)), side)
    assert np.array_equal(grid.flatten().numpy(), golden[f"kmeans{case}_init"])


def test_locations_span_the_valid_area_whatever_the_padding():
    valid = torch.zeros(1, 9, 12, dtype=torch.bool)
    valid[0, 2:7, 3:11] = True
    inside = locations(valid)[0, 2:7, 3:11]
    assert torch.equal(inside, locations(all_valid(1, 5, 8))[0])
    assert inside[0, 0].tolist() == [-0.5, -0.5]
    assert inside[-1, -1].tolist() == [0.5, 0.5]


def test_an_axis_of_one_cell_lies_in_the_middle():
    assert locations(all_valid(1, 1, 1)).flatten().tolist() == [0.0, 0.0]
    assert grid_partition(locations(all_valid(2, 1, 5)), 3).shape == (2, 1, 5)


def test_nothing_valid_gives_finite_locations():
    assert torch.isfinite(locations(torch.zeros(1, 3, 4, dtype=torch.bool))).all()


# K-means


@pytest.mark.parametrize("iterations", [1, 10])
@pytest.mark.parametrize("case", [0, 1, 2])
def test_kmeans_agrees_exactly_with_the_published_code(golden, case, iterations):
    rows, columns, side = golden[f"kmeans{case}_size"].tolist()
    embeddings = torch.from_numpy(golden[f"kmeans{case}_embedding"]).view(1, rows, columns, -1)
    valid = all_valid(1, rows, columns)
    vectors = with_location(F.normalize(embeddings, dim=-1), locations(valid)).flatten(1, 2)
    initial = torch.from_numpy(golden[f"kmeans{case}_init"])[None]
    part = spherical_kmeans(
        vectors, initial, valid.flatten(1), count=side * side, iterations=iterations
    )
    assert np.array_equal(part[0].numpy(), golden[f"kmeans{case}_labels{iterations}"])


def by_hand(vectors, part, count):
    """One iteration, one part at a time."""
    means = {
        k: F.normalize(vectors[part == k].sum(0), dim=0) for k in range(count) if (part == k).any()
    }
    best = [max(means, key=lambda k: (float(vector @ means[k]), -k)) for vector in vectors]
    return torch.tensor(best)


def test_kmeans_is_the_loop_it_says():
    vectors, initial = unit(40, 5, seed=3), torch.arange(40) % 6
    expected = initial
    for _ in range(3):
        expected = by_hand(vectors, expected, 6)
    got = spherical_kmeans(vectors[None], initial[None], all_valid(1, 40), count=6, iterations=3)
    assert torch.equal(got[0], expected)


def test_images_of_a_batch_do_not_see_each_other():
    vectors, initial = unit(3, 30, 4), torch.arange(30).expand(3, 30) % 4
    valid = all_valid(3, 30)
    together = spherical_kmeans(vectors, initial, valid, count=4)
    for index in range(3):
        one = slice(index, index + 1)
        alone = spherical_kmeans(vectors[one], initial[one], valid[one], count=4)
        assert torch.equal(together[one], alone)


def test_cohesion_never_falls():
    vectors, initial = unit(60, 6), torch.arange(60) % 5
    cohesion = []
    for iterations in range(8):
        part = spherical_kmeans(
            vectors[None], initial[None], all_valid(1, 60), count=5, iterations=iterations
        )[0]
        means = mean_directions(vectors, part, 5)
        cohesion.append(float((vectors * means[part]).sum()))
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(cohesion))


def test_kmeans_commutes_with_rotation():
    rotation = torch.linalg.qr(unit(6, 6, seed=1)).Q
    vectors, initial = unit(1, 50, 6), torch.arange(50)[None] % 7
    valid = all_valid(1, 50)
    turned = spherical_kmeans(vectors @ rotation, initial, valid, count=7)
    assert torch.equal(turned, spherical_kmeans(vectors, initial, valid, count=7))


def test_an_empty_part_is_never_chosen_even_when_all_others_point_away():
    vectors = torch.tensor([[1.0, 0], [1, 0], [-1, 0]])[None]
    initial = torch.tensor([[0, 0, 0]])
    part = spherical_kmeans(vectors, initial, all_valid(1, 3), count=9, iterations=1)
    assert part.tolist() == [[0, 0, 0]]


def test_invalid_pixels_change_nothing():
    vectors, initial = unit(1, 30, 4), torch.arange(30)[None] % 4
    valid = all_valid(1, 30)
    valid[0, 20:] = False
    got = spherical_kmeans(vectors, initial, valid, count=4)[:, :20]
    alone = spherical_kmeans(vectors[:, :20], initial[:, :20], valid[:, :20], count=4)
    assert torch.equal(got, alone)


def test_constant_embeddings_keep_the_grid_compact():
    embeddings = torch.ones(1, 8, 12, 12, dtype=torch.float64)
    labels = torch.full((1, 12, 12), UNLABELLED)
    segments, _ = find_segments(embeddings, labels, torch.zeros_like(labels), grid=3)
    assert len(segments) == 9


# Cutting


def test_a_segment_has_one_image_one_part_one_label_and_one_region():
    generator = torch.Generator().manual_seed(0)
    part = torch.randint(4, (2, 6, 7), generator=generator)
    labels = torch.randint(-2, 3, (2, 6, 7), generator=generator)
    regions = torch.randint(3, (2, 6, 7), generator=generator)
    segments = cut(part, labels, regions)
    image = torch.arange(2)[:, None, None].expand_as(part)
    keys = [x.flatten()[segments.kept] for x in (image, part, labels, regions)]
    combinations = set(zip(*(key.tolist() for key in keys), strict=True))
    assert len(segments) == len(combinations)
    assert (labels.flatten()[segments.kept] != VOID).all()
    assert len(segments.kept) == int((labels != VOID).sum())
    for values, kept in ((segments.image, 0), (segments.label, 2), (segments.region, 3)):
        assert torch.equal(values[segments.member], keys[kept])
    assert segments.image.diff().min() >= 0  # in order of image


def test_nothing_but_void_gives_no_segment():
    labels = torch.full((2, 3, 3), VOID)
    segments, location = find_segments(
        torch.randn(2, 4, 3, 3), labels, torch.zeros_like(labels), grid=2
    )
    assert len(segments) == 0
    assert location.shape == (0, 2)


def test_one_pixel_is_one_segment():
    labels = torch.full((1, 1, 1), 4)
    segments, _ = find_segments(torch.randn(1, 4, 1, 1), labels, torch.zeros_like(labels), grid=6)
    assert (segments.label.tolist(), segments.member.tolist()) == ([4], [0])


def test_ten_thousand_regions_and_three_hundred_classes():
    labels = torch.arange(20_000).view(2, 100, 100) % 300
    regions = torch.arange(10_000).view(1, 100, 100).expand(2, 100, 100)
    segments, _ = find_segments(torch.randn(2, 4, 100, 100), labels, regions, grid=3)
    assert len(segments) == 20_000
    assert torch.equal(segments.label[segments.member], labels.flatten())


# Prototypes


def test_prototypes_are_unit_means_with_gradient():
    vectors = unit(20, 3).requires_grad_()
    member = torch.arange(20) % 4
    assert torch.autograd.gradcheck(lambda v: mean_directions(v, member, 4), vectors)
    assert mean_directions(vectors, member, 4).norm(dim=1).detach().numpy() == pytest.approx(1)


def test_an_empty_segment_has_a_zero_prototype():
    prototypes = mean_directions(unit(3, 2), torch.zeros(3, dtype=torch.long), 2)
    assert prototypes[1].tolist() == [0, 0]


# Propagated labels


def test_propagated_sets_agree_exactly_with_the_published_code(golden):
    label = torch.from_numpy(golden["affinity_label"])
    label = label.where(label < 5, UNLABELLED)
    sets = propagate_labels(
        torch.from_numpy(golden["affinity_p"]),
        label,
        torch.from_numpy(golden["affinity_image"]),
        classes=5,
    )
    expected = torch.from_numpy(golden["affinity_sets"]).bool()
    unresolved = ~sets.any(dim=1)
    assert torch.equal(sets[~unresolved], expected[~unresolved])
    assert not expected[unresolved].any()


def test_a_labelled_segment_keeps_its_label_and_another_image_hands_on_nothing():
    vectors = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    label, image = torch.tensor([2, -1, -1, 0]), torch.tensor([0, 0, 1, 0])
    sets = propagate_labels(vectors, label, image, classes=3)
    assert sets.int().tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_no_labelled_segment_leaves_all_unresolved():
    sets = propagate_labels(unit(4, 3), torch.full((4,), -1), torch.zeros(4).long(), classes=2)
    assert not sets.any()
