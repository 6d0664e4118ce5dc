"""One process at a time: a lock on a file, which ends with the process however that ends."""

import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from hintseg.errors import RunError
from hintseg.files import writing

PAUSE = 0.1  # seconds between two tries


@contextmanager
def held(path: Path, what: str, *, wait: float = 0.0) -> Iterator[None]:
    """The block runs while this process, and no other, holds the lock.

    The system gives it back when the process ends, killed or not; the file stays and says who had
    it. Where a disk knows no locks (some of networks), there is none.

    Args:
        path: The file of the lock.
        what: What another holder is doing, for the message.
        wait: Seconds until it is given up.

    Raises:
        RunError: Another process holds it.
        WriteError: The file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        until = time.monotonic() + wait
        while not _taken(file):
            if time.monotonic() >= until:
                raise RunError(f"{path.parent}: {_holder(file)} is {what} here; wait until it ends")
            time.sleep(PAUSE)
        with suppress(OSError):  # a disk may be full; who holds it is only for the message
            file.truncate(0)
            os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
        yield


def _holder(file: TextIO) -> str:
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

    UNKNOWN = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # no locks here

    def _taken(file: TextIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise
        return True
