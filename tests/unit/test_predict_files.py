"""Folders of photographs become folders of label maps, once, whole and never mixed."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image as PillowImage

from hintseg.errors import ConfigError, DataError, HintSegError
from hintseg.images.label_maps import overlay, read_label_map, write_label_map
from hintseg.images.photographs import read_image, write_png
from hintseg.predict.folders.inputs import find_inputs
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.options import PredictOptions
from hintseg.predict.predictor import Predictor
from hintseg.structures import VOID, ClassSet


@pytest.fixture
def predictor(segmenter, classes):
    return Predictor(segmenter, classes)


@pytest.fixture
def photos(tmp_path):
    """A folder with three photographs."""
    folder = tmp_path / "photos"
    for index, name in enumerate(("b.png", "a.png", "c d.png")):
        draw(folder / name, index)
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def draw(path, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (20 + seed, 24, 3), dtype=np.uint8)
    write_png(path, PillowImage.fromarray(pixels))
    return path


def images(folder):
    return find_inputs([str(folder)]).images


def names(paths):
    return [path.name for path in paths]


def found(*inputs):
    return names(find_inputs([str(text) for text in inputs]).images.values())


# Refinement


def test_predictions_with_and_without_crf_are_not_mixed(predictor, photos, out):
    predict_files(predictor, images(photos), out, options=PredictOptions(crf="psa"))
    for other in (PredictOptions(), PredictOptions(crf="deeplab")):
        with pytest.raises(ConfigError, match="or other options"):
            predict_files(predictor, images(photos), out, options=other)
    assert (
        len(
            predict_files(predictor, images(photos), out, options=PredictOptions(crf="psa")).skipped
        )
        == 3
    )


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'psa'"):
        PredictOptions(crf="pas")


# Inputs


def test_a_folder_gives_its_images_in_order(photos):
    (photos / "notes.txt").touch()
    (photos / "._a.jpg").touch()
    (photos / "folder.png").mkdir()
    draw(photos / "inner" / "z.png")
    named = find_inputs([str(photos)]).images
    assert list(named) == ["a", "b", "c d", "inner/z"]
    assert names(named.values()) == ["a.png", "b.png", "c d.png", "z.png"]


def test_what_a_folder_holds_besides_is_named(photos):
    for name in ("x.psd", "y.psd", "notes.txt", "a.json"):
        (photos / name).touch()
    assert find_inputs([str(photos)]).complaints == [
        f"{photos}: 2 files (x.psd, y.psd) not used: .psd is no format that is read; "
        "convert to JPEG or PNG"
    ]


def test_a_folder_of_other_files_alone_is_an_error_that_says_why(photos):
    (photos / "raw" / "x.cr2").parent.mkdir()
    (photos / "raw" / "x.cr2").touch()
    with pytest.raises(DataError, match=r"raw: no image \(1 file \(x\.cr2\) not used: \.cr2 is no"):
        find_inputs([str(photos / "raw")])


def test_sub_folders_come_back_in_the_folder_of_label_maps(predictor, photos, out):
    draw(photos / "inner" / "a.png")
    named = images(photos)
    predict_files(predictor, named, out, overlays=True)
    for name in ("a", "inner/a"):
        assert (out / f"{name}.png").is_file()
        assert (out / "overlays" / f"{name}.png").is_file()
    assert len(predict_files(predictor, named, out, overlays=True).skipped) == 4


def test_label_maps_inside_the_folder_of_images_are_no_images(predictor, photos):
    predict_files(predictor, images(photos), photos / "out", overlays=True)
    assert len(images(photos)) == 3


def test_label_maps_never_go_beside_the_photographs_of_a_sub_folder(predictor, photos, out):
    draw(out / "inner" / "a.jpg")
    with pytest.raises(ConfigError, match="holds the images themselves"):
        predict_files(predictor, images(out), out)
    draw(photos / "overlays" / "a.png")
    with pytest.raises(ConfigError, match="sub-folder called overlays"):
        predict_files(predictor, images(photos), photos.parent / "other")


def test_files_and_patterns_are_found_each_once_in_the_order_given(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    several = found("photos/b.png", "photos/*.png", "photos", photos / "a.png")
    assert several == ["b.png", "a.png", "c d.png"]
    assert found("photos/../photos/a.png", "./photos/a.png") == ["a.png"]


def test_a_pattern_may_reach_into_folders(photos):
    draw(photos / "inner" / "z.png")
    assert "z.png" in found(str(photos.parent / "**" / "*.png"))
    assert found(str(photos / "[ab].png")) == ["a.png", "b.png"]


def test_a_name_with_the_signs_of_a_pattern_is_a_name_first(photos):
    draw(photos / "a[1].png")
    assert found(str(photos / "a[1].png")) == ["a[1].png"]


def test_an_explicit_file_may_have_any_ending(photos):
    (photos / "a.png").rename(photos / "a.photo")
    assert found(str(photos / "a.photo")) == ["a.photo"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", "nowhere: no such file or folder, and no image matches it as a pattern"),
        ("*.jpg", r"\*\.jpg: no such file or folder"),
        ("*.txt", r"\*\.txt: no such file or folder"),
        ("empty", r"empty: no image \(\.jpg"),
    ],
)
def test_an_input_that_names_nothing_is_an_error(photos, monkeypatch, text, message):
    monkeypatch.chdir(photos)
    (photos / "empty").mkdir()
    (photos / "empty" / "notes.txt").touch()
    (photos / "notes.txt").touch()
    with pytest.raises(DataError, match=message):
        find_inputs(["a.png", text])


def test_two_images_of_one_name_are_an_error_that_names_both(photos, out):
    draw(photos / "more" / "a.png")
    both = [photos / "a.png", photos / "more" / "a.png"]
    message = r"more/a\.png: .*photos/a\.png has the same name, both would become a\.png"
    with pytest.raises(DataError, match=message):
        find_inputs([str(path) for path in both])
    assert not out.exists()


# Outputs


def test_every_image_gets_its_label_map(photos, predictor, out):
    outcome = predict_files(predictor, images(photos), out)
    assert names(outcome.written) == ["a.png", "b.png", "c d.png"]
    assert not outcome.skipped
    assert not outcome.failed
    for path in outcome.written:
        labels = read_label_map(path, classes=3, undeclared=VOID)
        assert np.array_equal(labels, predictor.predict(photos / path.name).labels)
    assert sorted(path.name for path in out.iterdir()) == [
        "a.png",
        "b.png",
        "c d.png",
        "predict.json",
    ]


def test_overlays_are_written_on_request(photos, predictor, out):
    predict_files(predictor, images(photos), out, overlays=True)
    for name in ("a.png", "b.png", "c d.png"):
        image = read_image(photos / name)
        expected = overlay(image, read_label_map(out / name, classes=3, undeclared=VOID))
        assert np.array_equal(read_image(out / "overlays" / name), expected)


def test_options_reach_the_model(photos, predictor, out):
    predict_files(predictor, images(photos), out, options=PredictOptions((0.5, 1.5), flip=True))
    expected = predictor.predict(photos / "a.png", scales=(0.5, 1.5), flip=True).labels
    assert np.array_equal(read_label_map(out / "a.png", classes=3, undeclared=VOID), expected)


def test_a_broken_image_is_reported_and_the_rest_is_done(photos, predictor, out):
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:60])
    outcome = predict_files(predictor, images(photos), out)
    assert names(outcome.written) == ["a.png", "c d.png"]
    assert list(outcome.failed) == [photos / "b.png"]
    assert "b.png: damaged image" in outcome.failed[photos / "b.png"]
    assert not (out / "b.png").exists()


def test_a_mended_image_is_done_by_the_next_call(photos, predictor, out):
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(b"")
    predict_files(predictor, images(photos), out)
    (photos / "b.png").write_bytes(whole)
    outcome = predict_files(predictor, images(photos), out)
    assert names(outcome.written) == ["b.png"]
    assert names(outcome.skipped) == ["a.png", "c d.png"]


def test_a_second_call_does_nothing(photos, predictor, out, monkeypatch):
    predict_files(predictor, images(photos), out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    monkeypatch.setattr(predictor, "predict", pytest.fail)
    outcome = predict_files(predictor, images(photos), out)
    assert names(outcome.skipped) == ["a.png", "b.png", "c d.png"]
    assert not outcome.written
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_a_half_written_file_does_not_count_as_done(photos, predictor, out):
    out.mkdir()
    old, young = out / ".a.png.00.part", out / ".b.png.11.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    outcome = predict_files(predictor, images(photos), out)
    assert names(outcome.written) == ["a.png", "b.png", "c d.png"]
    assert (old.exists(), young.exists()) == (False, True)  # another process may be at it
    read_label_map(out / "a.png", classes=3, undeclared=VOID)


def test_what_an_interrupted_call_left_is_completed(photos, predictor, out, monkeypatch):
    calls = []
    predict = predictor.predict_by

    def interrupted(options, image, **more):
        calls.append(image)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predict(options, image, **more)

    monkeypatch.setattr(predictor, "predict_by", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor, images(photos), out, overlays=True)
    outcome = predict_files(predictor, images(photos), out, overlays=True)
    assert names(outcome.skipped) == ["a.png"]
    assert names(outcome.written) == ["b.png", "c d.png"]


def test_an_interrupted_write_is_done_again(photos, predictor, out, monkeypatch):
    def stopped(image, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PillowImage.Image, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            predict_files(predictor, images(photos), out)
    assert [path.name for path in out.iterdir()] == ["predict.json"]
    assert len(predict_files(predictor, images(photos), out).written) == 3


def test_overlays_that_are_missing_are_added(photos, predictor, out):
    predict_files(predictor, images(photos), out)
    before = (out / "a.png").read_bytes()
    outcome = predict_files(predictor, images(photos), out, overlays=True)
    assert len(outcome.written) == 3
    assert (out / "a.png").read_bytes() == before
    assert len(predict_files(predictor, images(photos), out).skipped) == 3


def test_the_same_name_of_another_photograph_is_labelled_anew(photos, predictor, out, tmp_path):
    predict_files(predictor, images(photos), out, overlays=True)
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    draw(other / "a.png", 7)
    outcome = predict_files(predictor, images(other), out, overlays=True)
    assert (names(outcome.written), names(outcome.skipped)) == (["a.png"], ["b.png", "c d.png"])
    labels = read_label_map(out / "a.png", classes=3, undeclared=VOID)
    assert np.array_equal(labels, predictor.predict(other / "a.png").labels)
    expected = overlay(read_image(other / "a.png"), labels)
    assert np.array_equal(read_image(out / "overlays" / "a.png"), expected)


def test_an_overlay_of_another_photograph_goes(photos, predictor, out):
    predict_files(predictor, images(photos), out, overlays=True)
    draw(photos / "a.png", 7)
    predict_files(predictor, images(photos), out)
    assert names(sorted((out / "overlays").iterdir())) == ["b.png", "c d.png"]
    outcome = predict_files(predictor, images(photos), out, overlays=True)
    assert names(outcome.written) == ["a.png"]


@pytest.mark.parametrize("content", [b"", b"text", "mask"])
def test_a_file_that_does_not_say_what_it_is_made_of_is_made_anew(photos, predictor, out, content):
    predict_files(predictor, images(photos), out)
    whole = (out / "a.png").read_bytes()
    if content == "mask":
        write_label_map(out / "a.png", np.zeros((3, 4), np.int16), classes=3)
    else:
        (out / "a.png").write_bytes(content)
    assert names(predict_files(predictor, images(photos), out).written) == ["a.png"]
    assert (out / "a.png").read_bytes() == whole


def test_a_photograph_among_the_predictions_is_not_overwritten(photos, predictor, out):
    predict_files(predictor, {"b": photos / "b.png"}, out)
    draw(out / "a.png")
    before = (out / "a.png").read_bytes()
    outcome = predict_files(predictor, images(photos), out)
    assert "out/a.png: is no label map of hintseg's; move it" in outcome.failed[photos / "a.png"]
    assert names(outcome.written) == ["c d.png"]
    assert (out / "a.png").read_bytes() == before


def test_what_a_mask_is_made_of_stands_beside_its_pixels(photos, predictor, out):
    predict_files(predictor, images(photos), out / "one")
    predict_files(predictor, images(photos), out / "two")
    assert (out / "one" / "a.png").read_bytes() == (out / "two" / "a.png").read_bytes()
    with PillowImage.open(out / "one" / "a.png") as image:
        assert (image.mode, list(image.info)) == ("P", ["hintseg"])


def test_new_images_join_the_old_ones(photos, predictor, out):
    predict_files(predictor, {"a": photos / "a.png"}, out)
    outcome = predict_files(predictor, images(photos), out)
    assert names(outcome.skipped) == ["a.png"]
    assert names(outcome.written) == ["b.png", "c d.png"]


# What is refused


@pytest.mark.parametrize(
    "options",
    [
        {"options": PredictOptions(flip=True)},
        {"options": PredictOptions((1.0, 0.5))},
        {"tile": 512},
    ],
)
def test_other_options_are_refused(photos, predictor, out, options):
    predict_files(predictor, images(photos), out)
    with pytest.raises(ConfigError, match="out: holds predictions of another model or other opt"):
        predict_files(predictor, images(photos), out, **options)


def test_another_model_is_refused(photos, predictor, segmenter, classes, out):
    predict_files(predictor, images(photos), out)
    with pytest.raises(ConfigError, match="another model or other options; choose another --out"):
        predict_files(Predictor(segmenter, classes, size=64), images(photos), out)


@pytest.mark.parametrize("scales", [(0.0,), ()])
def test_scales_that_cannot_work_are_no_options(scales):
    with pytest.raises(ConfigError, match="scales: "):
        PredictOptions(scales)


def test_tiles_that_cannot_work_leave_no_trace(photos, predictor, out):
    with pytest.raises(ConfigError, match="tile: "):
        predict_files(predictor, images(photos), out, tile=100)
    assert not out.exists()
    assert len(predict_files(predictor, images(photos), out).written) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": '])
def test_a_damaged_record_is_an_error_that_names_it(photos, predictor, out, content):
    predict_files(predictor, images(photos), out)
    (out / "predict.json").write_bytes(content)
    with pytest.raises(HintSegError, match=r"predict\.json: .*delete it and make it again"):
        predict_files(predictor, images(photos), out)


def test_a_file_in_the_way_is_an_error(photos, predictor, out):
    out.touch()
    with pytest.raises(ConfigError, match="out: is a file; --out must be a folder"):
        predict_files(predictor, images(photos), out)


@pytest.mark.parametrize("overlays", [False, True])
def test_photographs_are_never_overwritten(photos, predictor, monkeypatch, overlays):
    before = {path: path.read_bytes() for path in photos.iterdir()}
    monkeypatch.chdir(photos)
    for folder in (photos, photos / ".." / "photos"):
        with pytest.raises(ConfigError, match="holds the images themselves; choose another --out"):
            predict_files(predictor, images(photos), folder, overlays=overlays)
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


def test_overlays_do_not_replace_the_images_they_are_made_of(photos, predictor, out):
    shutil.move(photos, out / "overlays")
    with pytest.raises(ConfigError, match="holds the images themselves"):
        predict_files(predictor, images(out / "overlays"), out, overlays=True)


def test_label_maps_of_somebody_else_are_not_taken_for_done(photos, predictor, out):
    draw(out / "a.png")
    before = (out / "a.png").read_bytes()
    with pytest.raises(ConfigError, match=r"PNG files that are not known .*predict\.json is miss"):
        predict_files(predictor, images(photos), out)
    assert (out / "a.png").read_bytes() == before


def test_the_classes_decide_the_bits(photos, segmenter, out):
    many = ClassSet(tuple(map(str, range(300))))
    wide = Predictor(segmenter, many)
    predict_files(wide, {"a": photos / "a.png"}, out)
    with PillowImage.open(out / "a.png") as image:
        assert image.mode == "I;16"
