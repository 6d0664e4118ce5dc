"""Files that are never half-written: a temporary name first, then a rename."""

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError

from hintseg.errors import RunError, WriteError

NO_ROOM = "make room there or choose another disk"
NO_RIGHT = "choose a folder in which you may write"
IN_THE_WAY = "a file is where a folder should be; choose another name"
REMEDY = "choose another place"
REMEDIES = {
    errno.ENOSPC: NO_ROOM,
    errno.EDQUOT: NO_ROOM,
    errno.EFBIG: NO_ROOM,
    errno.EACCES: NO_RIGHT,
    errno.EPERM: NO_RIGHT,
    errno.EROFS: NO_RIGHT,
    errno.ENOTDIR: IN_THE_WAY,
    errno.EEXIST: IN_THE_WAY,
    errno.EISDIR: "it is a folder; choose the name of a file",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A name to write to: it becomes `path` at the end of the block, and vanishes if that fails.

    Args:
        path: What is written.
        shared: Several processes, of several machines perhaps, may write the same at once: each
            has a name of its own, and the last one stays.

    Raises:
        WriteError: The file cannot be written.
    """
    own = f".{uuid4().hex}" if shared else ""
    temporary = path.with_name(f".{path.name}{own}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:  # Ctrl-C too
            with suppress(OSError):
                temporary.unlink()
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever keeps the block from writing becomes a WriteError that names the file and a remedy.

    The writers of other packages raise errors of their own, in which the system's has a number.
    """
    try:
        yield
    except OSError as error:
        raise _write_error(path, error.errno, error.strerror or str(error)) from error
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise _write_error(path, number, os.strerror(number)) from error


def _write_error(path: Path, number: int | None, reason: str) -> WriteError:
    remedy = REMEDY if number is None else REMEDIES.get(number, REMEDY)
    return WriteError(f"{path}: cannot be written ({reason}); {remedy}", is_full=remedy == NO_ROOM)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, or leave it as it was.

    Raises:
        WriteError: The file cannot be written.
    """
    with writing(path):
        before = path.stat().st_size if path.exists() else 0
        try:
            with path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(line + "\n")
        except OSError:  # half a line would spoil the next one
            with suppress(OSError):
                os.truncate(path, before)
            raise


def write_text(path: Path, text: str, *, shared: bool = False) -> None:
    """Write a text file; a reader sees the old or the new one, never part of one."""
    with replacing(path, shared=shared) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any], *, shared: bool = False) -> None:
    """Write a JSON object; `shared` as of `replacing`."""
    write_text(path, json.dumps(content, indent=2) + "\n", shared=shared)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        RunError: Missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({error}); delete it and make it again") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: damaged; delete it and make it again")
    return content


def relative_to(path: Path, folder: Path) -> str:
    """A path as seen from a folder, with forward slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def read_text(path: Path) -> str:
    """Read a text file of the user's: UTF-8, with or without the byte order mark of Windows.

    Raises:
        OSError: Missing, or it cannot be read.
        UnicodeError: Other text than UTF-8, or none; the message holds the remedy, not the path.
    """
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnicodeError("UTF-16 text; save it as UTF-8")
    if b"\0" in content:
        raise UnicodeError("holds zero bytes: UTF-16 or no text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnicodeError(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from error
