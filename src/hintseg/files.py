"""Files that are never half-written: a temporary name first, then a rename."""

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from safetensors import SafetensorError

from hintseg.documents.from_json import parse_json
from hintseg.errors import RunError, WriteError

PART = ".part"  # the end of the names of what is being written
NO_ROOM = "make room there or choose another disk"
NO_RIGHT = "choose a folder in which you may write"
IN_THE_WAY = "a file is where a folder should be; choose another name"
MOST_BYTES = 2**31  # of a text file
REMOVED = "its folder is not there or was removed; choose another place"
REMEDY = "choose another place"
REMEDIES = {
    errno.ENOENT: REMOVED,
    errno.ESTALE: REMOVED,
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
def replacing(path: Path) -> Iterator[Path]:
    """A name to write to: it becomes `path` at the end of the block, and vanishes if that fails.

    The name is another for each call: two processes never write into one file.

    Raises:
        WriteError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(4)}{PART}")
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
def appearing(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` at the end of the block, and vanishes if that fails.

    It lies beside `out`, so relative paths from it are those from `out`; `out` is not there yet, or
    is empty.

    Raises:
        WriteError: It cannot be written.
    """
    whole = out.absolute()
    part = whole.with_name(f".{whole.name}{PART}")
    with writing(out):
        if part.exists():  # of a process that was killed
            shutil.rmtree(part)
        part.mkdir(parents=True)
    try:
        yield part
        with writing(out):
            if out.exists():
                out.rmdir()
            part.rename(whole)
    except BaseException as error:  # Ctrl-C too
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, WriteError):  # of a file that nobody has asked for by that name
            text = str(error).replace(str(part), str(out))
            raise WriteError(text, is_full=error.is_full) from error
        raise


def refuse_unwritable(path: Path) -> None:
    """Raise WriteError, before long work begins, where its result could not be written."""
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{path.name}.{token_hex(4)}{PART}")
        probe.touch()
        probe.unlink()


def remove_parts(folder: Path, *, older: float = 0.0) -> None:
    """Remove what killed processes left half-written in a folder.

    Args:
        folder: With all below it.
        older: Seconds; younger ones may be another process's work. Told by the clock of the disk.
    """
    left = list(folder.rglob(f".*{PART}"))
    if not left:
        return
    probe = folder / f".now.{token_hex(4)}{PART}"
    with suppress(OSError):
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        for path in left:
            with suppress(OSError):
                if now - path.stat().st_mtime >= older:
                    path.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever keeps the block from writing becomes a WriteError that names the file and a remedy.

    The writers of other packages raise errors of their own, in which the system's has a number, in
    words that differ from release to release.
    """
    try:
        yield
    except OSError as error:
        raise _write_error(path, error.errno, error.strerror or str(error)) from error
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)|Os \{ code: (\d+)", str(error))
        if found is None:
            raise
        number = int(found[1] or found[2])
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


def write_text(path: Path, text: str) -> None:
    """Write a text file; a reader sees the old or the new one, never part of one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        RunError: Missing or damaged.
    """
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); delete it and make it again") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: damaged; delete it and make it again")
    return content


def relative_to(path: Path, folder: Path) -> str:
    """A path as seen from a folder, with forward slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def regular(path: Path) -> Path:
    """The path of a file; OSError for what is none, as devices and pipes, which may have no end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a device or a pipe, not a file", str(path))
    return path


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """The content of a file.

    Raises:
        OSError: Missing, a folder, a device, a pipe, larger than `most` bytes, or not to be read.
    """
    size = regular(path).stat().st_size
    if size > most:
        raise OSError(errno.EFBIG, f"{size} bytes; more than {most} are not read", str(path))
    return path.read_bytes()


def is_there(path: Path) -> bool:
    """Whether there is a file of a name that a stranger gave, which may be none for any file."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long; zero bytes
        return False


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_text(path: Path) -> str:
    """Read a text file of the user's: UTF-8, with or without the byte order mark of Windows.

    Raises:
        OSError: Missing, or it cannot be read.
        UnicodeError: Other text than UTF-8, or none; the message holds the remedy, not the path.
    """
    content = read_bytes(path)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnicodeError("UTF-16 text; save it as UTF-8")
    if b"\0" in content:
        raise UnicodeError("holds zero bytes: UTF-16 or no text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnicodeError(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from error
