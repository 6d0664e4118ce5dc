"""A folder that is not yet a data set, or no longer one: what the page needs to make it one."""

import re
from pathlib import Path
from typing import Any

import yaml
from PIL import Image as PillowImage

from hintseg.data.dataset import DATASET_FILE, open_dataset
from hintseg.errors import ConfigError, DataError, HintSegError
from hintseg.files import relative_to, replacing, write_text
from hintseg.images.files import is_image_name, scan_images
from hintseg.images.photographs import image_size
from hintseg.structures import ClassSet

BESIDE = "-hintseg"  # ending of a data set beside a folder of photographs
MOST_TEXT = 2**20  # characters of a dataset.yaml
FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
SHOWN = 12  # names of images on the first page


def data_set_of(folder: Path) -> Path:
    """The data set of a folder: itself, or one beside it that was made of its photographs."""
    root = folder.resolve()
    beside = root.with_name(root.name + BESIDE)
    is_new = not (root / DATASET_FILE).exists() and (beside / DATASET_FILE).exists()
    return beside if is_new else root


def facts_of_folder(root: Path) -> dict[str, Any]:
    """What the first page says of a folder that cannot be opened: new, or broken and why."""
    facts: dict[str, Any] = {"name": root.name, "root": str(root), "images": 0, "names": []}
    file = root / DATASET_FILE
    if file.exists():
        return {**facts, "state": "broken", "error": _why(root), "text": _text(file)}
    found = list(_found(root))
    target, _ = _place(root)
    return {
        **facts, "state": "new", "images": len(found), "names": found[:SHOWN],
        "target": str(target / DATASET_FILE),
    }  # fmt: skip


def begin(root: Path, classes: list[str], background: str | None) -> Path:
    """Make a data set of a folder of photographs; they stay where they are.

    Photographs in `images/` become those of this folder; photographs anywhere else in it those of
    a data set beside it, so that nothing is written between them.

    Returns:
        The folder of the data set.

    Raises:
        DataError: No image, no class, or a background that is no class.
        WriteError: The folder cannot be written to.
    """
    if (root / DATASET_FILE).exists():
        raise DataError(f"{root / DATASET_FILE}: is there already; reload the page")
    if not _found(root):
        raise DataError(f"{root}: no image yet; add some")
    names = [name.strip() for name in classes if name.strip()]
    check_classes(names)
    if background is not None and background not in names:
        raise DataError(f"background {background!r}: none of the classes")
    target, images = _place(root)
    said = {"classes": names, "background": background, "images": images}
    content = {key: value for key, value in said.items() if value not in (None, "images")}
    write_text(target / DATASET_FILE, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return target


def check_classes(names: list[str]) -> None:
    """DataError for names that cannot be those of the classes of a data set."""
    try:
        ClassSet(tuple(names))
    except ConfigError as error:
        raise DataError(str(error)) from error


def mend(root: Path, text: str) -> None:
    """Write dataset.yaml anew; kept only if the data set can be opened then.

    Raises:
        DataError: It cannot, and why; the file is as it was.
    """
    if len(text) > MOST_TEXT:
        raise DataError(f"{DATASET_FILE}: more than {MOST_TEXT} characters")
    file = root / DATASET_FILE
    before = file.read_bytes()
    write_text(file, text)
    try:
        open_dataset(root)
    except HintSegError:
        with replacing(file) as temporary:
            temporary.write_bytes(before)
        raise


def take_in(folder: Path, name: str, content: bytes) -> str:
    """Put an uploaded photograph into a folder; nothing is overwritten. The name of the file.

    Raises:
        DataError: No photograph that can be read, or the folder has another one of that name.
        WriteError: The folder cannot be written to.
    """
    file = FORBIDDEN.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip()[:200]
    path = folder / file
    if file in ("", ".", "..") or not is_image_name(path):
        raise DataError(f"{name!r:.80}: no name of a photograph (.jpg, .png, .tif, ...)")
    if path.exists():
        if path.read_bytes() == content:
            return file
        raise DataError(f"{file}: the folder has another image of that name; rename one")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        try:
            image_size(temporary)
        except (DataError, PillowImage.DecompressionBombError) as error:
            raise DataError(f"{file}: no photograph that can be read") from error
    return file


def photograph_folder(root: Path) -> Path:
    """Where the photographs of a new data set are, and where new ones go."""
    target, images = _place(root)
    return (target / images).resolve()


def _found(root: Path) -> list[str]:
    try:
        return list(scan_images(root).images)
    except OSError:
        return []  # no such folder yet


def _place(root: Path) -> tuple[Path, str]:
    """Where the data set of photographs goes, and where it finds them."""
    own = root / "images"
    try:
        is_own = not _found(root) or (
            own.is_dir() and len(scan_images(own).images) == len(_found(root))
        )
    except OSError:
        is_own = False
    if is_own:
        return root, "images"
    target = root.with_name(root.name + BESIDE)
    return target, relative_to(root, target)


def _why(root: Path) -> str:
    try:
        open_dataset(root)
    except HintSegError as error:
        return str(error)
    return ""


def _text(file: Path) -> str:
    try:
        return file.read_bytes()[:MOST_TEXT].decode("utf-8", "replace")
    except OSError:
        return ""
