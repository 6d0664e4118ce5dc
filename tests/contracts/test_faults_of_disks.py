"""Fault x command: nothing can be written. One line with the remedy, exit code 1, nothing half."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from commands import COMMANDS, can_mount, half_written

from conftest import room_for
from hintseg.engine.run import Run

ROOM, RIGHT = "make room there or choose another disk", "choose a folder in which you may write"
PLACES = ("out/", "/hintseg-", "temporary file")  # what some make first, in a folder for it
POINT = {"label": "cow", "points": [[10.0, 12.0]], "shape_type": "point"}


@contextmanager
def failing(monkeypatch, name, number):
    """A method of paths that fails as the system would."""
    with monkeypatch.context() as patch:

        def fail(path, *_, **__):
            raise OSError(number, os.strerror(number), str(path))

        patch.setattr(Path, name, fail)
        yield


@contextmanager
def mounted(folder, *, writable):
    """A disk of 8 MB without room for another byte, or one that is read-only."""
    if not can_mount():
        pytest.skip("mounting needs the rights of root")
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        if writable:
            fill(folder / "rest")
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file):
    with suppress(OSError), file.open("wb", buffering=0) as opened:
        while opened.write(bytes(2**12)):
            pass


def no_file(world):
    return [path for path in world.out.rglob("*") if path.is_file() and path.name != "rest"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(world, monkeypatch, command):
    with failing(monkeypatch, "replace", errno.ENOSPC):
        line = world.fails(command, "cannot be written (No space left on device)", ROOM)
    assert any(place in line for place in PLACES)
    assert not [path for path in no_file(world) if path.suffix != ".lock" and path.name != ".lock"]
    assert not half_written(world.root)
    assert world(command)[0] == 0  # there is room again: the same command does it


@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_of_8_mb_that_is_full(world, command):
    with mounted(world.out, writable=True):
        world.fails(command, "out/", "cannot be written (No space left on device)", ROOM)
        assert not half_written(world.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_may_not_grow(world, command):
    if sys.platform == "win32":
        pytest.skip("no such limit there")
    with room_for(20):
        line = world.fails(command, "cannot be written", "make room there")
    assert any(place in line for place in PLACES)
    assert not half_written(world.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_read_only(world, monkeypatch, command):
    with failing(monkeypatch, "mkdir", errno.EROFS):
        world.fails(command, "out", "cannot be written (Read-only file system)", RIGHT)
    assert not world.out.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_is_read_only(world, command):
    with mounted(world.out, writable=False):
        world.fails(command, "out/", "cannot be written (Read-only file system)", RIGHT)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_in_the_place_of_the_folder(world, command):
    world.out.write_text("mine")
    world.fails(command, "out", "a file is where a folder should be; choose another name")
    assert world.out.read_text() == "mine"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_that_is_not_there(world, command):
    if not Path("/proc/self").exists():
        pytest.skip("no folder here in which nobody can make one")
    world.out = Path("/proc/nowhere")
    world.fails(command, "/proc/nowhere", "cannot be written", "choose another place")


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, ROOM), (errno.EROFS, RIGHT)])
def test_the_studio_keeps_the_hints_that_it_cannot_replace(world, monkeypatch, number, words):
    client, file = world.studio(), world.data / "hints" / "herd.json"
    before = file.read_bytes()
    opened = client.get("/api/image?name=herd").json()
    change = {"shapes": [*opened["shapes"], POINT], "flags": {}}
    match = {"if-match": opened["version"]}
    with failing(monkeypatch, "replace", number):
        answer = client.put("/api/hints?name=herd", json=change, headers=match)
    assert answer.status_code == 507
    assert "herd.json: cannot be written" in answer.json()["error"]
    assert words in answer.json()["error"]
    assert file.read_bytes() == before
    assert not half_written(world.data)
    assert client.put("/api/hints?name=herd", json=change, headers=match).status_code == 200
    assert len(client.get("/api/image?name=herd").json()["shapes"]) == len(change["shapes"])


def test_a_training_goes_on_from_its_checkpoint_when_there_is_room_again(world, monkeypatch):
    """The disk fills up at the second checkpoint: the first one stays, and the log."""
    replace, count = Path.replace, iter(range(100))
    whole = [*world.words("train")[:-1], world.out / "whole"]
    assert world(whole)[0] == 0

    def fail(path, target):
        if "checkpoint" in str(target) and next(count) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        line = world.fails("train", "checkpoint/train.safetensors: cannot be written", ROOM)
    assert line.endswith("then continue with the same command and --resume")
    run = world.out / "run"
    assert [path.name for path in (run / "checkpoint").iterdir()] == ["train.safetensors"]
    assert world("train", "--resume")[0] == 0
    steps = [entry["step"] for entry in Run(run).read_log()]
    assert steps == list(range(4))
    model = "model.safetensors"
    assert (run / model).read_bytes() == (world.out / "whole" / model).read_bytes()
