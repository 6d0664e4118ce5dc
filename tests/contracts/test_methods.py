"""What every method promises, on a drawn data set."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file

import hintseg
from hintseg.data.dataset import open_dataset
from hintseg.engine.run import Run
from hintseg.engine.watch import Watch
from hintseg.errors import ConfigError, DataError, RunError
from hintseg.methods import METHODS

SETTINGS = {
    "train": {
        "weights": "random",
        "steps": 6,
        "crop": 32,
        "batch": 2,
        "dim": 8,
        "width": 16,
        "log_every": 1,
        "checkpoint_every": 2,
        "validate_every": 3,
        "device": "cpu",
    }
}


def run(data, out, method, **changes):
    settings = {"train": {**SETTINGS["train"], **changes}}
    return hintseg.train(data, out, method=method, settings=settings)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_has_everything_that_predict_needs(data_folder, tmp_path, method):
    folder = run(data_folder, tmp_path / "run", method)
    for file in ("config.yaml", "run.json", "log.jsonl", "model.safetensors", "model.json"):
        assert (folder / file).is_file(), file
    assert (folder / "report.html").is_file()
    assert not list(folder.rglob("*.part"))
    assert not list(folder.rglob("*.pkl"))
    dataset = open_dataset(data_folder)
    prediction = hintseg.load(folder).predict(dataset.image("pond"))
    assert prediction.labels.shape == dataset.size("pond")
    assert set(prediction.labels.flatten().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls_on_a_drawn_scene(data_folder, tmp_path, method):
    folder = run(data_folder, tmp_path / "run", method, steps=40, lr=0.01, validate_images=0)
    losses = [line["loss"] for line in Run(folder).read_log()]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    data_folder, tmp_path, method
):
    first, second, other = (
        load_file(run(data_folder, tmp_path / str(i), method, seed=seed) / "model.safetensors")
        for i, seed in enumerate((0, 0, 1))
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_an_interrupted_run_continues_bit_for_bit(
    data_folder, tmp_path, method, stop_after, monkeypatch
):
    whole = run(data_folder, tmp_path / "whole", method)
    interrupt_after(stop_after, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(data_folder, tmp_path / "cut", method)
    monkeypatch.undo()
    cut = hintseg.train(data_folder, tmp_path / "cut", resume=True)
    compare(whole, cut)


@pytest.mark.parametrize("kill_after", [1, 3, 4])
def test_a_killed_run_continues_bit_for_bit(data_folder, tmp_path, kill_after, monkeypatch):
    whole = run(data_folder, tmp_path / "whole", "full")
    die_after(kill_after, monkeypatch)
    with pytest.raises(SystemError):
        run(data_folder, tmp_path / "cut", "full")
    monkeypatch.undo()
    (tmp_path / "cut" / "checkpoint").mkdir(exist_ok=True)
    (tmp_path / "cut" / "checkpoint" / ".train.safetensors.part").write_bytes(b"half")
    compare(whole, hintseg.train(data_folder, tmp_path / "cut", resume=True))


def test_the_number_of_threads_does_not_change_the_result(data_folder, tmp_path):
    compare(
        run(data_folder, tmp_path / "a", "full", threads=1),
        run(data_folder, tmp_path / "b", "full", threads=4),
    )


def test_resuming_a_finished_run_changes_nothing(data_folder, tmp_path):
    folder = run(data_folder, tmp_path / "run", "full")
    before = (folder / "model.safetensors").read_bytes()
    hintseg.train(data_folder, folder, resume=True)
    assert (folder / "model.safetensors").read_bytes() == before


def test_resuming_on_changed_data_is_refused(data_folder, tmp_path):
    folder = run(data_folder, tmp_path / "run", "full")
    (data_folder / "splits" / "train.txt").write_text("field\n")
    with pytest.raises(RunError, match="has changed since this run began"):
        hintseg.train(data_folder, folder, resume=True)


def test_training_leaves_the_random_state_of_the_caller_alone(data_folder, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(data_folder, tmp_path / "run", "full")
    assert torch.equal(torch.rand(3), expected)


def test_a_configuration_can_be_passed_back(data_folder, tmp_path):
    first = run(data_folder, tmp_path / "a", "full")
    second = hintseg.train(data_folder, tmp_path / "b", config=first / "config.yaml")
    compare(first, second)


def test_no_masks_no_full_supervision(data_folder, tmp_path):
    (data_folder / "masks" / "hill.png").unlink()
    with pytest.raises(DataError, match=r"hill.png: no such mask \(1 of 4 train images have none"):
        run(data_folder, tmp_path / "run", "full")
    assert not (tmp_path / "run").exists()


def test_masks_alone_are_enough_for_full_supervision(data_folder, tmp_path):
    for path in (data_folder / "hints").glob("*.json"):
        path.unlink()
    (data_folder / "dataset.yaml").write_text("classes: [grass, cow, sky]\n")  # no splits either
    folder = run(data_folder, tmp_path / "run", "full")
    assert json.loads((folder / "train" / "manifest.json").read_text())["images"] == 8


def test_tags_alone_do_not_teach_partial_cross_entropy(data_folder, tmp_path):
    for path in (data_folder / "hints").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "shapes": []}))
    with pytest.raises(DataError, match="not from tags or boxes alone"):
        run(data_folder, tmp_path / "run", "partial")


def test_a_batch_that_the_devices_cannot_share_is_refused(data_folder, tmp_path):
    with pytest.raises(ConfigError, match=r"batch=3 must be a multiple of --devices 2"):
        run(data_folder, tmp_path / "run", "full", batch=3, devices=2)


def test_a_loss_that_is_not_finite_stops_the_run(data_folder, tmp_path):
    with pytest.raises(RunError, match="lower the learning rate"):
        run(data_folder, tmp_path / "run", "full", lr=1e30, optimizer="sgd", warmup=0)


def compare(one, two):
    first, second = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first)
    logs = [
        [
            {k: line.get(k) for k in ("stage", "step", "loss", "lr", "val")}
            for line in Run(folder).read_log()
        ]
        for folder in (one, two)
    ]
    assert logs[0] == logs[1]


def interrupt_after(steps, monkeypatch):
    """Send the process a real SIGINT while step `steps` is being done."""
    original = Watch.on_step

    def on_step(self, step, losses, waited, *, advance):
        if step + 1 == steps:
            signal.raise_signal(signal.SIGINT)
        original(self, step, losses, waited, advance=advance)

    monkeypatch.setattr(Watch, "on_step", on_step)


def die_after(steps, monkeypatch):
    """Stop dead at a step, before anything of it is logged or saved."""
    original = Watch.on_step

    def on_step(self, step, losses, waited, *, advance):
        if step + 1 == steps:
            raise SystemError("killed")
        original(self, step, losses, waited, advance=advance)

    monkeypatch.setattr(Watch, "on_step", on_step)
