"""Fault x command: what is read is damaged. It is found, named, and nothing is made of it."""

import errno
import json
import os

import pytest
import torch
from commands import BY_MODEL, half_written, tree
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hintseg.seals import SEAL

CHANGED = "its bytes have changed since it was written: the checksum does not fit"


def truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def emptied(path):
    path.write_bytes(b"")


def flipped(path):
    """One bit of a number in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def changed(path, change):
    """Some tensor is another, and the checksum fits: a program has written it so."""
    with safe_open(path, "pt") as file:
        metadata = {k: v for k, v in (file.metadata() or {}).items() if k != SEAL}
    tensors = load_file(path)
    floats = [name for name, t in tensors.items() if t.is_floating_point() and t.ndim == 4]
    name = sorted(floats)[0]
    tensors[name] = change(tensors[name])
    save_file(tensors, path, metadata=metadata)


def of_other_shape(path):
    changed(path, lambda tensor: torch.zeros(3, 1, 1, 1))


def with_nan(path):
    changed(path, lambda tensor: torch.full_like(tensor, float("nan")))


DAMAGES = {
    truncated: "cannot be",
    emptied: "cannot be",
    flipped: CHANGED,
    of_other_shape: "cannot be loaded (holds",
    with_nan: "NaN or inf",
}


@pytest.mark.parametrize("command", BY_MODEL)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model(world, command, damage):
    damage(world.run / "model.safetensors")
    line = world.fails(command, "spml/model.safetensors: ", DAMAGES[damage], "train again")
    if damage is not with_nan:
        assert f"give {world.run / 'embed' / 'last'}, which the run kept" in line or (
            f"give {world.run / 'embed' / 'best'}, which the run kept" in line
        )
    assert not [path for path in world.out.rglob("*") if path.is_file()]
    kept = [path.parent for path in world.run.glob("embed/*/model.json")]
    assert kept
    world.run = kept[0]
    assert world(command)[0] == 0  # what the message proposes


@pytest.mark.parametrize("command", BY_MODEL)
@pytest.mark.parametrize("damage", [truncated, flipped, emptied])
def test_a_damaged_description_of_a_model(world, command, damage):
    path = world.run / "model.json"
    damage(path)
    if damage is flipped:  # a digit: it is JSON still
        content = json.loads((world.run / "embed" / "last" / "model.json").read_text())
        path.write_text(json.dumps({**content, "zoom": content["zoom"] * 2}))
    line = world.fails(command, "spml/model.json: ")
    assert "its checksum does not fit" in line or "cannot be read" in line
    assert not [path for path in world.out.rglob("*") if path.is_file()]


@pytest.mark.parametrize("damage", [truncated, emptied, flipped])
@pytest.mark.parametrize("command", ["predict", "label", "evaluate"])
def test_damaged_prototypes(world, command, damage):
    more = ["--by", "both"]
    damage(world.run / "prototypes.safetensors")
    world.fails(command, "spml/prototypes.safetensors: cannot be loaded", "train again", more=more)
    assert not [path for path in world.out.rglob("*") if path.is_file()]


def test_the_studio_names_a_damaged_model(world):
    flipped(world.run / "model.safetensors")
    words = ["studio", world.data, "--run", world.run, "--no-browser", "--port", "0"]
    world.fails(words, "spml/model.safetensors: ", CHANGED)


@pytest.mark.parametrize("place", range(7))
def test_every_flipped_bit_of_a_file_of_weights_is_found_or_harmless(world, place):
    """In the length, the names, the shapes, the checksum or the numbers."""
    path = world.run / "model.safetensors"
    content = path.read_bytes()
    whole = load_file(path)
    start = 8 + int.from_bytes(content[:8], "little")
    spread = [3, 0, 20, 60, start - 40, start + 1, len(content) - 1]
    damaged = bytearray(content)
    damaged[spread[place]] ^= 1 << (place + 1)
    path.write_bytes(damaged)
    code, said = world("evaluate")
    if code == 0:
        assert all(torch.equal(value, whole[name]) for name, value in load_file(path).items())
    else:
        assert "model.safetensors: cannot be loaded" in said


@pytest.mark.parametrize("command", ["predict", "label"])
def test_a_broken_image_does_not_stop_the_others(world, command):
    truncated(world.data / "images" / "herd.png")
    code, said = world(command)
    assert (code, len(said.splitlines())) == (1, 1)
    assert "images/herd.png: damaged image" in said
    assert "replace it or remove it" in said
    made = {path.stem for path in world.out.rglob("*.png")}
    assert "hill" in made
    assert "herd" not in made


@pytest.mark.parametrize("damage", [truncated, emptied])
@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("evaluate", "images/pond.png"),
        ("evaluate", "masks/pond.png"),
        ("simulate", "masks/herd.png"),
        ("train", "masks/herd.png"),
        ("train", "images/herd.png"),
        ("retrieve", "images/pond.png"),
        ("compare", "masks/herd.png"),
        ("export masks", "masks/herd.png"),
    ],
)
def test_a_broken_file_of_the_data_set_is_named(world, command, file, damage):
    damage(world.data / file)
    code, said = world(command)
    assert code == 1
    assert file in said
    assert len(said.splitlines()) <= 2
    assert not half_written(world.root)


@pytest.mark.parametrize("command", ["train", "label", "evaluate", "simulate", "check", "compare"])
def test_a_data_set_that_was_removed(world, command):
    os.rename(world.data, world.root / "elsewhere")
    code, said = world(command)
    assert code == 1
    assert command == "check" or f"{world.data}: no such folder" in said
    assert not [path for path in world.out.rglob("*.png")]


@pytest.mark.parametrize("command", ["evaluate", "predict", "label"])
def test_a_disk_that_does_not_answer(world, monkeypatch, command):
    """Input/output errors of one image are that image's."""
    from hintseg.images import photographs  # noqa: PLC0415

    opened = photographs.PillowImage.open

    def fail(file, **options):
        if "pond" in str(file.name) or "herd" in str(file.name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(file, **options)

    monkeypatch.setattr(photographs.PillowImage, "open", fail)
    code, said = world(command)
    assert code == 1
    assert "Input/output error" in said


def test_a_second_call_finds_the_labels_of_the_first_whatever_the_clock_says(world, monkeypatch):
    assert world("predict")[0] == 0
    before = tree(world.out)
    for path in world.out.rglob("*"):
        os.utime(path, (2e9, 2e9))  # made in the future
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: 0.0)
        assert world("predict")[0] == 0
    assert tree(world.out) == before
