"""Photographs of every kind come out as upright RGB, label maps as they went in."""

import struct
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags
from PIL import Image as PillowImage

from hintseg.errors import DataError, WriteError
from hintseg.images.files import is_image_name
from hintseg.images.label_maps import read_label_map
from hintseg.images.photographs import image_size, read_image, write_png
from hintseg.structures import VOID

RGB = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
GREY = RGB[..., 0]
SMOOTH = np.linspace(0, 255, 16 * 24 * 3).reshape(16, 24, 3).round().astype(np.uint8)


TURNED = {  # what is seen, by EXIF orientation
    1: SMOOTH,
    2: SMOOTH[:, ::-1],
    3: SMOOTH[::-1, ::-1],
    4: SMOOTH[::-1],
    5: SMOOTH.transpose(1, 0, 2),
    6: np.rot90(SMOOTH, -1),
    7: SMOOTH[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(SMOOTH),
}


def saved(path, image, **options):
    image.save(path, **options)
    return path


def with_orientation(path, pixels, orientation):
    exif = PillowImage.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return saved(path, PillowImage.fromarray(pixels), exif=exif)


# Photographs


def test_rgb_is_read_as_it_is(tmp_path):
    image = read_image(saved(tmp_path / "a.png", PillowImage.fromarray(RGB)))
    assert np.array_equal(image, RGB)
    assert image.dtype == np.uint8
    assert image.flags.writeable


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_becomes_three_equal_channels(tmp_path, mode):
    path = saved(tmp_path / "a.png", PillowImage.fromarray(GREY).convert(mode))
    assert np.array_equal(read_image(path), np.dstack([GREY] * 3))


def test_one_bit_becomes_black_and_white(tmp_path):
    path = saved(tmp_path / "a.png", PillowImage.fromarray(GREY > 128))
    assert np.array_equal(read_image(path)[..., 1], np.where(GREY > 128, 255, 0))


def test_transparency_is_dropped_and_the_colours_beneath_stay(tmp_path):
    layers = np.dstack([RGB, np.zeros_like(GREY)])
    assert np.array_equal(read_image(saved(tmp_path / "a.png", PillowImage.fromarray(layers))), RGB)


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80\xff"])
def test_a_palette_is_looked_up(tmp_path, transparency):
    indices = GREY % 3
    colours = np.array([(10, 20, 30), (200, 100, 0), (7, 7, 7)], dtype=np.uint8)
    image = PillowImage.fromarray(indices).convert("P")
    image.putpalette(colours.tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    assert np.array_equal(read_image(saved(tmp_path / "a.png", image, **options)), colours[indices])


def test_a_palette_with_alpha_is_looked_up(tmp_path):
    image = PillowImage.fromarray(RGB).quantize(4).convert("PA")
    assert np.array_equal(
        read_image(saved(tmp_path / "a.tiff", image.convert("RGBA"))), image.convert("RGB")
    )


def test_cmyk_becomes_rgb(tmp_path):
    cmyk = PillowImage.fromarray(SMOOTH).convert("CMYK")
    path = saved(tmp_path / "a.tiff", cmyk)
    assert np.array_equal(read_image(path), SMOOTH)
    jpeg = saved(tmp_path / "a.jpg", cmyk, quality=95)
    assert np.abs(read_image(jpeg).astype(int) - SMOOTH).mean() < 8


@pytest.mark.parametrize(("suffix", "mode"), [("png", "I;16"), ("tiff", "I;16"), ("tiff", "I")])
def test_16_bit_grey_is_scaled_to_8_bit(tmp_path, suffix, mode):
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    stored = values.astype(np.int32) if mode == "I" else values
    image = PillowImage.fromarray(stored)
    assert image.mode == mode
    found = read_image(saved(tmp_path / f"a.{suffix}", image))
    assert found.tolist() == [[[v] * 3 for v in (0, 0, 1, 1, 128, 255)]]


def test_16_bit_colour_keeps_the_high_byte(tmp_path):
    samples = np.dstack([RGB, RGB[..., ::-1]]).reshape(7, 11, 6)  # bytes of 16-bit triples
    big_endian = np.ascontiguousarray(samples[..., [0, 3, 1, 4, 2, 5]])
    path = tmp_path / "a.png"
    path.write_bytes(png_of_16_bit_colour(big_endian))
    assert np.array_equal(read_image(path), RGB)


def png_of_16_bit_colour(rows):
    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 16, 2, 0, 0, 0)
    content = zlib.compress(b"".join(b"\x00" + row.tobytes() for row in rows))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("values", [[[-1, 0]], [[0, 65536]]])
def test_integers_out_of_16_bits_are_an_error(tmp_path, values):
    path = saved(tmp_path / "a.tiff", PillowImage.fromarray(np.array(values, dtype=np.int32)))
    remedy = r"a\.tiff: values of -?\d+ to \d+ without .* intensity: \[low, high\]"
    with pytest.raises(DataError, match=remedy):
        read_image(path)


def test_floating_point_is_an_error(tmp_path):
    path = saved(tmp_path / "a.tiff", PillowImage.fromarray(np.ones((2, 2), np.float32)))
    with pytest.raises(DataError, match=r"a\.tiff: floating-point .*; convert it to 8 bit, or"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["bmp", "webp", "gif", "tif"])
def test_other_formats_are_read(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    pixels = np.dstack([GREY] * 3)  # a GIF holds few colours
    path = saved(tmp_path / f"a.{suffix}", PillowImage.fromarray(pixels), **options)
    assert np.array_equal(read_image(path), pixels)
    assert image_size(path) == (7, 11)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_a_stack_is_refused_with_the_remedy(tmp_path, suffix):
    frames = [PillowImage.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200)]
    path = saved(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    remedy = rf"a\.{suffix}: a stack \(2 (frames|pages)\), not one image; save each image as"
    with pytest.raises(DataError, match=remedy):
        read_image(path)


def test_the_smaller_copy_in_a_photograph_of_a_telephone_is_no_stack(tmp_path):
    whole, small = (PillowImage.fromarray(RGB).resize((side, side)) for side in (16, 8))
    path = saved(tmp_path / "a.jpg", whole, format="MPO", save_all=True, append_images=[small])
    assert read_image(path).shape == (16, 16, 3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(tmp_path, suffix, orientation):
    path = with_orientation(tmp_path / f"a.{suffix}", SMOOTH, orientation)
    expected = TURNED[orientation]
    found = read_image(path)
    assert found.shape == expected.shape
    assert image_size(path) == expected.shape[:2]
    assert np.abs(found.astype(int) - expected).mean() < 6  # JPEG and WebP lose a little


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_grey_tiff_is_turned_upright(tmp_path, orientation, compression):
    path = tmp_path / "a.tiff"
    exif = PillowImage.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    PillowImage.fromarray(SMOOTH[..., 0]).save(path, exif=exif, compression=compression)
    assert np.array_equal(read_image(path)[..., 0], TURNED[orientation][..., 0])


@given(height=st.integers(1, 40), width=st.integers(1, 40), orientation=st.integers(0, 9))
@settings(max_examples=30)
def test_the_size_is_that_of_the_image(height, width, orientation, tmp_path_factory):
    for suffix in ("png", "tiff"):
        path = tmp_path_factory.getbasetemp() / f"size.{suffix}"
        with_orientation(path, np.zeros((height, width), np.uint8), orientation)
        assert image_size(path) == read_image(path).shape[:2]


# Damage


def damaged_files(folder):
    good = saved(folder / "good.jpg", PillowImage.fromarray(np.tile(GREY, (20, 20))))
    content = good.read_bytes()
    (folder / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (folder / "header.jpg").write_bytes(content[:30])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("this is no image")
    (folder / "folder.png").mkdir()
    png = saved(folder / "good.png", PillowImage.fromarray(GREY)).read_bytes()
    (folder / "truncated.png").write_bytes(png[:80])
    huge = bytearray(png)
    huge[16:24] = (2**20).to_bytes(4, "big") * 2
    (folder / "huge.png").write_bytes(repaired(huge))


def repaired(png):
    png[29:33] = zlib.crc32(bytes(png[12:29])).to_bytes(4, "big")
    return bytes(png)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.jpg", "no such file"),
        ("truncated.jpg", "damaged image .*; replace it or remove it"),
        ("truncated.png", "damaged image"),
        ("header.jpg", "not an image file|damaged image"),
        ("empty.jpg", "not an image file; replace it or remove it"),
        ("text.png", "not an image file"),
        ("folder.png", "Is a directory; give an image file"),
        ("huge.png", "too large to open safely .*; cut it into parts"),
    ],
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path, name, reason):
    damaged_files(tmp_path)
    for read in (read_image, lambda path: read_label_map(path, classes=256, undeclared=VOID)):
        with pytest.raises(DataError, match=f"{name}: ({reason})") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


@given(data=st.data())
@settings(max_examples=150)
def test_whatever_is_wrong_with_a_file_the_error_names_it(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    suffix = data.draw(st.sampled_from(["png", "jpg", "bmp", "webp", "gif"]))
    path = with_orientation_or_plain(folder / f"fuzz.{suffix}")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    for read in (read_image, image_size):
        message = problem_of(read, path)
        assert message is None or message.startswith(f"{path}: ")


def problem_of(read, path):
    try:
        read(path)
    except DataError as error:
        return str(error)
    return None


def with_orientation_or_plain(path):
    if path.suffix in (".png", ".jpg", ".webp"):
        return with_orientation(path, RGB, 6)
    return saved(path, PillowImage.fromarray(RGB))


def test_a_large_photograph_is_read_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 50)
    path = saved(tmp_path / "a.png", PillowImage.fromarray(RGB))
    assert read_image(path).shape == RGB.shape


def test_threads_that_read_images_leave_the_warnings_of_others_alone(tmp_path):
    path = saved(tmp_path / "a.jpg", PillowImage.fromarray(np.tile(RGB, (20, 20, 1))))
    before, switch = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [
            threading.Thread(target=lambda: [read_image(path) for _ in range(15)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", True),
        ("a.JPEG", True),
        ("a.b.png", True),
        ("._a.jpg", False),
        (".a.png.part", False),
        ("a.json", False),
        ("png", False),
    ],
)
def test_photographs_are_known_by_their_endings(tmp_path, name, expected):
    assert is_image_name(tmp_path / name) is expected


# Writing


def test_writing_makes_folders_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "a" / "b" / "c.png"
    write_png(path, PillowImage.fromarray(RGB))
    assert np.array_equal(read_image(path), RGB)
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, PillowImage.fromarray(RGB))
    before = path.read_bytes()
    with pytest.raises(WriteError, match="cannot write mode"):
        write_png(path, PillowImage.fromarray(RGB).convert("LAB"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
