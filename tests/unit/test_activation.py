"""Maps of a classifier, and the seeds cut from them."""

import pytest
import torch

from hintseg.seeds.activation import (
    activation_maps,
    background_score,
    background_seeds,
    box_masks,
    box_normalised,
    certain_seeds,
    foreground_seeds,
    in_front,
    saliency_seeds,
    sum_views,
)
from hintseg.structures import UNLABELLED


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def yes(*present):
    return torch.tensor(present)


def test_a_map_is_its_positive_part_over_its_maximum():
    raw = torch.tensor([[[-2.0, 1.0], [4.0, 2.0]]])
    maps, peaks = activation_maps(raw, yes(True))
    assert torch.allclose(maps, torch.tensor([[[0, 0.25], [1, 0.5]]]), atol=1e-5)
    assert peaks.tolist() == [4]


def test_maps_lie_in_the_unit_interval_and_absent_classes_are_empty():
    maps, _ = activation_maps(3 * noise(4, 6, 7), yes(True, False, True, True))
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert not maps[1].any()
    assert maps[[0, 2, 3]].flatten(1).amax(1).min() > 0.999


def test_the_peak_is_that_of_the_raw_map_so_an_empty_one_is_known():
    raw = torch.stack([-noise(3, 3).abs() - 1, noise(3, 3).abs()])
    maps, peaks = activation_maps(raw, yes(True, True))
    assert not maps[0].any()
    assert peaks[0] < 0 < peaks[1]
    assert torch.equal(peaks, raw.flatten(1).amax(1))


def test_a_weak_map_is_not_blown_up_to_a_full_one():
    weak = torch.tensor([[[10.0, 9.0]]])  # min-max would give 1 and 0
    assert activation_maps(weak, yes(True))[0].min() > 0.89


def test_the_scale_of_the_classifier_does_not_matter():
    raw = noise(2, 5, 5).abs() + 0.1
    one, many = (activation_maps(raw * s, yes(True, True))[0] for s in (1.0, 100.0))
    assert torch.allclose(one, many, atol=1e-4)


def test_views_are_summed_before_the_division():
    views = [torch.tensor([[[4.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])]
    assert sum_views(views, [False, False], (1, 2)).tolist() == [[[4, 1]]]


def test_maps_of_mirror_images_are_turned_back():
    maps = noise(2, 4, 6)
    both = sum_views([maps, maps.flip(-1)], [False, True], (8, 12))
    assert torch.allclose(both, 2 * sum_views([maps], [False], (8, 12)), atol=1e-6)


def test_a_mirrored_image_gives_mirrored_maps():
    a, b = noise(2, 4, 6), noise(2, 4, 6, seed=1)
    image = sum_views([a, b], [False, True], (9, 13))
    mirror = sum_views([b, a], [False, True], (9, 13))
    assert torch.allclose(mirror, image.flip(-1), atol=1e-6)


def test_views_of_any_scale_meet_on_one_grid():
    flat = [torch.full((1, n, n + 1), float(n)) for n in (1, 2, 5)]
    assert torch.allclose(sum_views(flat, [False] * 3, (7, 11)), torch.full((1, 7, 11), 8.0))


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)


def test_maps_fill_their_boxes_and_nothing_else():
    maps, labels = noise(2, 6, 8).abs() / 9, torch.tensor([3, 5])
    result = box_normalised(maps, labels, boxes((1, 1, 4, 5, 3), (5, 2, 8, 6, 3)))
    inside = torch.zeros(6, 8, dtype=torch.bool)
    inside[1:5, 1:4] = inside[2:6, 5:8] = True
    assert not result[0][~inside].any()
    assert result.min() >= 0
    assert result.max() <= 1
    for rows, columns in ((slice(1, 5), slice(1, 4)), (slice(2, 6), slice(5, 8))):
        part = maps[0, rows, columns]
        assert torch.allclose(result[0, rows, columns], part / (part.max() + 1e-5))
    assert torch.equal(result[1], maps[1])


def test_a_pixel_that_an_edge_cuts_is_inside():
    result = box_normalised(torch.ones(1, 4, 4), torch.tensor([0]), boxes((0.5, 1, 2.25, 3, 0)))
    assert (result[0] > 0.9).tolist() == [
        [False] * 4,
        [True, True, True, False],
        [True, True, True, False],
        [False] * 4,
    ]


def test_where_boxes_of_a_class_overlap_the_greater_value_stands():
    maps = torch.tensor([[[0.2, 0.4, 0.8]]])
    result = box_normalised(maps, torch.tensor([0]), boxes((0, 0, 2, 1, 0), (1, 0, 3, 1, 0)))
    assert torch.allclose(result, torch.tensor([[[0.5, 1.0, 1.0]]]), atol=1e-4)


def test_an_empty_map_stays_empty_in_its_box_and_the_input_stays_as_it_was():
    maps = torch.zeros(1, 3, 3)
    assert not box_normalised(maps, torch.tensor([0]), boxes((0, 0, 2, 2, 0))).any()
    maps = noise(1, 3, 3).abs()
    before = maps.clone()
    box_normalised(maps, torch.tensor([0]), boxes((0, 0, 2, 2, 0)))
    assert torch.equal(maps, before)
    assert torch.equal(box_normalised(maps, torch.tensor([0]), boxes()), maps)


@pytest.mark.parametrize("exponent", [1.0, 4.0, 6.0, 32.0])
def test_the_background_score_falls_with_the_best_map(exponent):
    maps = noise(3, 4, 5).sigmoid()
    best = maps.amax(0)
    assert torch.allclose(background_score(maps, exponent), (1 - best) ** exponent)


def test_without_any_map_all_is_background():
    assert (background_score(torch.zeros(0, 2, 3), 6.0) == 1).all()


def test_a_seed_needs_a_high_map_and_a_lead():
    maps = torch.tensor([[[0.9, 0.9, 0.3, 0.5, 0.0]], [[0.1, 0.8, 0.1, 0.7, 0.6]]])
    found = foreground_seeds(maps, torch.tensor([4, 2]), threshold=0.4, margin=0.15)
    assert found.tolist() == [[4, UNLABELLED, UNLABELLED, 2, 2]]


def test_a_single_map_leads_everywhere():
    maps = torch.tensor([[[0.9, 0.3]]])
    found = foreground_seeds(maps, torch.tensor([7]), threshold=0.4, margin=1.0)
    assert found.tolist() == [[7, UNLABELLED]]


def test_no_map_no_seed():
    labels = torch.zeros(0, dtype=torch.int64)
    found = foreground_seeds(torch.zeros(0, 2, 2), labels, threshold=0.0, margin=0.0)
    assert (found == UNLABELLED).all()


def test_raising_a_threshold_only_takes_seeds_away():
    maps, labels = noise(3, 9, 9).sigmoid(), torch.tensor([0, 1, 2])
    few = foreground_seeds(maps, labels, threshold=0.7, margin=0.2)
    many = foreground_seeds(maps, labels, threshold=0.5, margin=0.1)
    assert (few >= 0).sum() < (many >= 0).sum()
    assert torch.equal(few.where(few >= 0, many), many)


def test_background_and_foreground_have_thresholds_of_their_own():
    maps = torch.tensor([[[0.0, 0.05, 0.3, 0.9]]])
    empty = background_seeds(maps, threshold=0.6, exponent=6.0)
    assert empty.tolist() == [[True, True, False, False]]


def test_the_cover_of_boxes_is_where_their_maps_may_be():
    labels, drawn = torch.tensor([3, 5, 9]), boxes((0.5, 1, 2.25, 3, 3), (1, 0, 4, 2, 5))
    cover = box_masks(labels, drawn, (4, 5))
    filled = box_normalised(torch.ones(3, 4, 5), labels, drawn) > 0.9
    assert torch.equal(cover[:2], filled[:2])
    assert not cover[2].any()


def test_a_small_box_stands_in_front_of_a_large_one():
    labels, drawn = torch.tensor([3, 5, 9]), boxes((0, 0, 4, 4, 3), (1, 1, 2, 2, 5))
    maps = in_front(torch.ones(3, 4, 4), labels, drawn)
    assert maps[:, 1, 1].tolist() == pytest.approx([1 / 4, 1, 1 / 4])  # the third: anywhere
    assert maps[[0, 2], 0, 0].tolist() == [1, 1]
    assert maps[1, 0, 0] == 0
    none = torch.rand(2, 3, 3)
    assert torch.equal(in_front(none, labels[:2], boxes()), none)
    assert in_front(none[:0], labels[:0], boxes()).shape == (0, 3, 3)


def test_of_two_boxes_of_a_class_the_smaller_counts_where_both_are():
    labels, drawn = torch.tensor([3, 5]), boxes((0, 0, 4, 4, 3), (0, 0, 2, 2, 3), (0, 0, 2, 2, 5))
    maps = in_front(torch.ones(2, 4, 4), labels, drawn)
    assert maps[:, 0, 0].tolist() == [1, 1]
    assert maps[:, 3, 3].tolist() == [1, 0]


def test_where_one_class_is_possible_it_is_certain():
    possible = torch.tensor([[[True, True, False, False]], [[True, False, True, False]]])
    found = certain_seeds(possible, torch.tensor([4, 7]))
    assert found.tolist() == [[UNLABELLED, 4, 7, UNLABELLED]]
    none = certain_seeds(torch.zeros(0, 1, 2, dtype=torch.bool), torch.zeros(0, dtype=torch.int64))
    assert none.tolist() == [[UNLABELLED, UNLABELLED]]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_least_salient_share_is_background(share):
    saliency = torch.randperm(100, generator=torch.Generator().manual_seed(0)).view(10, 10).float()
    found = saliency_seeds(saliency, share)
    assert torch.equal(found, saliency < 100 * share)


def test_what_is_equally_salient_everywhere_has_no_background():
    assert not saliency_seeds(torch.ones(6, 6), 0.1).any()
