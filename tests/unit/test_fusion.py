"""Labels fused of marginals and saliency: the rules of RCA, one by one, and the seeder."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hintseg.errors import ConfigError
from hintseg.methods.config import make_config
from hintseg.methods.localise.fused import FusedSeeder
from hintseg.methods.localise.seeder import Seeder
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.methods.localise.stage import fuses
from hintseg.seeds import fused_labels
from hintseg.structures import UNLABELLED, ClassSet, Sample, ScoreMaps, WeakLabels

CLASSES = ClassSet(("ground", "a", "b"), background=0)
SIZE = (12, 20)


def fused(marginals, salient, labels=(1, 2)):
    """Of one pixel; the rest of the image is clearly of class 1."""
    rows = torch.zeros(len(labels), 1, 4)
    rows[0] = 0.95
    rows[:, 0, 0] = torch.tensor(marginals)
    values = torch.ones(1, 4)
    values[0, 0] = salient
    return fused_labels(rows, torch.tensor(labels), values, background=0)[0, 0].item()


@pytest.mark.parametrize(
    ("marginals", "salient", "expected"),
    [
        ([0.7, 0.2], 0.9, 1),  # the best class
        ([0.2, 0.7], 0.9, 2),
        ([0.0, 0.0], 0.0, 0),  # nobody doubts the background
        ([0.0, 0.0], 31 / 255, 0),
        ([0.0, 0.0], 32 / 255, UNLABELLED),  # background, but salient
        ([0.81, 0.0], 0.1, UNLABELLED),  # background, but a class is likely
        ([0.79, 0.0], 0.1, 0),
        ([0.91, 0.92], 0.9, UNLABELLED),  # two classes at once
        ([0.95, 0.0], 0.05, UNLABELLED),  # a class and the background at once
        ([0.89, 0.2], 0.95, 1),
    ],
)
def test_each_rule_alone(marginals, salient, expected):
    assert fused(marginals, salient) == expected


def test_too_little_foreground_is_not_believed():
    marginals = torch.zeros(1, 10, 20)
    marginals[0, 0, 0] = 0.99
    labels, salient = torch.tensor([1]), marginals[0].clone()
    assert (fused_labels(marginals, labels, salient, 0) == UNLABELLED).all()
    marginals[0, 0, 1] = salient[0, 1] = 0.99  # 2 of 200 pixels: one per cent
    assert (fused_labels(marginals, labels, salient, 0) == 1).sum() == 2


def test_an_image_without_maps_gets_no_label():
    nothing, none = torch.zeros(0, 3, 4), torch.zeros(0, dtype=torch.int64)
    assert (fused_labels(nothing, none, torch.zeros(3, 4), 0) == UNLABELLED).all()


SHARES = arrays.arrays(np.float32, (3, 4, 5), elements=st.floats(0, 1, width=16))


@given(shares=SHARES)
def test_a_label_is_always_one_of_the_best_and_inputs_stay(shares):
    values = torch.from_numpy(shares)
    before = values.clone()
    found = fused_labels(values[1:], torch.tensor([4, 6]), values[0], background=2)
    assert torch.equal(values, before)
    assert set(found.unique().tolist()) <= {2, 4, 6, UNLABELLED}
    for index, label in enumerate((4, 6)):
        chosen = found == label
        assert (values[1:][index][chosen] >= values[1:].amax(dim=0)[chosen]).all()
        assert (values[1:][index][chosen] >= 1 - values[0][chosen]).all()


class Given:
    """A localiser that knows: what is tagged is in the left half."""

    def __init__(self, height=0.9):
        self.height = height

    def fit(self, job, folder):
        """Nothing to learn."""

    def maps(self, sample):
        known = np.flatnonzero(sample.weak.tags[1:]) + 1
        maps = torch.zeros(len(known), *SIZE)
        maps[:, :, : SIZE[1] // 2] = self.height
        return ScoreMaps(maps, torch.from_numpy(known))


def sample(*, tags=(False, True, False), labels=None):
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    image[:, : SIZE[1] // 2] = 200
    labels = np.full(SIZE, UNLABELLED, np.int16) if labels is None else labels
    weak = WeakLabels(labels, np.array(tags), np.array([False, False, True]), np.zeros((0, 5)))
    return Sample("one", image, weak)


def seeder(cue=None, height=0.9, **own):
    settings = LocaliseSettings(agreement={"rounds": 0}, rule="fusion", **own)
    return FusedSeeder(Seeder(Given(height), settings, CLASSES, boxes_complete=False, cue=cue))


def test_maps_become_seeds_on_both_sides_of_the_edge():
    seeds = seeder().seeds(sample())
    assert (seeds[:, :9] == 1).all()
    assert (seeds[:, 11:] == 0).all()


@pytest.mark.parametrize(("exponent", "seeded"), [(None, False), (1.5, False), (6.0, True)])
def test_a_low_map_gives_no_seeds_by_default(exponent, seeded):
    """0.6^1.5 is above a map of 0.4, 0.6^6 is not: the exponent of `cut` would paint it."""
    seeds = seeder(height=0.4, exponent=exponent).seeds(sample())
    assert (seeds[:, :8] == 1).all() == seeded
    assert (seeds == 1).any() == seeded


def test_a_cue_overrules_the_background_of_the_maps():
    salient = torch.zeros(SIZE)
    salient[:, : SIZE[1] // 2], salient[:6, 12:] = 1, 0.2
    seeds = seeder(cue=lambda _: 1 - salient).seeds(sample())
    assert (seeds[:, :9] == 1).all()
    assert (seeds[:6, 13:] == UNLABELLED).all()  # salient, though no map is there
    assert (seeds[6:, 13:] == 0).all()


def test_an_image_without_tags_gets_no_seeds():
    seeds = seeder().seeds(sample(tags=(False, False, False)))
    assert (seeds == UNLABELLED).all()


def test_labelled_pixels_get_no_seeds():
    labels = np.full(SIZE, UNLABELLED, np.int16)
    labels[:, :3] = 0
    seeds = seeder().seeds(sample(labels=labels))
    assert (seeds[:, :3] == UNLABELLED).all()
    assert (seeds[:, 4:9] == 1).all()


@pytest.mark.parametrize("own", [{"agreement": {"rounds": 6}}, {"background": "saliency"}])
def test_two_answers_to_where_the_background_is_are_refused(own):
    with pytest.raises(ConfigError, match=r"rule=fusion needs agreement\.rounds=0"):
        make_config("rca", "data", sections={"rca": {"localise": own}})


def test_without_a_background_maps_are_cut():
    settings = LocaliseSettings(agreement={"rounds": 0}, rule="fusion")
    assert fuses(settings, CLASSES)
    assert not fuses(settings, ClassSet(("a", "b")))
    assert not fuses(LocaliseSettings(), CLASSES)


def test_rca_fuses_unless_it_is_told_otherwise():
    assert make_config("rca", "data").own.localise.rule == "fusion"
    assert make_config("cam", "data").own.localise.rule == "cut"
