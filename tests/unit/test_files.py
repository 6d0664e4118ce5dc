"""Text and JSON files: whole or not there."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from safetensors import SafetensorError
from safetensors.numpy import save_file

from conftest import room_for
from hintseg import files
from hintseg.errors import RunError, WriteError
from hintseg.files import append_line, read_json, relative_to, replacing, write_json, write_text
from hintseg.images.photographs import write_png

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_text_comes_back_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "note.txt"
    write_text(path, "grün\n")
    assert path.read_text(encoding="utf-8") == "grün\n"
    assert [file.name for file in path.parent.iterdir()] == ["note.txt"]


def test_a_text_that_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "lone surrogate \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, reason):
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise reason


@pytest.mark.parametrize("reason", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path, reason):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    with pytest.raises(reason):
        write_half(path, reason)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_before_it_writes_says_what_failed(tmp_path):
    with pytest.raises(ValueError, match="no"), replacing(tmp_path / "new"):
        raise ValueError("no")
    assert not list(tmp_path.iterdir())


@settings(max_examples=30)
@given(content=st.dictionaries(st.text(), JSON, max_size=4))
def test_any_json_object_comes_back(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_json(path, content)
    assert read_json(path) == content


def test_content_that_is_no_json_is_refused_before_the_file_is_touched(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.json: cannot be read .*No such file"),
        (b"", r"a\.json: cannot be read .*; delete it and make it again"),
        (b'{"a": ', r"a\.json: cannot be read"),
        (b"\xff\xfe{}", r"a\.json: cannot be read"),
        (b"[" * 100_000, r"a\.json: cannot be read"),
        (b"[1, 2]", r"a\.json: damaged; delete it and make it again"),
        (b"null", r"a\.json: damaged"),
    ],
)
def test_a_missing_or_damaged_file_is_an_error_that_names_it(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_json(path)


# What cannot be written


def full(path):
    """A file on a disk without room, where the system has one."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    path.symlink_to("/dev/full")
    return path


def big(path):
    write_text(path, "x" * 2**21)


def tensors(path):
    with replacing(path) as temporary:
        save_file({"a": np.zeros(2**19, np.float32)}, temporary)


def picture(path):
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    write_png(path, PillowImage.fromarray(noise))


def line(path):
    append_line(path, "x" * 2**21)


@pytest.mark.parametrize("write", [big, tensors, picture, line])
def test_a_file_for_which_there_is_no_room_is_one_line_and_leaves_the_old_one(tmp_path, write):
    path = tmp_path / "a"
    path.write_bytes(b"old\n")
    message = r"/a: cannot be written \(File too large\); make room"
    with room_for(2**20), pytest.raises(WriteError, match=message):
        write(path)
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_called_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "token_hex", lambda count: "0")
    (tmp_path / "t").mkdir()
    with pytest.raises(
        WriteError, match=r"log\.jsonl: cannot be written \(No space left on device"
    ):
        append_line(full(tmp_path / "log.jsonl"), "{}")
    full(tmp_path / ".a.txt.0.part")
    with pytest.raises(WriteError, match=r"a\.txt: cannot be written \(No space left on device\)"):
        write_text(tmp_path / "a.txt", "x")
    assert not (tmp_path / ".a.txt.0.part").is_symlink()


def test_something_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for write in (write_text, append_line):
        with pytest.raises(WriteError, match="a file is where a folder should be"):
            write(tmp_path / "file" / "a.txt", "x")
        with pytest.raises(WriteError, match="it is a folder; choose the name of a file"):
            write(tmp_path / "folder", "x")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(path, *args, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(WriteError, match=r"a\.txt: .*Permission denied.*in which you may write"):
        write_text(tmp_path / "a.txt", "x")


def test_an_error_that_is_not_of_the_disk_stays_what_it_is(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(SafetensorError, match="no tensor"):
        write_half(tmp_path / "a", SafetensorError("no tensor"))


def test_numbers_without_a_fraction_stay_whole(tmp_path):
    write_json(tmp_path / "a.json", {"steps": 500})
    assert json.loads((tmp_path / "a.json").read_text())["steps"].__class__ is int


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("data/images", "data", "images"),
        ("data/images", "out", "../data/images"),
        ("data", "data", "."),
        ("data/images/../masks", "data/sub", "../masks"),
    ],
)
def test_a_path_is_told_from_another_folder(tmp_path, monkeypatch, path, folder, expected):
    monkeypatch.chdir(tmp_path)
    assert relative_to(tmp_path / path, tmp_path / folder) == expected
    assert relative_to(tmp_path / path, (tmp_path / folder).relative_to(tmp_path)) == expected
