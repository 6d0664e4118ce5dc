"""One process at a time: a claim that ends with its process, however that ends, on any machine.

The system's lock on a file ends with the process that has it. Some network file systems keep such
locks for one machine only. So whoever has the lock also writes its name into the file and touches
it every few seconds: another machine that gets the lock, but sees a name in the file, watches it
for a while. Where nothing moves, the process is dead, and its claim is taken over.
"""

import errno
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from hintseg.errors import RunError
from hintseg.files import writing

PAUSE = 0.1  # seconds between two tries
BEAT = 10.0  # seconds between two signs of life
STILL = 4 * BEAT  # seconds without one, after which a process of another machine counts as dead
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def held(path: Path, what: str, *, wait: float = 0.0, required: bool = True) -> Iterator[None]:
    """The block runs while this process, and no other, holds the lock.

    The system gives it back when the process ends, killed or not. While it is held, the file says
    by whom; of a killed process it says so until the next one takes it.

    Args:
        path: The file of the lock.
        what: What another holder is doing, for the message.
        wait: Seconds until it is given up.
        required: Refuse a file system without locks (some of networks); else there is none there.

    Raises:
        RunError: Another process holds it, or the file system has no locks.
        WriteError: The file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        until = time.monotonic() + wait
        while not (_locked(file, path, required=required) and _is_free(file, path)):
            if time.monotonic() >= until:
                raise RunError(f"{path.parent}: {_name(file)} is {what} here; wait until it ends")
            time.sleep(PAUSE)
        _write(file, f"process {os.getpid()} on {platform.node()}")
        try:
            with _alive(path):
                yield
        finally:
            _write(file, "")


def holder(path: Path) -> str:
    """The process of this machine that holds a lock; empty where none does."""
    try:
        file = path.open("r+", encoding="utf-8")
    except OSError:
        return ""
    with file:
        return "" if _locked(file, path) else _name(file)


def kept_by_another(path: Path, process: int) -> str:
    """The process that keeps this one of this machine from a lock; empty where none does."""
    with suppress(OSError, UnicodeError):
        name = path.read_text(encoding="utf-8").strip()
        here = f" on {platform.node()}"
        if name and name != f"process {process}{here}":
            return name if not name.endswith(here) or holder(path) else ""
    return ""


def _locked(file: TextIO, path: Path, *, required: bool = True) -> bool:
    try:
        return _taken(file)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        if not required:
            return True
        raise RunError(
            f"{path.parent}: this file system has no locks, so that two processes could spoil "
            "each other's work; choose an --out on another"
        ) from error


def _is_free(file: TextIO, path: Path) -> bool:
    """Whether no process of another machine shows signs of life."""
    name, first = _name(file), path.stat().st_mtime_ns
    if not name.startswith("process ") or name.endswith(f" on {platform.node()}"):
        return True
    until = time.monotonic() + STILL
    while time.monotonic() < until:
        if path.stat().st_mtime_ns != first:
            return False
        time.sleep(PAUSE)
    return True


@contextmanager
def _alive(path: Path) -> Iterator[None]:
    """Touches the file as long as the block runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _write(file: TextIO, text: str) -> None:
    with suppress(OSError):  # a disk may be full; who holds it is for others to read, no more
        file.truncate(0)
        os.write(file.fileno(), text.encode())


def _name(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "another process"


if sys.platform == "win32":
    import msvcrt

    FAR = 1 << 30  # a place that nobody reads: on Windows locked bytes cannot be read

    def _taken(file: TextIO) -> bool:
        file.seek(FAR)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _taken(file: TextIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
