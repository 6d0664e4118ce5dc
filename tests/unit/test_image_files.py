"""Which files are photographs, what they are called, and that none is passed over in silence."""

import sys
import unicodedata

import pytest
from PIL import Image as PillowImage

from hintseg.errors import DataError
from hintseg.images import files as image_files
from hintseg.images.files import find_name, is_image_name, register_heic, scan_images
from hintseg.images.names import NamedFiles
from hintseg.images.photographs import read_image


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture
def no_heic(monkeypatch):
    """A machine without pillow-heif."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    register_heic.cache_clear()
    yield
    register_heic.cache_clear()


# Folders of images


def test_images_are_sorted_by_name_whatever_their_endings(tmp_path):
    touch(tmp_path, "b.jpg", "a-b.png", "a.png", "A.JPEG", "a b.webp")
    assert list(scan_images(tmp_path).images) == ["A", "a", "a b", "a-b", "b"]


def test_hidden_files_those_of_systems_and_text_are_not_mentioned(tmp_path):
    hidden = ("._a.jpg", ".b.png", "Thumbs.db", ".DS_Store", "desktop.ini", "@eaDir/a.jpg")
    touch(tmp_path, "a.jpg", "notes.txt", "a.json", "a.xml", ".trash/c.jpg", *hidden)
    found = scan_images(tmp_path)
    assert found.images == {"a": tmp_path / "a.jpg"}
    assert (found.doubles, found.complaints()) == ({}, [])


def test_of_files_with_one_name_the_first_is_taken_and_a_png_last(tmp_path):
    touch(tmp_path, "a.png", "a.jpg", "a.webp", "b.png", "c.png", "c.tif")
    found = scan_images(tmp_path)
    assert [path.name for path in found.images.values()] == ["a.jpg", "b.png", "c.tif"]
    assert {n: [p.name for p in files] for n, files in found.doubles.items()} == {
        "a": ["a.webp", "a.png"],
        "c": ["c.png"],
    }


def test_sub_folders_give_names_with_slashes(tmp_path):
    touch(tmp_path, "1.jpg", "cow/1.jpg", "cow/red/1.png", "horse.v2/1.jpg")
    assert list(scan_images(tmp_path).images) == ["1", "cow/1", "cow/red/1", "horse.v2/1"]


def test_folders_of_labels_and_those_that_hintseg_wrote_are_not_looked_into(tmp_path):
    touch(tmp_path, "a.jpg", "masks/a.png", "out/predict.json", "out/a.png", "run/run.json")
    found = scan_images(tmp_path, apart=[tmp_path / "masks"])
    assert list(found.images) == ["a"]
    assert found.complaints() == [
        "2 files (out, run) not used: a folder that hintseg wrote, or a data set of its own"
    ]


def test_a_link_that_leads_back_is_not_followed(tmp_path):
    touch(tmp_path, "cow/a.jpg")
    (tmp_path / "cow" / "loop").symlink_to(tmp_path)
    assert list(scan_images(tmp_path).images) == ["cow/a"]


def test_names_are_composed_whatever_the_file_is_called(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFD", "Kühe/Kälbchen.jpg"))
    assert list(scan_images(tmp_path).images) == [unicodedata.normalize("NFC", "Kühe/Kälbchen")]


@pytest.mark.parametrize(
    "name", ["a.jpe", "a.JFIF", "a.gif", "a.jp2", "a.j2k", "a.ppm", "a.pgm", "a.tga", "a.avif"]
)
def test_formats_that_pillow_reads_are_taken(tmp_path, name):
    assert is_image_name(tmp_path / name)


def test_what_is_passed_over_is_named_with_the_reason(tmp_path, no_heic):
    touch(tmp_path, "a.jpg", "b.HEIC", "c.psd", "d.psd", "e", *(f"{i}.cr2" for i in range(9)))
    assert sorted(scan_images(tmp_path).complaints()) == [
        "1 file (b.HEIC) not used: HEIC needs pillow-heif: pip install 'hintseg[heic]'",
        "1 file (e) not used: no ending is no format that is read; convert to JPEG or PNG",
        "2 files (c.psd, d.psd) not used: .psd is no format that is read; convert to JPEG or PNG",
        "9 files (0.cr2, 1.cr2, 2.cr2, 3.cr2, 4.cr2 and 4 more) not used: "
        ".cr2 is no format that is read; convert to JPEG or PNG",
    ]


def test_a_name_that_is_no_unicode_is_passed_over(tmp_path):
    touch(tmp_path, "a.jpg", "K\udcfche.jpg")
    found = scan_images(tmp_path)
    assert list(found.images) == ["a"]
    assert found.complaints() == [
        r"1 file (K\udcfche.jpg) not used: the name is no Unicode; rename it"
    ]


def test_codecs_that_pillow_lacks_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files.features, "get_supported_modules", list)
    monkeypatch.setattr(image_files.features, "check_codec", lambda name: False)
    touch(tmp_path, "a.avif", "b.jp2")
    said = scan_images(tmp_path).complaints()
    assert ["AVIF; pip install --upgrade pillow" in said[0], "JPEG 2000" in said[1]] == [True] * 2


@pytest.mark.parametrize("ending", ["heic", "jpg"])
def test_heic_without_its_reader_is_told_whatever_its_ending(tmp_path, no_heic, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(DataError, match=r"a\.\w+: HEIC needs pillow-heif: pip install 'hintseg"):
        read_image(path)


def test_heic_is_read_with_its_reader(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    heif.register_heif_opener()
    PillowImage.new("RGB", (64, 48), (200, 30, 30)).save(tmp_path / "a.HEIC")
    assert list(scan_images(tmp_path).images) == ["a"]
    image = read_image(tmp_path / "a.HEIC")
    assert image.shape == (48, 64, 3)
    assert abs(image.mean(axis=(0, 1)) - (200, 30, 30)).max() < 9


# Names as people write them

NAMES = ("cow", "img.v2", "a b", "herd/cow", "herd/1", "Kühe", "img", "x.jpg")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cow", "cow"),
        (" cow.jpg ", "cow"),
        ("cow.PNG", "cow"),
        ("cow.cr2", None),
        ("img.v2", "img.v2"),
        ("img.v2.jpg", "img.v2"),
        ("img.v3", None),
        ("x.jpg", "x.jpg"),
        ("a b.png", "a b"),
        ("images/cow.jpg", "cow"),
        ("./JPEGImages/cow.jpg", "cow"),
        ("/home/me/old/images/cow", "cow"),
        (r"C:\data\images\img.v2.jpg", "img.v2"),
        ("images/herd/cow.jpg", "herd/cow"),
        (r"herd\1.tif", "herd/1"),
        ("1", None),
        ("JPEGImages/cow.jpg SegmentationClass/cow.png", "cow"),
        ("/JPEGImages/cow.jpg,/SegmentationClass/cow.png", "cow"),
        ("cow 1", None),
        (unicodedata.normalize("NFD", "Kühe.jpg"), "Kühe"),
        ("", None),
        ("/", None),
        ("ox", None),
    ],
)
def test_an_image_is_found_by_what_people_write(text, name):
    assert find_name(text, NAMES) == name


# Files by name


def test_files_are_found_whatever_the_case_of_their_ending(tmp_path):
    touch(tmp_path, "a.JSON", "b.Json", "in/c.JSON", "D.json", "both.json", "both.JSON")
    files = NamedFiles(tmp_path)
    assert files.find("a", ".json") == tmp_path / "a.JSON"
    assert files.find("b", ".json") == tmp_path / "b.Json"
    assert files.find("in/c", ".json") == tmp_path / "in" / "c.JSON"
    assert files.find("both", ".json") == tmp_path / "both.json"
    assert files.find("d", ".json") is None
    assert files.find("in/none", ".json") is None
    assert files.find("none/c", ".json") is None


@pytest.mark.parametrize(("asked", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_files_are_found_in_either_form_of_unicode(tmp_path, asked, there):
    touch(tmp_path, unicodedata.normalize(there, "Kühe/Kälbchen.PNG"))
    name = unicodedata.normalize(asked, "Kühe/Kälbchen")
    assert NamedFiles(tmp_path).find(name, ".png").exists()


def test_a_file_that_comes_or_goes_later_is_seen(tmp_path):
    files = NamedFiles(tmp_path)
    assert files.find("a", ".png") is None
    touch(tmp_path, "a.PNG")
    assert files.find("a", ".png") == tmp_path / "a.PNG"
    (tmp_path / "a.PNG").unlink()
    assert files.find("a", ".png") is None


def test_a_folder_that_does_not_change_is_listed_once(tmp_path, monkeypatch):
    touch(tmp_path, "a.PNG")
    files = NamedFiles(tmp_path)
    monkeypatch.setattr("hintseg.images.names.SETTLED", -(10**18))
    listed = []
    inner = type(tmp_path).iterdir
    monkeypatch.setattr(
        type(tmp_path), "iterdir", lambda path: [listed.append(path), *inner(path)][1:]
    )
    for _ in range(3):
        assert files.find("a", ".png") == tmp_path / "a.PNG"
        assert files.find("b", ".png") is None
    assert listed == [tmp_path]
