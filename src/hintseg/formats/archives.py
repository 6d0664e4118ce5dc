"""ZIP files from strangers -> a folder: nothing outside of it, no bomb, no link."""

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from hintseg.errors import DataError, HintSegError
from hintseg.files import writing

MOST_FILES = 500_000
SMALL = 2**28  # bytes; of so few, no bomb is made
MOST_GROWTH = 200  # times that a larger one may grow by being unpacked
LINK = 0o120000  # a symbolic link, in the upper half of a member's attributes
ENCRYPTED = 1  # flag


@contextmanager
def unpacked(source: Path, beside: Path) -> Iterator[Path]:
    """The source itself; of a ZIP file a folder with its content, as long as the block runs.

    Raises:
        DataError: No such source, a damaged ZIP file, or one that wants to write elsewhere.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if source.is_dir() or not zipfile.is_zipfile(source):
        yield source
        return
    with writing(beside):
        beside.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(prefix=".hintseg-import-", dir=beside)
    with folder as name:
        _extract(source, Path(name))
        yield Path(name)


def _extract(source: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _refuse_bomb(source, members)
            for member in members:
                target = folder / _inside(source, member)
                _write(archive, member, target)
    except HintSegError:
        raise
    except Exception as error:  # the unpackers raise anything for bytes that they did not expect
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{source}: a damaged ZIP file ({reason}); fetch it again") from error


def _refuse_bomb(source: Path, members: list[zipfile.ZipInfo]) -> None:
    packed, size = source.stat().st_size, sum(member.file_size for member in members)
    if len(members) > MOST_FILES:
        raise DataError(f"{source}: refused, holds {len(members)} files; unpack it yourself")
    if size > SMALL and size > MOST_GROWTH * packed:
        text = f"refused, its {packed} bytes would become {size}"
        raise DataError(f"{source}: {text}; unpack it yourself if you trust it")


def _inside(source: Path, member: zipfile.ZipInfo) -> Path:
    """Where a member lies in the folder; DataError for one that would lie elsewhere."""
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    outside = name.startswith("/") or ".." in parts or ":" in name or "\0" in name
    if outside or not parts:
        raise DataError(f"{source}: refused, {member.filename!r} leads out of the folder")
    if (member.external_attr >> 16) & 0o170000 == LINK:
        raise DataError(f"{source}: refused, {member.filename!r} is a link")
    if member.flag_bits & ENCRYPTED:
        raise DataError(f"{source}: {member.filename!r} has a password; unpack it yourself")
    return Path(*parts)


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Unpack one file; zipfile itself stops at the size that the member states."""
    with archive.open(member) as packed, writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(packed, file, 2**20)
