"""What maps are worth for every threshold, against maps that are known."""

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from conftest import TINY_MODEL
from hintseg.data.dataset import open_dataset
from hintseg.engine.run import Run
from hintseg.methods.job import Job
from hintseg.methods.localise.curve import THRESHOLDS, likely_tags, threshold_curve
from hintseg.methods.settings import Settings, TrainSettings
from hintseg.methods.validating import no_better_than_constant
from hintseg.models.saved import ModelDescription
from hintseg.structures import ScoreMaps


@pytest.fixture
def job(data_folder, tmp_path):
    dataset = open_dataset(data_folder)
    settings = TrainSettings(weights="random", crop=32, batch=2, steps=1, size=48)
    description = ModelDescription(dataset.classes.names, **TINY_MODEL)
    run, fabric = Run(tmp_path / "run"), Fabric(accelerator="cpu", devices=1)
    return Job(dataset, run, fabric, settings, Settings(), description)


class Oracle:
    """Maps of 0.62 where a class is, 0.1 elsewhere; it believes in no class but the second."""

    def __init__(self, job):
        self.job = job

    def fit(self, job, folder):
        """Nothing to learn."""

    def maps(self, sample):
        background = self.job.dataset.classes.background
        known = [c for c in np.flatnonzero(sample.weak.tags).tolist() if c != background]
        truth = torch.from_numpy(sample.weak.labels.astype(np.int64))
        maps = [torch.where(truth == label, 0.62, 0.1) for label in known]
        empty = torch.zeros(0, *truth.shape)
        return ScoreMaps(torch.stack(maps) if maps else empty, torch.tensor(known).long())

    def tag_probabilities(self, sample):
        return np.eye(len(sample.weak.tags))[1]


def test_perfect_maps_are_perfect_between_their_two_values(job):
    curve = threshold_curve(job, Oracle(job))
    given = dict(zip(curve["thresholds"], curve["miou"]["given"], strict=True))
    assert given[0.05] == given[0.6] == 1.0  # without background the highest map decides
    assert given[0.65] < 1
    assert curve["best"] == {"threshold": 0.05, "miou": 1.0, "tags": "given"}
    assert curve["split"] == "val"


def test_predicted_tags_cost_what_they_miss(job):
    curve = threshold_curve(job, Oracle(job))
    predicted, given = curve["miou"]["predicted"], curve["miou"]["given"]
    place = THRESHOLDS.index(0.6)
    assert predicted[place] < given[place]


def test_without_masks_there_is_no_curve(job):
    for name in job.dataset.names("val"):
        job.dataset.mask_path(name).unlink()
    assert threshold_curve(job, Oracle(job)) == {}


def test_the_likeliest_tag_counts_where_none_is_likely():
    assert likely_tags([0.1, 0.3, 0.2]).tolist() == [False, True, False]
    assert likely_tags([0.1, 0.6, 0.7]).tolist() == [False, True, True]


def validated(tmp_path, **scores):
    run = Run(tmp_path)
    constant = {"class": "grass", "miou": 0.1, "pixel_accuracy": 0.4}
    for step, factor in ((9, 0.5), (19, 1.0)):
        val = {name: value * factor for name, value in scores.items()}
        run.log({"stage": "train", "step": step, "val": {**val, "constant": constant}})
    return run


def test_a_model_that_is_worse_than_one_class_everywhere_is_told(tmp_path):
    run = validated(tmp_path, miou=0.05, pixel_accuracy=0.3)
    (remark,) = no_better_than_constant(run, "train", 20)
    assert "'grass' everywhere" in remark
    assert "30.0%" in remark
    assert "40.0%" in remark


def test_more_right_pixels_are_enough_a_higher_miou_is_not(tmp_path):
    """The mIoU of one class is low wherever there are many: what loses the ground beats it."""
    run = validated(tmp_path, miou=0.05, pixel_accuracy=0.5)
    assert no_better_than_constant(run, "train", 20) == []
    (tmp_path / "more").mkdir()
    run = validated(tmp_path / "more", miou=0.2, pixel_accuracy=0.3)
    (remark,) = no_better_than_constant(run, "train", 20)
    assert "no better on val than 'grass' everywhere (pixel accuracy 30.0%" in remark
    (remark,) = no_better_than_constant(run, "train", 10)  # those weights were worse
    assert "no better on val" in remark
    assert no_better_than_constant(run, "embed", 20) == []  # never validated
