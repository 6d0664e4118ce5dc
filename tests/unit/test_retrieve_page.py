"""The segment under a pixel, the nearest of all other images, and the page that shows them."""

import re

import numpy as np
import pytest
import torch

from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.predict.predictor import Predictor
from hintseg.predict.retrieval.similar import FoundSegment, similar_segments
from hintseg.predict.retrieval.votes import embed, segment_whole
from hintseg.report.retrieve_page import crop_window, segment_picture, write_retrieve_page

EVIL = "<script>alert('x & 牛')</script>"
GREY = np.full((60, 80, 3), 128, dtype=np.uint8)


@pytest.fixture
def predictor(segmenter, classes):
    return Predictor(segmenter, classes)


def segment_of(inside, covered, **more):
    return FoundSegment("field", np.asarray(inside, bool), covered, **{"similarity": 1.0, **more})


def block(rows, columns, top, bottom, left, right):
    """A segment of one rectangle of cells, in an image that the cells cover exactly."""
    inside = np.zeros((rows, columns), bool)
    inside[top:bottom, left:right] = True
    return segment_of(inside, (4 * rows, 4 * columns), predicted=0)


# Finding


def every_segment(model, dataset):
    """(image, number, prototype, cells) of all segments, one by one."""
    for name in dataset.images:
        embeddings = embed(model, dataset.image(name))
        segments, vectors = segment_whole(embeddings, grid=12, iterations=10)
        member = segments.member.view(embeddings.shape[-2:])
        for number, vector in enumerate(vectors):
            yield name, vector, (member == number).numpy()


def test_the_found_are_those_of_brute_force(predictor, segmenter, dataset):
    result = similar_segments(predictor, dataset, "pond", (30.0, 25.0), top=7)
    everything = list(every_segment(segmenter, dataset))
    (asked,) = (
        (vector, inside) for name, vector, inside in everything if name == "pond" and inside[6, 7]
    )
    assert np.array_equal(result.asked.inside, asked[1])
    others = [(float(v @ asked[0]), name, cells) for name, v, cells in everything if name != "pond"]
    others.sort(key=lambda other: -other[0])
    for segment, (similarity, name, inside) in zip(result.found, others[:7], strict=True):
        assert (segment.similarity, segment.name) == (pytest.approx(similarity, abs=1e-6), name)
        assert np.array_equal(segment.inside, inside)
    assert (result.images, result.segments) == (7, len(others))


@pytest.mark.parametrize(
    ("at", "cell"),
    [((0.0, 0.0), (0, 0)), ((-0.5, -0.5), (0, 0)), ((3.4, 3.6), (1, 0)), ((55.0, 39.0), (9, 13))],
)
def test_the_pixel_lies_in_the_segment_that_was_asked_for(predictor, dataset, at, cell):
    assert similar_segments(predictor, dataset, "pond", at, top=1).asked.inside[cell]


def test_pixels_are_those_of_the_image_on_disk(segmenter, classes, dataset):
    large = Predictor(segmenter, classes, size=112)
    result = similar_segments(large, dataset, "pond", (55.0, 0.0), top=1)
    assert result.asked.covered == (80, 112)
    assert result.asked.inside.shape == (20, 28)
    assert result.asked.inside[0, 27]


def test_classes_are_those_of_the_classifier_and_of_the_mask(predictor, segmenter, dataset):
    result = similar_segments(predictor, dataset, "pond", (20.0, 3.0), top=5)
    for segment in (result.asked, *result.found):
        inside = torch.from_numpy(segment.inside)
        with torch.inference_mode():
            logits = segmenter.classify(embed(segmenter, dataset.image(segment.name)))
        assert segment.predicted == logits.softmax(dim=1)[0][:, inside].mean(dim=1).argmax()
        mask = dataset.truth(segment.name)
        seen = mask[np.repeat(np.repeat(segment.inside, 4, 0), 4, 1)]
        assert segment.truth in seen
    assert result.asked.truth == 2  # the sky


def test_without_masks_there_is_no_truth(predictor, data_folder):
    for path in (data_folder / "masks").iterdir():
        path.unlink()
    result = similar_segments(predictor, open_dataset(data_folder), "pond", (5.0, 5.0), top=2)
    assert [segment.truth for segment in (result.asked, *result.found)] == [None] * 3


def test_fewer_segments_than_asked_for_are_all_found(predictor, data_folder):
    for path in (data_folder / "images").iterdir():
        if path.stem not in ("pond", "field"):
            path.unlink()
    dataset = open_dataset(data_folder)
    result = similar_segments(predictor, dataset, "pond", (5.0, 5.0), top=10_000)
    assert {segment.name for segment in result.found} == {"field"}
    assert len(result.found) == result.segments
    (data_folder / "images" / "field.png").unlink()
    assert not similar_segments(predictor, open_dataset(data_folder), "pond", (5.0, 5.0)).found


def test_a_broken_image_is_told_and_the_rest_is_searched(predictor, dataset):
    dataset.images["herd"].write_bytes(b"broken")
    result = similar_segments(predictor, dataset, "pond", (5.0, 5.0))
    assert list(result.failed) == ["herd"]
    assert "herd.png" in result.failed["herd"]
    assert result.images == 6


@pytest.mark.parametrize("at", [(56.0, 0.0), (0.0, 40.0), (-1.0, 3.0), (3.0, -0.6), (np.nan, 0.0)])
def test_a_pixel_outside_is_an_error(predictor, dataset, at):
    message = r"outside image 'pond' of 56 x 40 pixels; x goes from 0 to 55, y from 0 to 39"
    with pytest.raises(ConfigError, match=message):
        similar_segments(predictor, dataset, "pond", at)


def test_mistakes_are_told(predictor, dataset):
    with pytest.raises(UnknownNameError, match=r"no image named 'ponds'; did you mean 'pond'\?"):
        similar_segments(predictor, dataset, "ponds", (0.0, 0.0))
    with pytest.raises(ConfigError, match="top: must be at least 1, got 0"):
        similar_segments(predictor, dataset, "pond", (0.0, 0.0), top=0)


# Drawing


def test_a_segment_is_outlined_and_all_else_dimmed():
    segment = block(15, 20, 5, 10, 5, 15)  # rows 20-39, columns 20-59
    picture = segment_picture(GREY, segment, (0, 60, 0, 80), 80)
    assert picture.shape == GREY.shape
    assert (picture[25:35, 25:55] == 128).all()
    assert (picture[:15] < 128).all()
    light = (picture == 255).all(axis=2)
    rows, columns = np.nonzero(light)
    assert (rows.min(), rows.max()) == (19, 40)
    assert (columns.min(), columns.max()) == (19, 60)
    assert (GREY == 128).all()


def test_the_outline_is_closed_where_the_segment_ends_with_the_image():
    picture = segment_picture(GREY, block(15, 20, 0, 15, 0, 20), (0, 60, 0, 80), 80)
    assert (picture[0] == 255).all()
    assert (picture[:, 0] == 255).all()
    assert (picture[5:-5, 5:-5] == 128).all()


def test_the_dot_lies_on_the_pixel():
    segment = block(15, 20, 5, 10, 5, 15)
    picture = segment_picture(GREY, segment, (0, 60, 0, 80), 160, at=(50.0, 10.0)).astype(int)
    red = (picture[..., 0] - picture[..., 1]) > 100
    rows, columns = np.nonzero(red)
    assert rows.mean() == pytest.approx(2 * 10.5 - 0.5, abs=0.1)
    assert columns.mean() == pytest.approx(2 * 50.5 - 0.5, abs=0.1)


@pytest.mark.parametrize(
    "cells", [(0, 1, 0, 1), (14, 15, 19, 20), (5, 10, 5, 15), (0, 15, 0, 20), (0, 15, 3, 4)]
)
def test_a_window_holds_its_segment_and_lies_in_the_image(cells):
    segment = block(15, 20, *cells)
    top, bottom, left, right = crop_window(GREY, segment)
    assert 0 <= top <= 4 * cells[0] < 4 * cells[1] <= bottom <= 60
    assert 0 <= left <= 4 * cells[2] < 4 * cells[3] <= right <= 80


def test_one_pixel_can_be_shown():
    dot = np.zeros((1, 1, 3), np.uint8)
    segment = segment_of([[True]], (1, 1), predicted=0)
    assert crop_window(dot, segment) == (0, 1, 0, 1)
    assert segment_picture(dot, segment, (0, 1, 0, 1), 50, at=(0.0, 0.0)).shape == (50, 50, 3)


# The page


@pytest.mark.parametrize("top", [1, 7])
def test_the_page_shows_as_many_segments_as_were_asked_for(predictor, dataset, tmp_path, top):
    at = (30.0, 25.0)
    result = similar_segments(predictor, dataset, "pond", at, top=top)
    page = tmp_path / "new" / "like.html"
    write_retrieve_page(page, result, dataset, predictor.classes, at)
    html = page.read_text(encoding="utf-8")
    assert html.count("<img") == 2 + top
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(address.startswith("data:image/") for address in addresses)
    assert len(set(addresses)) == 2 + top
    assert "<script" not in html
    assert "url(" not in html
    for segment in result.found:
        assert f"{segment.similarity:.3f}" in html
        assert segment.name in html
    assert "30, 25" in html


def test_names_are_text_whatever_they_hold(segmenter, dataset, data_folder, classes, tmp_path):
    settings = (data_folder / "dataset.yaml").read_text()
    yaml_name = '"' + EVIL + '"'
    (data_folder / "dataset.yaml").write_text(settings.replace("cow", yaml_name), encoding="utf-8")
    for path in (data_folder / "images").iterdir():
        path.rename(path.with_stem(f"{path.stem} <b>&amp; 牛"))
    evil = open_dataset(data_folder)
    predictor = Predictor(segmenter, evil.classes)
    result = similar_segments(predictor, evil, "pond <b>&amp; 牛", (28.0, 25.0), top=20)
    write_retrieve_page(tmp_path / "r.html", result, evil, evil.classes, (28.0, 25.0))
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<b>&amp;" not in html
    assert "not known" in html  # the masks have the old names


def test_a_data_set_of_one_image_gives_a_page_that_says_so(predictor, data_folder, tmp_path):
    for path in (data_folder / "images").iterdir():
        if path.stem not in ("pond", "herd"):
            path.unlink()
    (data_folder / "images" / "herd.png").write_bytes(b"broken")
    dataset = open_dataset(data_folder)
    result = similar_segments(predictor, dataset, "pond", (5.0, 5.0))
    write_retrieve_page(tmp_path / "r.html", result, dataset, predictor.classes, (5.0, 5.0))
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "no other image that can be read" in html
    assert "herd.png: not an image file" in html
