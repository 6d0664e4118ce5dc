"""A classifier that learned from hints is told how large the classes are."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from conftest import CLASSES, COLOURS
from hintseg.data.dataset import open_dataset
from hintseg.engine.run import Run
from hintseg.methods.area_priors import FARTHEST, adjust_to_areas
from hintseg.methods.job import Job
from hintseg.methods.settings import Settings, TrainSettings
from hintseg.models.embedder import Segmenter
from hintseg.models.saved import ModelDescription, build_segmenter


class Knowing(Segmenter):
    """Tells the drawn classes by their colours, and expects them as often as it was taught."""

    def __init__(self, expected, sharpness=1e-3):
        torch.nn.Module.__init__(self)
        model = build_segmenter(ModelDescription(CLASSES, dim=8, width=16))
        self.embedder, self.classifier, self.unit = model.embedder, model.classifier, False
        self.expected, self.sharpness = torch.tensor(expected).log(), sharpness

    def forward(self, images):
        colours = torch.from_numpy(COLOURS).float().view(1, 3, 3, 1, 1)
        distance = (images.float()[:, None] - colours).square().sum(dim=2)
        logits = self.expected.view(1, 3, 1, 1) - self.sharpness * distance
        return F.avg_pool2d(logits, 4, ceil_mode=True)


@pytest.fixture
def job(data_folder, tmp_path):
    dataset = open_dataset(data_folder)
    settings = TrainSettings(size=56, crop=32, zoom=1.0)
    fabric = Fabric(accelerator="cpu", devices=1)
    description = ModelDescription(CLASSES)
    return Job(dataset, Run(tmp_path / "run"), fabric, settings, Settings(), description)


def shares_of(load, names):
    labels = np.concatenate([load(name).weak.labels.ravel() for name in names])
    counts = np.bincount(labels[labels >= 0], minlength=3)
    return counts / counts.sum()


def test_the_bias_moves_by_the_areas_over_the_shares_of_the_labels(job):
    names = job.dataset.hinted_names()
    taught, areas = shares_of(job.hinted, names), shares_of(job.masked, names)
    model = Knowing(taught.tolist())
    before = model.classifier[-1].bias.detach().clone()
    moved = adjust_to_areas(job, model, job.hinted, names)
    assert moved == pytest.approx(np.log(areas / taught), abs=0.2)
    assert (model.classifier[-1].bias - before).tolist() == pytest.approx(moved, abs=1e-3)


def test_a_classifier_that_knows_nothing_stays_as_it_is(job):
    names = job.dataset.hinted_names()
    taught = shares_of(job.hinted, names)
    moved = adjust_to_areas(job, Knowing(taught.tolist(), sharpness=0.0), job.hinted, names)
    assert moved == pytest.approx([0, 0, 0], abs=0.01)


def test_no_logit_moves_further_than_it_may(job):
    names = job.dataset.hinted_names()
    moved = adjust_to_areas(job, Knowing([1e-9, 0.5, 0.5]), job.hinted, names)
    assert max(map(abs, moved)) <= FARTHEST


def test_without_any_image_nothing_moves(job):
    assert adjust_to_areas(job, Knowing([0.2, 0.3, 0.5]), job.hinted, ()) == [0, 0, 0]
