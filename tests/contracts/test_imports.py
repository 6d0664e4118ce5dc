"""What every import keeps: nothing lost silently, the same twice, sound for `hintseg check`."""

import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from sources import CLASSES, FIRST, SECOND, SIZES, WRITERS, bitmap, write_images, write_source

from hintseg.data.check.checking import check
from hintseg.data.dataset import open_dataset
from hintseg.errors import DataError, HintSegError
from hintseg.formats.importing import FORMATS, import_dataset
from hintseg.hints.labelme import write_labelme
from hintseg.structures import ClassSet, Hints, Shape

NAMES = ("b", "herd/küh 1")


def counts(result):
    return {
        (kind, result.classes.names[label]): number
        for (kind, label), number in result.counts.items()
    }


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(params=FORMATS)
def name(request):
    return request.param


@pytest.fixture
def source(name, tmp_path):
    write_source(name, tmp_path / "source")
    return tmp_path / "source"


def test_every_format_has_a_source_here():
    assert {*WRITERS} == {*FORMATS}


def test_an_import_takes_what_was_drawn(name, tmp_path):
    expected, masks = write_source(name, tmp_path / "source")
    result = import_dataset(name, tmp_path / "source", tmp_path / "out")
    assert counts(result) == expected
    assert (result.images, result.masks) == (2, masks)
    assert tuple(open_dataset(tmp_path / "out").images) == NAMES


def test_check_finds_no_error_in_an_import(name, source, tmp_path):
    import_dataset(name, source, tmp_path / "out")
    found = check(tmp_path / "out")
    assert [str(error) for error in found.errors] == []


def test_an_import_is_repeatable(name, source, tmp_path):
    for out in ("one", "two"):
        import_dataset(name, source, tmp_path / out)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_zip_file_gives_the_same_as_the_folder(name, source, tmp_path):
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        for path in sorted(source.rglob("*")):
            archive.write(path, path.relative_to(source))
    plain = import_dataset(name, source, tmp_path / "one")
    packed = import_dataset(name, tmp_path / "source.zip", tmp_path / "two")
    assert counts(plain) == counts(packed)
    drawn = {p: c for p, c in content(tmp_path / "one").items() if p != "import.json"}
    assert drawn == {p: c for p, c in content(tmp_path / "two").items() if p != "import.json"}
    assert not list(tmp_path.glob(".*"))


def test_links_lead_to_the_images(name, source, tmp_path):
    import_dataset(name, source, tmp_path / "out", placing="link")
    link = tmp_path / "out" / "images" / FIRST
    assert link.is_symlink()
    assert link.resolve() == (source / "images" / FIRST).resolve()


def test_an_image_that_is_missing_is_named(name, source, tmp_path):
    (source / "images" / FIRST).unlink()
    result = import_dataset(name, source, tmp_path / "out")
    assert result.images == 1
    said = json.loads((tmp_path / "out" / "import.json").read_text("utf-8"))["left"]
    assert "küh 1" in json.dumps(said, ensure_ascii=False)
    assert not check(tmp_path / "out").errors


def test_a_damaged_image_is_left_with_its_hints(name, source, tmp_path):
    path = source / "images" / FIRST
    path.write_bytes(path.read_bytes()[:300])
    result = import_dataset(name, source, tmp_path / "out")
    assert result.images == 1
    assert any("damaged" in reason for reason in result.left)
    assert not check(tmp_path / "out").errors


def test_without_any_image_nothing_is_written(name, source, tmp_path):
    for image in SIZES:
        (source / "images" / image).unlink()
    with pytest.raises(DataError):
        import_dataset(name, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "folder"])
def test_damaged_files_are_one_line(name, source, tmp_path, damage):
    for path in [p for p in source.rglob("*") if p.is_file() and p.parent.name != "herd"]:
        data = path.read_bytes()
        if damage == "cut":
            path.write_bytes(data[: len(data) // 2])
        elif damage == "noise":
            path.write_bytes(np.random.default_rng(0).bytes(500))
        elif damage == "empty":
            path.write_bytes(b"")
        else:
            path.unlink()
            path.mkdir()
    told = ""
    try:
        import_dataset(name, source, tmp_path / "out")
    except HintSegError as error:
        told = str(error)
    assert bool(told) != (tmp_path / "out").exists()
    assert len(told.splitlines()) <= 2
    assert told or not check(tmp_path / "out").errors


def test_a_folder_without_any_file_of_the_format_is_refused(name, tmp_path):
    (tmp_path / "source" / "images").mkdir(parents=True)
    (tmp_path / "source" / "notes.md").write_text("nothing")
    with pytest.raises(DataError):
        import_dataset(name, tmp_path / "source", tmp_path / "out")


def test_images_turned_by_exif_keep_their_hints(name, source, tmp_path):
    """The file is turned as a camera does; what was drawn on the pixels as stored follows."""
    path = source / "images" / FIRST
    exif = PillowImage.Exif()
    exif[274] = 6
    with PillowImage.open(path) as image:
        image.load()
    image.save(path, exif=exif)
    result = import_dataset(name, source, tmp_path / "out")
    assert result.images == 2
    assert not check(tmp_path / "out").errors


def test_masks_of_bitmaps_come_out_pixel_by_pixel(tmp_path):
    for name in ("coco", "cvat", "labelstudio"):
        write_source(name, tmp_path / name)
        import_dataset(name, tmp_path / name, tmp_path / f"{name}-out")
        dataset = open_dataset(tmp_path / f"{name}-out")
        for image, size in (("b", SIZES[SECOND]), ("herd/küh 1", SIZES[FIRST])):
            shape = next(s for s in dataset.hints(image).shapes if s.kind == "mask")
            (left, top), (right, bottom) = shape.points
            whole = np.zeros(size, dtype=bool)
            whole[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = shape.bitmap
            np.testing.assert_array_equal(whole, bitmap(size))


KINDS = {"box": (2, 2), "polygon": (3, 9), "scribble": (2, 9), "point": (1, 1)}


@st.composite
def drawings(draw):
    """Shapes of all kinds that lie on an image of 60 x 80, and tags."""
    shapes = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        place = st.tuples(st.floats(0, 79).map(rounded), st.floats(0, 59).map(rounded))
        low, high = KINDS[kind]
        points = draw(st.lists(place, min_size=low, max_size=high))
        if kind == "box":
            (x, y), (wide, high) = points
            points = [(x, y), (x + wide + 1, y + high + 1)]
        shapes.append((kind, draw(st.integers(0, 2)), tuple(points)))
    return shapes, draw(st.frozensets(st.integers(0, 2)))


def rounded(value):
    return round(value, 3)


@settings(max_examples=20)  # each is an import and a check
@given(drawings())
def test_generated_hints_come_back_through_labelme(drawn):
    hints = Hints(tuple(Shape(*shape) for shape in drawn[0]), drawn[1])
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "source")
        file = (folder / "source" / FIRST).with_suffix(".json")
        classes = ClassSet(CLASSES)
        write_labelme(file, hints, classes, image_path="küh 1.jpg", size=SIZES[FIRST])
        import_dataset("labelme", folder / "source", folder / "out", classes=",".join(CLASSES))
        found = open_dataset(folder / "out").hints("küh 1")
        assert found.flags == hints.flags
        assert_near(found.shapes, hints.shapes)
        assert not check(folder / "out").errors


@settings(max_examples=20)  # each is an import and a check
@given(drawings())
def test_generated_shapes_come_back_through_yolo(drawn):
    """Shares of width and height are read as what they were made of."""
    kept = [Shape(*shape) for shape in drawn[0] if shape[0] in ("box", "polygon")]
    lines = [yolo_line(shape) for shape in kept]
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "source")
        (folder / "source" / "b.txt").write_text("0 0.5 0.5 0.1 0.1")
        (folder / "source" / "herd" / "küh 1.txt").write_text("\n".join(lines))
        import_dataset("yolo", folder / "source", folder / "out", classes=",".join(CLASSES))
        assert_near(open_dataset(folder / "out").hints("herd/küh 1").shapes, kept)


def yolo_line(shape):
    height, width = SIZES[FIRST]
    points = [((x + 0.5) / width, (y + 0.5) / height) for x, y in shape.points]
    if shape.kind == "box":
        (x0, y0), (x1, y1) = points
        points = [((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0)]
    return " ".join(map(repr, [shape.label, *(value for point in points for value in point)]))


def assert_near(found, expected):
    assert [(s.kind, s.label) for s in found] == [(s.kind, s.label) for s in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.points, other.points, atol=1e-9)
