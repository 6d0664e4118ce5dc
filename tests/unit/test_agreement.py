"""Classes of cells found from many images, on features whose classes are known."""

import torch

from hintseg.seeds.agreement import CellClassifier, Cells, learn_agreement, posterior

COW, GRASS, TREE = range(3)


def pasture(images=30, cells=40, *, seed=0):
    """Cows always stand on grass, trees as well; maps say nothing. Features show the class."""
    draws = torch.Generator().manual_seed(seed)
    shown, possible = [], []
    for image in range(images):
        tags = [(COW, GRASS), (GRASS,), (TREE, GRASS)][image % 3]
        shown.append(torch.tensor(tags)[torch.randint(len(tags), (cells,), generator=draws)])
        possible.append(torch.zeros(cells, 3, dtype=torch.bool))
        possible[-1][:, list(tags)] = True
    classes = torch.cat(shown)
    places = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])[classes]
    features = places + 0.2 * torch.randn(len(classes), 2, generator=draws)
    each = torch.arange(len(classes))  # a region of its own
    return Cells(features, torch.zeros(len(classes), 3), torch.cat(possible), each), classes


def test_what_is_always_together_is_told_apart_by_other_images():
    cells, classes = pasture()
    learnt = learn_agreement(cells, rounds=3, steps=40)
    chances = posterior(learnt(cells.features), cells.possible, cells.region)
    assert (chances.argmax(dim=1) == classes).float().mean() > 0.97
    before = posterior(cells.prior, cells.possible, cells.region)
    assert (before.max(dim=1).values < 0.51).sum() == (cells.possible.sum(dim=1) == 2).sum()


def test_features_of_half_precision_do_as_well():
    cells, classes = pasture()
    halves = Cells(cells.features.half(), cells.prior, cells.possible, cells.region)
    learnt = learn_agreement(halves, rounds=3, steps=40)
    assert (learnt(cells.features).argmax(dim=1) == classes).float().mean() > 0.9


def test_equal_seeds_learn_equal_classifiers():
    cells, _ = pasture(images=6)
    one, two = (learn_agreement(cells, rounds=2, steps=3, seed=5) for _ in range(2))
    other = learn_agreement(cells, rounds=2, steps=3, seed=6)
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)
    assert not torch.equal(one.weight, other.weight)


def test_cells_that_can_show_nothing_teach_nothing():
    cells, _ = pasture(images=6)
    strange = Cells(
        torch.cat([cells.features, torch.full((5, 2), 1e3)]),
        torch.cat([cells.prior, torch.zeros(5, 3)]),
        torch.cat([cells.possible, torch.zeros(5, 3, dtype=torch.bool)]),
        torch.cat([cells.region, torch.arange(5)]),
    )
    with_them, without = (learn_agreement(c, rounds=1, steps=3) for c in (strange, cells))
    assert torch.equal(with_them.weight, without.weight)


def test_without_rounds_or_cells_it_says_nothing():
    cells, _ = pasture(images=3)
    assert not learn_agreement(cells, rounds=0)(cells.features).any()
    none = cells.where(torch.zeros(len(cells), dtype=torch.bool))
    assert not learn_agreement(none, rounds=2)(cells.features).any()


def test_constant_features_and_huge_priors_stay_finite():
    cells, _ = pasture(images=6)
    flat = Cells(torch.ones(len(cells), 2), 1e4 * cells.features[:, [0, 1, 0]], *_rest(cells))
    learnt = learn_agreement(flat, rounds=2, steps=3)
    assert all(torch.isfinite(x).all() for x in (learnt.weight, learnt.bias, learnt.deviation))


def _rest(cells):
    return cells.possible, cells.region


def test_half_the_say_is_the_cells_own():
    scores = torch.tensor([[2.0, 0.0], [0.0, 4.0], [1.0, 1.0]])
    region = torch.tensor([7, 7, 0])
    found = posterior(scores, torch.ones(3, 2, dtype=torch.bool), region)
    wanted = torch.tensor([[1.5, 1.0], [0.5, 3.0], [1.0, 1.0]]).softmax(dim=1)
    torch.testing.assert_close(found, wanted)


def test_impossible_classes_have_no_chance_and_the_only_one_has_all():
    possible = torch.tensor([[True, False], [False, False], [True, True]])
    found = posterior(torch.tensor([[-90.0, 90.0]] * 3), possible, torch.arange(3))
    assert found[0].tolist() == [1, 0]
    assert found[1].tolist() == [0, 0]
    assert found[2].sum() == 1


def test_no_cells_have_no_chances():
    none = posterior(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool), torch.zeros(0).long())
    assert none.shape == (0, 3)


def test_scores_are_those_of_standardised_features():
    learnt = CellClassifier(
        torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0]), torch.eye(2), torch.tensor([0.0, 5.0])
    )
    assert learnt(torch.tensor([[3.0, 6.0]])).tolist() == [[1, 6]]
