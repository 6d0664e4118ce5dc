"""Numbers of any depth and channels become uint8 RGB by one range; odd metadata stop nobody."""

import struct
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from hintseg.errors import ConfigError, DataError
from hintseg.images.exif import TURNS, orientation_in, turned, upright
from hintseg.images.photographs import image_size, intensities, is_deep, read_image
from hintseg.images.reading import Reading, robust_range

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 4096, (24, 32)).astype(np.uint16)  # of a camera of 12 bits
FIVE = RNG.integers(0, 256, (24, 32, 5), dtype=np.uint8)


def written(path, values, **options):
    tifffile.imwrite(path, values, **options)
    return path


def mapped(values, low, high):
    return ((values.astype(float).clip(low, high) - low) * (255 / (high - low))).round()


# Depth


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_range_maps_deep_images(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    PillowImage.fromarray(DEEP).save(path)
    found = read_image(path, Reading(intensity=(100.0, 4000.0)))
    assert np.array_equal(found, np.dstack([mapped(DEEP, 100, 4000)] * 3))
    assert is_deep(path)


def test_a_dark_16_bit_image_without_a_range_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"values of 0 to \d+ of 65535 would be nearly black; .*in"):
        read_image(written(tmp_path / "a.tif", DEEP))


@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "int32", "uint32", ">u2"])
def test_numbers_of_every_kind(tmp_path, kind):
    path = written(tmp_path / "a.tif", DEEP.astype(kind))
    found = read_image(path, Reading(intensity=(0.0, 4095.0)))
    assert np.array_equal(found[..., 1], mapped(DEEP, 0, 4095))


def test_deep_colour_keeps_its_low_bits(tmp_path):
    values = RNG.integers(0, 4096, (24, 32, 3)).astype(np.uint16)
    path = written(tmp_path / "a.tif", values, photometric="rgb", compression="zlib")
    assert np.array_equal(
        read_image(path, Reading(intensity=(0.0, 4095.0))), mapped(values, 0, 4095)
    )


def test_nan_is_black_and_infinity_white(tmp_path):
    values = np.full((20, 20), 0.5, dtype=np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    found = read_image(written(tmp_path / "a.tif", values), Reading(intensity=(0.0, 1.0)))
    assert found[0, :4, 0].tolist() == [0, 255, 0, 128]


def test_the_file_may_state_its_range(tmp_path):
    stated = [(340, "H", 1, 0, False), (341, "H", 1, 4095, False)]
    path = written(tmp_path / "a.tif", DEEP, extratags=stated)
    assert np.array_equal(read_image(path)[..., 0], mapped(DEEP, 0, 4095))


def test_white_may_be_zero(tmp_path):
    path = written(tmp_path / "a.tif", DEEP, photometric="miniswhite")
    found = read_image(path, Reading(intensity=(61440.0, 65535.0)))
    assert np.array_equal(found[..., 0], mapped(65535 - DEEP.astype(int), 61440, 65535))


def test_8_bit_images_stay_as_they_are_unless_a_person_gives_the_range(tmp_path):
    path = tmp_path / "a.png"
    PillowImage.fromarray(FIVE[..., :3]).save(path)
    assert not is_deep(path)
    assert np.array_equal(read_image(path, Reading(intensity=(0.0, 100.0))), FIVE[..., :3])
    found = read_image(path, Reading(intensity=(0.0, 100.0), every_depth=True))
    assert np.array_equal(found, mapped(FIVE[..., :3], 0, 100))


def test_a_robust_range_leaves_out_outliers_and_nan():
    values = np.linspace(10, 20, 10_000)
    low, high = robust_range([values, np.array([np.nan, np.inf, 1e9])])
    assert low == pytest.approx(10, abs=0.05)
    assert high == pytest.approx(20, abs=0.05)
    assert robust_range([np.full(5, 3.0)]) == (3.0, 4.0)
    assert robust_range([np.array([np.nan])]) is None


def test_samples_are_bounded_and_spread(tmp_path):
    path = written(tmp_path / "a.tif", DEEP)
    few = intensities(path, None, 100)
    assert 80 <= len(few) <= 100
    assert set(few.tolist()) <= set(DEEP.ravel().tolist())


@pytest.mark.parametrize(
    "wrong",
    [
        {"intensity": (5.0, 5.0)},
        {"intensity": (0.0, float("inf"))},
        {"channels": ()},
        {"channels": (0, 1, 2, 3)},
        {"channels": (-1,)},
    ],
)
def test_a_reading_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError):
        Reading(**wrong)


# Channels


FORMS = {
    "saved without a word": (FIVE, {}),
    "interleaved": (FIVE, {"photometric": "minisblack", "planarconfig": "contig"}),
    "planes": (
        np.moveaxis(FIVE, 2, 0),
        {"photometric": "minisblack", "planarconfig": "separate"},
    ),
    "channels of a microscope": (
        np.moveaxis(FIVE, 2, 0),
        {"imagej": True, "metadata": {"axes": "CYX"}},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_channels_are_picked(tmp_path, form):
    values, options = FORMS[form]
    path = written(tmp_path / "a.tif", values, **options)
    assert image_size(path) == (24, 32)
    assert np.array_equal(read_image(path, Reading(channels=(4, 0, 2))), FIVE[..., [4, 0, 2]])
    assert np.array_equal(read_image(path, Reading(channels=(3,))), FIVE[..., [3, 3, 3]])
    assert np.array_equal(read_image(path, Reading(channels=(3, 1))), FIVE[..., [3, 1, 3]])
    with pytest.raises(DataError, match=r"a\.tif: has 5 channels; .* channels: \[0, 1, 2\]"):
        read_image(path)
    with pytest.raises(DataError, match=r"has 5 channels, number 5 of channels: \[5\] is not"):
        read_image(path, Reading(channels=(5,)))


def test_channels_of_a_photograph_are_picked_before_it_is_turned(tmp_path):
    exif = PillowImage.Exif()
    exif[274] = 6
    path = tmp_path / "a.png"
    PillowImage.fromarray(FIVE[..., :3]).save(path, exif=exif)
    assert np.array_equal(
        read_image(path, Reading(channels=(2, 1, 0))), np.rot90(FIVE[..., 2::-1], -1)
    )


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_a_stack_of_a_microscope_is_refused(tmp_path, axes):
    path = written(
        tmp_path / "a.tif", DEEP[None].repeat(3, 0), imagej=True, metadata={"axes": axes}
    )
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=r"a\.tif: a stack \(3 pages\), not one image; save"):
            read(path)


def test_levels_of_a_pyramid_are_no_stack(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(FIVE[..., :3], photometric="rgb", subifds=1)
        file.write(FIVE[::2, ::2, :3], photometric="rgb", subfiletype=1)
    assert np.array_equal(read_image(path), FIVE[..., :3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_tiff_is_turned_upright(tmp_path, orientation):
    tag = [(274, "H", 1, orientation, True)]
    path = written(tmp_path / "a.tif", DEEP, extratags=tag)
    seen = turned(DEEP[..., None], orientation)[..., 0]
    assert image_size(path) == seen.shape
    found = read_image(path, Reading(intensity=(0.0, 4095.0)))
    assert np.array_equal(found[..., 0], mapped(seen, 0, 4095))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_numbers_are_turned_as_pixels_are(orientation):
    pixels = np.asarray(upright(PillowImage.fromarray(FIVE[..., :3]), orientation))
    assert np.array_equal(turned(FIVE[..., :3], orientation), pixels)
    assert sorted(TURNS) == list(range(2, 9))


# Metadata


def block(order, entries):
    start = {"<": b"II*\x00", ">": b"MM\x00*"}[order] + struct.pack(order + "I", 8)
    content = b"".join(struct.pack(order + "HHIHH", *entry, 0) for entry in entries)
    return start + struct.pack(order + "H", len(entries)) + content + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\x00\x00", b"Exif\x00\x00" * 2])
def test_the_orientation_is_found_among_other_tags(order, prefix):
    entries = [(271, 2, 1, 7), (274, 3, 1, 6), (305, 99, 5, 1)]
    assert orientation_in(prefix + block(order, entries)) == 6


@pytest.mark.parametrize("entry", [(274, 3, 1, 0), (274, 3, 1, 9), (274, 2, 1, 6), (274, 3, 2, 6)])
def test_an_odd_orientation_is_none(entry):
    assert orientation_in(block("<", [entry])) is None


def test_random_exif_blocks_change_nothing_but_the_orientation(tmp_path):
    plain = tmp_path / "plain.jpg"
    pixels = PillowImage.fromarray(FIVE[..., :3])
    pixels.save(plain, quality=95)
    expected, path = read_image(plain), tmp_path / "odd.jpg"
    for number in range(300):
        rng = np.random.default_rng(number)
        entries = [
            tuple(int(rng.integers(top)) for top in (400, 14, 5, 12))
            for _ in range(rng.integers(1, 6))
        ]
        noise = rng.integers(0, 256, rng.integers(0, 40), dtype=np.uint8).tobytes()
        content = b"Exif\x00\x00" + block("<>"[number % 2], entries) + noise
        content = content[: rng.integers(8, len(content) + 1)]
        pixels.save(path, quality=95, exif=content)
        upside = orientation_in(content) or 1
        assert np.array_equal(read_image(path), turned(expected, upside))
        assert image_size(path) == turned(expected, upside).shape[:2]


@given(content=st.binary(max_size=300))
@settings(max_examples=200)
def test_no_bytes_confuse_the_search(content):
    assert orientation_in(b"II*\x00" + content) in (None, *range(1, 9))


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "gif", "bmp", "ppm", "jp2", "tga"])
def test_damaged_files_are_their_own_problem(tmp_path, ending):
    whole = tmp_path / f"whole.{ending}"
    PillowImage.fromarray(FIVE[..., :3]).save(whole)
    content, path = whole.read_bytes(), tmp_path / f"cut.{ending}"
    for number in range(40):
        rng = np.random.default_rng(number)
        spoilt = bytearray(content[: rng.integers(1, len(content))] if number % 2 else content)
        for place in rng.integers(0, min(len(spoilt), 200), 4):
            spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt)
        for read in (read_image, image_size):
            with suppress(DataError):  # anything else would be the job's problem
                read(path)
