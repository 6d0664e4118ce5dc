"""The regularised losses as a method."""

import json

import pytest
import torch

import hintseg
from conftest import TINY
from hintseg.engine.run import Run
from hintseg.errors import ConfigError, DataError
from hintseg.methods.config import make_config
from hintseg.methods.regularized.presets import PRESETS
from hintseg.methods.regularized.recipe import Regularized
from hintseg.methods.regularized.settings import RegularizedSettings
from hintseg.methods.settings import merge
from hintseg.methods.terms.energy import EnergySettings, Kind, dense_affinity, energy_losses
from hintseg.models.embedder import Segmenter, upsample
from hintseg.structures import UNLABELLED, VOID, Batch

KINDS = [kind for kind in Kind.__args__ if kind != "none"]
TRAIN = {**TINY, "steps": 4, "validate_images": 0}


def scene(side=24):
    """Left dark, right light; a click on each; the last rows are padding."""
    images = torch.full((2, 3, side, side), 40, dtype=torch.uint8)
    images[..., side // 2 :] = 200
    labels = torch.full((2, side, side), UNLABELLED)
    labels[:, 2:4, 2:4], labels[:, 2:4, -4:-2] = 0, 1
    labels[:, -4:] = VOID
    tags = torch.tensor([[True, True, False]] * 2)
    return Batch(("a", "b"), images, labels, tags, ~tags)


class Fixed(Segmenter):
    """A model whose logits are its parameter."""

    def __init__(self, logits):
        torch.nn.Module.__init__(self)
        self.logits = torch.nn.Parameter(logits)
        self.embedder = torch.nn.Module()
        self.embedder.backbone, self.embedder.stride = torch.nn.Identity(), 4

    def forward(self, images):
        return self.logits[: len(images)]


def learner_of(*, steps=10, **own):
    logits = torch.zeros(2, 3, 6, 6)
    return Regularized(Fixed(logits), RegularizedSettings(**own), steps=steps)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_flow_to_the_edges_of_the_image(kind):
    """Four labelled pixels a class: gradient descent fills both halves, and nothing else does."""
    kernel = {"sxy": 0.3, "srgb": 20.0}
    learner = learner_of(energy=kind, absent=1.0, kernel=kernel, start=0.0, ramp=0.0)
    batch, optimizer = scene(), torch.optim.Adam(learner.model.parameters(), lr=0.2)
    torch.manual_seed(0)
    learner.model.logits.data.normal_(std=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        sum(learner.losses(batch, 0).values()).backward()
        optimizer.step()
    best = learner.model.logits.argmax(dim=1)[:, :5]
    assert (best[..., :3] == 0).all()
    assert (best[..., 3:] == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_teaches_nothing(kind):
    learner = learner_of(energy=kind, entropy=0.5, start=0.0, ramp=0.0)
    learner.model.logits.data.normal_(generator=torch.Generator().manual_seed(0))
    losses = learner.losses(scene(), 0)
    (gradient,) = torch.autograd.grad(losses["energy"] + losses["entropy"], learner.model.logits)
    assert (gradient[:, :, -1] == 0).all()
    assert (gradient[:, :, :-1].abs().sum((2, 3)) > 0).all()


def test_without_an_energy_and_tags_it_is_partial_cross_entropy():
    losses = learner_of(energy="none", absent=0.0).losses(scene(), 0)
    assert list(losses) == ["cross_entropy"]
    full = upsample(torch.zeros(2, 3, 6, 6), 24, 24)
    expected = torch.nn.functional.cross_entropy(
        full, scene().labels.clamp(min=-1), ignore_index=-1
    )
    assert losses["cross_entropy"].item() == pytest.approx(expected.item())


def test_terms_rise_after_the_start():
    learner = learner_of(energy="crf", weight=2.0, entropy=0.5, start=0.2, ramp=0.4)
    values = [learner.losses(scene(), step) for step in range(10)]
    full = values[-1]["energy"].item()
    energies = [value["energy"].item() / full for value in values]
    assert energies == pytest.approx([0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    entropies = [value["entropy"].item() / values[-1]["entropy"].item() for value in values]
    assert entropies == pytest.approx(energies)


def test_the_rise_depends_on_the_step_alone():
    learner, other = (learner_of(start=0.2, ramp=0.4) for _ in range(2))
    for step in range(4):
        learner.losses(scene(), step)
    assert not learner.memory()
    other.remember({"steps": torch.tensor(9)})  # what a checkpoint of an earlier version holds
    assert other.losses(scene(), 4)["energy"].item() == learner.losses(scene(), 4)["energy"].item()


def test_tags_can_say_what_an_unlabelled_pixel_is_not():
    losses = learner_of(absent=0.5).losses(scene(), 0)
    assert losses["absent"].item() == pytest.approx(0.5 * torch.tensor(1.5).log().item())


def test_a_batch_without_labels_still_has_an_energy():
    batch = scene()
    batch = Batch(batch.names, batch.images, batch.labels.clamp(max=-1), batch.tags, batch.absent)
    losses = learner_of(start=0.0, ramp=0.0).losses(batch, 0)
    assert losses["cross_entropy"].item() == 0
    assert losses["energy"].item() > 0


def test_a_batch_of_padding_alone_is_an_exact_zero():
    batch = scene()
    void = torch.full_like(batch.labels, VOID)
    batch = Batch(batch.names, batch.images, void, batch.tags, batch.absent)
    learner = learner_of(entropy=0.5, start=0.0, ramp=0.0)
    total = sum(learner.losses(batch, 0).values())
    total.backward()
    assert total.item() == 0
    assert (learner.model.logits.grad == 0).all()


def test_the_kernel_is_as_wide_as_a_part_of_the_crop():
    kernel = EnergySettings().kernel.model_copy(update={"sxy": 0.25, "srgb": 1e6})
    means = []
    for side in (12, 24):
        images = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        kept = torch.ones(1, side, side, dtype=torch.bool)
        sums = dense_affinity(images, kept, kernel).sums
        means.append(sums.mean().item() / side**2)
    assert means[0] == pytest.approx(means[1], rel=0.1)


def test_an_energy_is_finite_in_half_precision():
    batch = scene()
    for kind in KINDS:
        settings = EnergySettings(kind=kind, entropy=1.0)
        logits = (50 * torch.randn(2, 3, 6, 6)).bfloat16().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            total = sum(energy_losses(settings, logits, batch).values())
        total.backward()
        assert torch.isfinite(total), kind
        assert torch.isfinite(logits.grad).all(), kind


def train(data, out, method="regularized", own=None):
    return hintseg.train(
        data, out, method=method, settings=merge({"train": TRAIN}, {method: own or {}})
    )


@pytest.mark.parametrize("kind", ["potts", "kernelcut", "none"])
def test_an_energy_is_chosen_by_its_name(data_folder, tmp_path, kind):
    folder = train(data_folder, tmp_path / "run", own={"energy": kind, "entropy": 0.1})
    lines = [line for line in Run(folder).read_log() if line["stage"] == "train"]
    terms = {"cross_entropy", "absent", "entropy"} | ({"energy"} if kind != "none" else set())
    assert set(lines[-1]["losses"]) == terms
    assert lines[0]["losses"]["entropy"] == 0 < lines[-1]["losses"]["entropy"]


def test_a_first_training_hands_on_its_model(data_folder, tmp_path):
    own = {"first": {"steps": 2, "lr": 0.01}}
    folder = train(data_folder, tmp_path / "run", own=own)
    lines = [line for line in Run(folder).read_log() if "loss" in line]
    assert [line["stage"] for line in lines] == ["partial"] * 2 + ["train"] * 4
    assert lines[2]["loss"] < lines[0]["loss"]
    assert json.loads((folder / "partial" / "manifest.json").read_text())["steps"] == 2


def test_tags_and_boxes_alone_are_refused(data_folder, tmp_path):
    for path in (data_folder / "hints").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "shapes": []}))
    with pytest.raises(DataError, match="not from tags or boxes alone"):
        train(data_folder, tmp_path / "run")


def test_an_unknown_energy_is_refused(data_folder, tmp_path):
    with pytest.raises(ConfigError, match=r"regularized.energy: .*'crf'.*got 'cfr'"):
        train(data_folder, tmp_path / "run", own={"energy": "cfr"})


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_can_be_set(preset):
    own = make_config("regularized", "data", preset=preset).own
    assert own.energy == "crf"
    assert 1 <= own.weight <= 3  # a released 1e-8, converted
    assert (own.start, own.ramp, own.absent) == (0, 0, 0)
