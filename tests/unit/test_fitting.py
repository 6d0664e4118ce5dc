"""How a network is trained: batches, shares of ranks, which weights are kept."""

import json
from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from conftest import TINY_MODEL
from hintseg.data.dataset import open_dataset
from hintseg.engine.monitor import Looks
from hintseg.engine.run import Run, start_run
from hintseg.methods.fitting import Batches, Stateless, train_network
from hintseg.methods.job import Job
from hintseg.methods.settings import Settings, TrainSettings
from hintseg.methods.validating import (
    beside_constant,
    validation,
    validation_names,
    worth_of_best,
)
from hintseg.models.saved import ModelDescription, save_model


class Line(Stateless):
    """One weight that is drawn to 3."""

    def __init__(self):
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.pretrained = nn.Module()
        self.steps = []

    def losses(self, batch, step):
        self.steps.append(step)
        return {"distance": (self.model.weight - 3).square().sum()}


@pytest.fixture
def job(data_folder, tmp_path):
    dataset = open_dataset(data_folder)
    run = Run(tmp_path / "run")
    start_run(run, {})
    settings = TrainSettings(
        weights="random", crop=32, batch=2, steps=12, lr=0.1, log_every=1, checkpoint_every=5
    ).model_copy(update={"validate_every": 4, "device": "cpu"})
    fabric = Fabric(accelerator="cpu", devices=1)
    description = ModelDescription(dataset.classes.names, **TINY_MODEL)
    return Job(dataset, run, fabric, settings, Settings(), description)


def trained(job, **options):
    learner, kept = Line(), []
    batches = Batches(job, job.dataset.hinted_names(), job.hinted)
    folder = job.run.stage_folder("line")
    state = train_network(job, learner, folder, batches, keep=kept.append, **options)
    return learner, kept, state


def test_the_weight_comes_nearer_and_the_steps_are_told(job):
    learner, kept, state = trained(job)
    assert learner.steps == list(range(12))
    assert 0.1 < learner.model.weight.item() < 3.5
    assert kept == ["last"]
    assert state.step == 12
    lines = [json.loads(line) for line in job.run.log_file.read_text().splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_the_best_is_kept_whenever_validation_finds_it(job):
    scores = iter([0.2, 0.5, 0.4])
    shown = []
    looks = Looks(
        validate=lambda: {"miou": next(scores), "pixel_accuracy": 1.0},
        picture=lambda: shown.append(len(shown)),
    )
    _, kept, state = trained(job, looks=looks)
    assert not shown  # unless it is set how often
    assert kept == ["best", "best", "last"]
    assert (state.best_step, state.best_score) == (8, 0.5)


def test_the_rate_of_a_stage_may_be_its_own(job):
    slow, _, _ = trained(job, lr=1e-6)
    assert abs(slow.model.weight.item()) < 1e-3


def test_batches_begin_where_they_are_told(job):
    batches = Batches(job, job.dataset.hinted_names(), job.hinted)
    every, later = list(batches(0)), list(batches(7))
    assert len(every) == 12
    assert [b.names for b in every[7:]] == [b.names for b in later]
    assert all(torch.equal(a.images, b.images) for a, b in zip(every[7:], later, strict=True))


def test_validation_names_are_spread_evenly_and_have_masks(data_folder):
    for split in ("train", "test"):
        (data_folder / "splits" / f"{split}.txt").write_text("")
    everything = ["field", "herd", "hill", "meadow", "pond", "ridge", "shed", "valley"]
    (data_folder / "splits" / "val.txt").write_text("\n".join(everything))
    (data_folder / "masks" / "hill.png").unlink()
    dataset = open_dataset(data_folder)
    masked = [name for name in everything if name != "hill"]
    assert list(validation_names(dataset, 100)) == masked
    assert list(validation_names(dataset, 3)) == masked[::3]
    assert not validation_names(dataset, 0)


def constant_network(job, label):
    """A segmenter that says one class everywhere."""
    network = job.segmenter()
    with torch.no_grad():
        network.classifier[-1].weight.zero_()
        network.classifier[-1].bias.copy_(1.0 * (torch.arange(len(job.dataset.classes)) == label))
    return network


@pytest.fixture
def validated(job):
    """The same job, whose val split is all images with masks."""
    root = job.dataset.root
    names = [path.stem for path in sorted((root / "masks").glob("*.png"))]
    for split, shown in (("val", names), ("train", []), ("test", [])):
        (root / "splits" / f"{split}.txt").write_text("\n".join(shown))
    return replace(job, dataset=open_dataset(root))


def test_earlier_weights_are_kept_only_where_they_are_surely_better(validated, tmp_path):
    job = validated
    names = job.dataset.classes.names
    frequent = names.index(validation(job, constant_network(job, 0))()["constant"]["class"])
    good = constant_network(job, frequent)
    bad = constant_network(job, 1 if frequent == 0 else 0)
    save_model(tmp_path / "best", good, job.description)
    found = worth_of_best(job, tmp_path, bad)
    assert found["surely"]
    assert 0 < found["interval"][0] <= found["miou"] <= found["interval"][1]
    assert worth_of_best(job, tmp_path, good) == {
        "miou": 0.0,
        "interval": [0.0, 0.0],
        "surely": False,
    }
    save_model(tmp_path / "best", bad, job.description)
    assert not worth_of_best(job, tmp_path, good)["surely"]


@pytest.mark.parametrize(
    ("miou", "accuracy", "begins"),
    [
        (0.05, 0.71, None),
        (0.03, 0.71, None),
        (0.05, 0.70, None),
        (
            0.26,
            0.30,
            "the model is no better on val than 'soil' everywhere (pixel accuracy 30.0%",
        ),
        (0.04, 0.70, "the model is no better on val than 'soil' everywhere"),
        (0.00, 0.10, "the model is no better on val than 'soil' everywhere"),
    ],
)
def test_a_model_that_one_class_beats_is_remarked_on(miou, accuracy, begins):
    soil = {"class": "soil", "miou": 0.04, "pixel_accuracy": 0.7}
    said = beside_constant({"miou": miou, "pixel_accuracy": accuracy, "constant": soil})
    assert len(said) == (begins is not None)
    assert all(line.startswith(begins) for line in said)


def test_scores_from_before_constants_were_kept_say_nothing():
    assert beside_constant({"miou": 0.1, "pixel_accuracy": 0.1}) == []
