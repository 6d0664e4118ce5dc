"""Fault x command: the process, its memory, its clock, its numbers, its folder and others in it."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from commands import COMMANDS, half_written, tree
from PIL import Image as PillowImage
from safetensors.torch import load_file

from hintseg.engine.checkpoint import previous
from hintseg.engine.monitor import TrainingMonitor
from hintseg.engine.run import LOCK, Run
from hintseg.engine.watch import LossWatch
from hintseg.errors import NotFiniteError
from hintseg.images import photographs
from hintseg.locks import held
from hintseg.methods.cross_entropy.recipe import CrossEntropy
from hintseg.predict import predictor as predicting

MODEL = "model.safetensors"
CHECKPOINT = "checkpoint/train.safetensors"
KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path

replace, count = Path.replace, iter(range(10_000))

def kill(path, target):
    if next(count) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(path, target)

Path.replace = kill
from hintseg import cli
sys.argv[0] = "hintseg"
cli.main()
"""  # a process of its own: a copy of this one would wait for threads that it does not have
LOST = (
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
)


@contextmanager
def at_step(monkeypatch, step, what):
    """Something happens when a step of a training has ended."""
    original = TrainingMonitor.on_step

    def on_step(self, number, *values, **named):
        if number == step:
            what(self)
        original(self, number, *values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingMonitor, "on_step", on_step)
        yield


@pytest.fixture
def whole(world):
    """The model of a training that nothing disturbs."""
    assert world([*world.words("train")[:-1], world.out / "whole"])[0] == 0
    return (world.out / "whole" / MODEL).read_bytes()


@pytest.fixture
def forgetful(monkeypatch):
    """Every sample is read anew."""
    monkeypatch.setattr("hintseg.methods.fitting.remembered", lambda load, **_: load)


def stop(monitor):
    signal.raise_signal(signal.SIGTERM)


def stopped(world, monkeypatch):
    """A training that was stopped behind its third step; its run folder."""
    with at_step(monkeypatch, 2, stop):
        world.fails("train", "interrupted; continue with the same command and --resume")
    return world.out / "run"


# Signals


@pytest.mark.parametrize("command", COMMANDS)
def test_sigterm(world, monkeypatch, command):
    """In the middle of the work: one line, nothing half-written, and the same command does it."""
    opened, count = PillowImage.open, iter(range(10_000))

    def terminate(*values, **named):
        if next(count) == 4:
            signal.raise_signal(signal.SIGTERM)
        return opened(*values, **named)

    with monkeypatch.context() as patch:
        target = photographs.PillowImage
        if command == "export onnx":
            patch.setattr("hintseg.export.onnx.agreement", lambda *_: signal.raise_signal(15))
        patch.setattr(target, "open", terminate)
        line = world.fails(command, "interrupted; ")
    assert "same command" in line or "nothing was written" in line
    assert not half_written(world.root)
    assert world(command, *["--resume"] * (command == "train"))[0] == 0


@pytest.mark.parametrize("command", ["train", "predict", "label", "simulate", "import", "compare"])
def test_sigkill(world, command):
    """While a file is written: what is there is whole, and the same command does the rest."""
    words = [sys.executable, "-c", KILLED_WHILE_WRITING, *world.words(command)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(words, env={**os.environ, **threads}, check=False)
    assert killed.returncode == -signal.SIGKILL
    for path in world.out.rglob("*.png"):
        photographs.read_image(path)  # to its end
    assert world(command, *["--resume"] * (command == "train"))[0] == 0
    again = world.out
    world.out = world.root / "whole"
    assert world(command)[0] == 0
    finished, undisturbed = tree(again), tree(world.out)
    made = [name for name in undisturbed if name.endswith((".png", MODEL))]
    assert all(finished[name] == undisturbed[name] for name in made)


# Two in one folder


def test_two_trainings_in_one_folder(world, monkeypatch, whole):
    run = stopped(world, monkeypatch)
    before = tree(run)
    with held(run / LOCK, "training"):
        line = world.fails("train", "is training here; wait until it ends", more=["--resume"])
        assert f"{run}: process {os.getpid()} on " in line
        assert tree(run) == before
    world.fails("train", "exists already; continue it with --resume")
    assert world("train", "--resume")[0] == 0
    assert (run / MODEL).read_bytes() == whole


def test_a_training_that_has_logged_nothing_yet_is_not_deleted_by_another(world):
    run = world.out / "run"
    with held(run / LOCK, "training"):  # two begin at the same moment
        world.fails("train", "is training here")
        assert run.is_dir()


# Checkpoints


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda content: b""])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(world, monkeypatch, whole, damage):
    run = stopped(world, monkeypatch)
    newest = run / CHECKPOINT
    newest.write_bytes(damage(newest.read_bytes()))
    assert world("train", "--resume")[0] == 0
    (said,) = world.warnings
    assert f"{newest}: cannot be continued" in said
    assert "going on from step 2, of the checkpoint before" in said
    assert (run / MODEL).read_bytes() == whole
    assert not list((run / "checkpoint").iterdir())
    assert [line["step"] for line in Run(run).read_log()] == [0, 1, 2, 3]


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_without_a_sound_checkpoint_the_stage_begins_anew(world, monkeypatch, whole, damage):
    run = stopped(world, monkeypatch)
    newest = run / CHECKPOINT
    for file in (newest, previous(newest)):
        file.write_bytes(damage(file.read_bytes()))
    line = world.fails("train", "cannot be continued", "delete this file", more=["--resume"])
    assert str(previous(newest)) in line
    previous(newest).unlink()
    world.fails("train", f"{newest}: cannot be continued", "delete this file", more=["--resume"])
    newest.unlink()
    assert world("train", "--resume")[0] == 0
    assert (run / MODEL).read_bytes() == whole


def test_a_checkpoint_of_another_network_or_with_nan_is_refused(world, monkeypatch):
    run = stopped(world, monkeypatch)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("dim: 8", "dim: 12"))
    words = ["train", world.data, "--out", run, "--resume"]
    world.fails(words, "cannot be continued", "size mismatch")
    (run / "config.yaml").write_text(text)
    monkeypatch.setattr("hintseg.engine.checkpoint.first_not_finite", lambda _: "w")
    world.fails("train", "weight 'w' is NaN or infinite", more=["--resume"])


def test_a_damaged_record_of_a_run_is_named(world, monkeypatch, whole):
    run = stopped(world, monkeypatch)
    (run / "run.json").write_bytes((run / "run.json").read_bytes()[:40])
    world.fails("train", "run.json: cannot be read", "delete it", more=["--resume"])
    (run / "run.json").unlink()
    assert world("train", "--resume")[0] == 0
    assert (run / MODEL).read_bytes() == whole


# Folders and files that change during the work


def test_the_run_folder_is_removed_during_the_training(world, monkeypatch):
    run = world.out / "run"
    with at_step(monkeypatch, 2, lambda monitor: shutil.rmtree(run)):
        world.fails("train", f"{run}: was removed while it was being written; train again")
    assert not run.exists()
    assert world("train")[0] == 0


@pytest.mark.parametrize("command", ["predict", "label"])
def test_the_folder_of_labels_is_removed_during_the_work(world, monkeypatch, command):
    write, folder = photographs.write_png, world.out / ("m" if command == "predict" else "labels")
    count = iter(range(100))

    def remove(*values, **named):
        write(*values, **named)
        if next(count) == 1:
            shutil.rmtree(folder)

    with monkeypatch.context() as patch:
        patch.setattr("hintseg.images.label_maps.write_png", remove)
        world.fails(command, f"{folder}: was removed while label maps were written", "again")
    assert not list(world.out.rglob("*.png"))
    assert world(command)[0] == 0


def shorten(path):
    path.write_bytes(path.read_bytes()[:200])


def shrink(path):
    PillowImage.new("RGB", (30, 20)).save(path)


CHANGES = {
    shorten: "damaged image",
    shrink: "was read as 30 x 20",
    Path.unlink: "no such file",
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_change_during_the_training(world, monkeypatch, whole, forgetful, tmp_path, change):
    images, kept = world.data / "images", tmp_path / "kept"
    shutil.copytree(images, kept)

    def spoil(monitor):
        for path in images.iterdir():
            change(path)

    monkeypatch.setattr("hintseg.data.loading.BATCHES_AHEAD", 0)
    with at_step(monkeypatch, 1, spoil):
        line = world.fails("train", CHANGES[change])
    assert line.endswith("; then continue with the same command and --resume")
    assert (world.out / "run" / CHECKPOINT).is_file()
    shutil.copytree(kept, images, dirs_exist_ok=True)
    assert world("train", "--resume")[0] == 0
    assert (world.out / "run" / MODEL).read_bytes() == whole


# Memory


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("command", ["train", "compare"])
def test_out_of_memory_in_training(world, monkeypatch, command, error):
    def losses(self, batch, step):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(CrossEntropy, "losses", losses)
        world.fails(command, "out of memory", "smaller --batch")
    assert not (world.out / "run").exists()
    assert world(command)[0] == 0


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("command", ["predict", "evaluate", "label"])
def test_out_of_memory_in_prediction(world, monkeypatch, command, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(predicting, "class_scores", fail)
    monkeypatch.setattr("hintseg.predict.folders.hinted.pseudo_scores", fail)
    world.fails(command, "out of memory", "--device cpu, or a machine with more memory")
    assert not list(world.out.rglob("*.png"))


def test_smaller_tiles_are_tried_before_giving_up(world, monkeypatch):
    """A GPU that holds 512 pixels, no more: the labels are those of --tile 512."""
    large, scores = world.root / "large", predicting.class_scores
    large.mkdir()
    with PillowImage.open(world.data / "images" / "pond.png") as image:
        image.resize((900, 700)).save(large / "pond.png")
    words = ["predict", world.run, large, "--device", "cpu", "--out"]
    assert world([*words, world.out / "asked", "--tile", "512"])[0] == 0

    def small(model, part, views):
        if max(part.shape[-2:]) > 512:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return scores(model, part, views)

    monkeypatch.setattr(predicting, "class_scores", small)
    words[1] = world.run
    assert world([*words, world.out / "fell back", "--tile", "1024"])[0] == 0
    (said,) = world.warnings
    assert "out of memory in tiles of 1024 pixels: labelled in tiles of 448" in said or (
        "labelled in tiles of 512" in said
    )
    assert (world.out / "fell back" / "pond.png").is_file()


# Numbers


def with_nan_at(step, value=float("nan")):
    original = CrossEntropy.losses

    def losses(self, batch, number):
        found = original(self, batch, number)
        return {name: loss * value if number == step else loss for name, loss in found.items()}

    return losses


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(world, monkeypatch, whole, value):
    """The step, the term and the images are named; the weights before it are kept and work."""
    with monkeypatch.context() as patch:
        patch.setattr(CrossEntropy, "losses", with_nan_at(3, value))
        line = world.fails("train", f"step 3: the loss is {value} (cross_entropy {value})")
    assert "lower the learning rate (--set train.lr=...)" in line
    images = {path.stem for path in (world.data / "images").iterdir()}
    named = line.split("of the images ")[1].split(";")[0].split(", ")
    assert len(named) == 2
    assert set(named) <= images
    good = world.out / "run" / "train" / "good"
    assert f"the weights after 3 steps are in {good}" in line
    saved = load_file(world.out / "run" / CHECKPOINT)
    for name, weight in load_file(good / MODEL).items():
        assert bool(weight.isfinite().all())
        is_count = "running_" in name or "num_batches" in name  # of all images seen
        assert is_count or torch.equal(saved[f"model.{name}"], weight)
    world.run = good
    assert world("predict")[0] == 0
    # A batch that was mended, for example: the run goes on as if nothing had been.
    assert world("train", "--resume")[0] == 0
    assert (world.out / "run" / MODEL).read_bytes() == whole


def test_where_losses_are_looked_at_later_the_first_bad_step_is_named():
    watch = LossWatch(at_once=False)
    for step, value in enumerate((1.0, float("inf"), float("nan"))):
        watch(step, [f"i{step}", "x"], {"fine": torch.tensor(0.5), "term": torch.tensor(value)})
    with pytest.raises(NotFiniteError, match=r"^step 1: .* \(term inf\), of the images i1, x; "):
        watch.look()
    watch.look()  # what was told is told


# The clock


@pytest.mark.parametrize("command", ["train", "predict", "compare", "simulate"])
def test_a_clock_that_goes_back(world, monkeypatch, command):
    now = iter(range(2_000_000_000, 0, -1000))
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: float(next(now)))
        assert world(command)[0] == 0
    for path in world.out.rglob("log.jsonl"):
        for line in Run(path.parent).read_log():
            assert line.get("steps_per_second", 1) > 0
    for path in world.out.rglob("seconds.txt"):
        assert all(float(line) >= 0 for line in path.read_text().split())
