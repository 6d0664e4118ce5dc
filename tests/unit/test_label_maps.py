"""Label maps come back as they went in, whatever their coding; classes have colours."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import ExifTags
from PIL import Image as PillowImage

from hintseg.errors import DataError
from hintseg.images import label_maps
from hintseg.images.label_maps import (
    NO_CLASS,
    Coding,
    colour_labels,
    has_class_palette,
    overlay,
    palette,
    read_label_map,
    write_label_map,
)
from hintseg.images.photographs import read_image
from hintseg.structures import UNLABELLED, VOID

RGB = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
THREE = {"classes": 3, "undeclared": VOID}
LABELS = [[0, 0, 1, 2], [3, 3, 3, 3]]
VOC = [tuple(colour) for colour in palette(4).tolist()]


def saved(path, image, **options):
    image.save(path, **options)
    return path


def coloured(labels):
    return palette(4)[np.array(labels)]


# Label maps


@given(
    labels=arrays.arrays(np.int16, (5, 7), elements=st.integers(-2, 2)),
    classes=st.sampled_from([3, 254, 255, 300]),
    data=st.data(),
)
@settings(max_examples=40)
def test_a_label_map_comes_back(labels, classes, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "map.png"
    labels[0, 0] = data.draw(st.integers(0, classes - 1))
    write_label_map(path, labels, classes=classes)
    for undeclared in (UNLABELLED, VOID):
        found = read_label_map(path, classes=classes, undeclared=undeclared)
        assert found.dtype == np.int16
        assert np.array_equal(found, np.where(labels < 0, undeclared, labels))


@pytest.mark.parametrize(("classes", "mode"), [(1, "P"), (254, "P"), (255, "I;16"), (300, "I;16")])
def test_254_classes_fit_into_8_bits_and_more_take_16(tmp_path, classes, mode):
    labels = np.array([[classes - 1, VOID]], dtype=np.int16)
    write_label_map(tmp_path / "a.png", labels, classes=classes)
    with PillowImage.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        no_class = 255 if mode == "P" else 65535
        assert np.asarray(image).tolist() == [[classes - 1, no_class]]


def test_a_label_map_is_shown_in_the_colours_of_its_classes(tmp_path):
    labels = np.array([[0, 1, 15, VOID]], dtype=np.int16)
    write_label_map(tmp_path / "a.png", labels, classes=21)
    assert np.array_equal(read_image(tmp_path / "a.png"), colour_labels(labels))


@pytest.mark.parametrize("mode", ["L", "P"])
def test_grey_and_indexed_label_maps_mean_the_same(tmp_path, mode):
    indices = np.array([[0, 1, 2, 255]], dtype=np.uint8)
    image = PillowImage.fromarray(indices)
    if mode == "P":
        image = PillowImage.frombytes("P", image.size, image.tobytes())
        image.putpalette([9, 9, 9] * 256)
    found = read_label_map(saved(tmp_path / "a.png", image), classes=3, undeclared=VOID)
    assert found.tolist() == [[0, 1, 2, VOID]]


def test_a_one_bit_label_map_holds_the_classes_0_and_1(tmp_path):
    path = saved(tmp_path / "a.png", PillowImage.fromarray(np.array([[True, False]])))
    assert read_label_map(path, classes=2, undeclared=VOID).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        (np.array([[0, 3]], np.uint8), 3, r"index 3 does not exist \(classes are 0 to 2, 255 is"),
        (np.array([[9, 254]], np.uint8), 3, "index 9 does not exist"),
        (np.array([[255]], np.uint16), 3, r"index 255 does not exist .*65535 is no class"),
        (np.array([[65534]], np.uint16), 300, "index 65534 does not exist"),
    ],
)
def test_an_index_without_a_class_is_an_error(tmp_path, values, classes, message):
    path = saved(tmp_path / "a.png", PillowImage.fromarray(values))
    with pytest.raises(DataError, match=rf"a\.png: class {message}"):
        read_label_map(path, classes=classes, undeclared=VOID)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_colour_image_is_no_label_map_and_the_remedy_names_its_colours(tmp_path, mode):
    path = saved(tmp_path / "a.png", PillowImage.fromarray(coloured([[1, 1, 3]])).convert(mode))
    said = r"a\.png: a colour image with 2 colours, such as \[128, 0, 0\] and .* one class index"
    with pytest.raises(DataError, match=said + r" .* colors: \{CLASS: \[128, 0, 0\]\}"):
        read_label_map(path, classes=4, undeclared=VOID)


def test_a_photograph_is_no_label_map(tmp_path):
    with pytest.raises(DataError, match=r"a colour image with 77 colours; .* listed under colors:"):
        read_label_map(saved(tmp_path / "a.png", PillowImage.fromarray(RGB)), **THREE)


def test_floating_point_is_no_label_map(tmp_path):
    path = saved(tmp_path / "a.tif", PillowImage.fromarray(np.zeros((2, 2), np.float32)))
    with pytest.raises(DataError, match=r"a\.tif: floating-point pixels"):
        read_label_map(path, **THREE)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_three_equal_channels_are_grey(tmp_path, mode):
    grey = PillowImage.fromarray(np.array([[0, 1, 2, 255]], dtype=np.uint8))
    found = read_label_map(saved(tmp_path / "a.png", grey.convert(mode)), **THREE)
    assert found.tolist() == [[0, 1, 2, VOID]]


def test_what_is_transparent_has_no_class(tmp_path):
    grey = np.array([[[1, 255], [1, 0], [77, 0], [2, 9]]], dtype=np.uint8)
    path = saved(tmp_path / "a.png", PillowImage.fromarray(grey))
    assert read_label_map(path, **THREE).tolist() == [[1, VOID, VOID, 2]]


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_label_map_is_turned_as_its_own_exif_says(tmp_path, orientation, mode):
    """The frame of a photograph of the same orientation is that of its map."""
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = PillowImage.fromarray(stored)
    if mode == "P":
        image.putpalette(palette(256).tobytes())
    exif = PillowImage.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    mask = saved(tmp_path / "a.png", image if mode == "P" else image.convert(mode), exif=exif)
    photograph = saved(tmp_path / "b.png", image.convert("RGB"), exif=exif)
    seen = read_image(photograph)
    expected = seen[..., 0] if mode != "P" else None
    found = read_label_map(mask, classes=6, undeclared=VOID)
    if mode == "P":
        assert np.array_equal(colour_labels(found), seen)
    else:
        assert np.array_equal(found, expected)


# Codings


def colour_map(path, labels, mode="RGB"):
    return saved(path, PillowImage.fromarray(coloured(labels)).convert(mode))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_mapped_to_classes(tmp_path, mode):
    path = tmp_path / "a.png"
    if mode == "P":  # as a colour quantiser does, with an order of its own
        image = PillowImage.fromarray(coloured(LABELS)).quantize(4)
        assert np.asarray(image).tolist() != LABELS
        saved(path, image)
    else:
        colour_map(path, LABELS, mode)
    coding = Coding(colours={VOC[0]: 2, VOC[1]: 0, VOC[2]: NO_CLASS, VOC[3]: 2})
    expected = np.array([2, 0, VOID, 2])[LABELS]
    assert np.array_equal(read_label_map(path, **THREE, coding=coding), expected)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P", "LA"])
@pytest.mark.parametrize(
    "coding",
    [
        Coding(values={0: 1, 255: 0}),
        Coding(colours={(0, 0, 0): 1, (255, 255, 255): 0}),
        Coding(values={0: 1, 255: 0}, colours={(9, 0, 0): 2, (0, 0, 0): 1, (255, 255, 255): 0}),
    ],
)
def test_black_and_white_are_mapped_whatever_the_form_of_the_file(tmp_path, mode, coding):
    grey = PillowImage.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert(mode)
    found = read_label_map(saved(tmp_path / "a.png", grey), **THREE, coding=coding)
    assert found.tolist() == [[1, 0]]


def test_the_values_of_an_indexed_file_are_its_indices(tmp_path):
    path = tmp_path / "a.png"
    write_label_map(path, np.array(LABELS, np.int16), classes=4)
    coding = Coding(values={0: NO_CLASS, 1: 0, 2: 1, 3: 2})
    expected = np.array([UNLABELLED, 0, 1, 2])[LABELS]
    found = read_label_map(path, classes=3, undeclared=UNLABELLED, coding=coding)
    assert np.array_equal(found, expected)


def test_16_bit_values_are_mapped(tmp_path):
    path = saved(tmp_path / "a.png", PillowImage.fromarray(np.array([[0, 1000]], np.uint16)))
    found = read_label_map(path, **THREE, coding=Coding(values={0: NO_CLASS, 1000: 1}))
    assert found.tolist() == [[VOID, 1]]


@pytest.mark.parametrize(
    ("coding", "said"),
    [
        (
            Coding(values={0: 0}),
            r"value 7 \(2 pixels, the first at x 1, y 0\) is not listed u",
        ),
        (Coding(values={7: 0}), r"value 0 \(1 pixels, the first at x 0, y 0\) is not .* for void"),
        (Coding(values={1: 0}), r"2 values, such as 7 \(2 pixels, .* are not listed .* add them"),
        (
            Coding(colours={(0, 0, 0): 0}),
            r"colour \[7, 7, 7\] \(2 .* under colors: in",
        ),
    ],
)
def test_what_is_not_listed_is_an_error_with_place_and_remedy(tmp_path, coding, said):
    path = saved(tmp_path / "a.png", PillowImage.fromarray(np.array([[0, 7, 7]], dtype=np.uint8)))
    with pytest.raises(DataError, match=rf"a\.png: {said}"):
        read_label_map(path, **THREE, coding=coding)


def test_a_compressed_mask_is_refused_with_the_remedy(tmp_path):
    coding = Coding(colours=dict.fromkeys(VOC, 1))
    image = PillowImage.fromarray(coloured(LABELS)).resize((64, 64))
    image.save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(DataError, match=r"a\.png: a JPEG file, .*; save the map anew as PNG"):
        read_label_map(tmp_path / "a.png", **THREE, coding=coding)
    image.save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"\d\d\d colours, such .* smooth scaling: save the map a"):
        read_label_map(tmp_path / "a.png", **THREE, coding=coding)


def test_a_large_colour_map_is_read_within_a_second_or_two(tmp_path):
    labels = np.kron(np.random.default_rng(0).integers(0, 4, (30, 40)), np.ones((100, 100), int))
    path = colour_map(tmp_path / "a.png", labels)
    start = time.process_time()
    found = read_label_map(path, **THREE, coding=Coding(colours={c: 2 - c[0] // 128 for c in VOC}))
    assert time.process_time() - start < 3
    assert np.array_equal(found, np.where(labels % 2, 1, 2))


def test_files_of_ours_are_known_by_their_palette(tmp_path):
    labels = np.array([[0, 1]], dtype=np.int16)
    for classes in (2, 300):
        write_label_map(tmp_path / "a.png", labels, classes=classes)
        assert has_class_palette(tmp_path / "a.png", classes=classes)
    grey = saved(tmp_path / "b.png", PillowImage.fromarray(labels.astype(np.uint8)))
    assert not has_class_palette(grey, classes=2)
    assert not has_class_palette(colour_map(tmp_path / "c.png", labels, "P"), classes=2)


# Colours


def test_the_palette_is_that_of_voc():
    colours = palette(256)
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        4: (0, 0, 128),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
    }
    assert {index: tuple(colours[index].tolist()) for index in known} == known
    assert tuple(colours[255]) == (224, 224, 224)


@pytest.mark.parametrize("count", [0, 1, 21, 254, 500])
def test_no_two_classes_have_the_same_colour(count):
    colours = palette(count)
    assert colours.shape == (count, 3)
    assert len(np.unique(colours, axis=0)) == count


def test_pixels_without_a_class_are_light_grey():
    colours = colour_labels(np.array([[UNLABELLED, VOID, 1, 299]], dtype=np.int16))
    assert colours[0, :3].tolist() == [[224] * 3, [224] * 3, [128, 0, 0]]
    assert tuple(colours[0, 3]) == tuple(palette(300)[299])
    assert colour_labels(np.empty((0, 4), dtype=np.int16)).shape == (0, 4, 3)


def test_an_overlay_mixes_colours_where_there_is_a_class_only():
    image = np.full((1, 3, 3), 100, dtype=np.uint8)
    labels = np.array([[1, UNLABELLED, VOID]], dtype=np.int16)
    mixed = overlay(image, labels, opacity=0.25)
    assert mixed[0].tolist() == [[107, 75, 75], [100] * 3, [100] * 3]
    assert (image == 100).all()
    assert np.array_equal(overlay(image, labels, opacity=0.0), image)
    assert overlay(image, labels, opacity=1.0)[0, 0].tolist() == [128, 0, 0]


@given(height=st.integers(0, 9), width=st.integers(0, 9), band=st.integers(1, 40))
@settings(max_examples=20)
def test_an_overlay_made_in_bands_is_the_same(height, width, band):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    labels = rng.integers(VOID, 5, (height, width)).astype(np.int16)
    whole = overlay(image, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_maps, "BAND_PIXELS", band)
        assert np.array_equal(overlay(image, labels), whole)


def test_an_overlay_of_a_large_image_needs_little_more_memory_than_the_image():
    image, labels = np.zeros((2000, 3000, 3), np.uint8), np.ones((2000, 3000), np.int16)
    tracemalloc.start()
    try:
        overlay(image, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * image.nbytes
