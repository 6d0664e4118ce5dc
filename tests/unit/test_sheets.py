"""Contact sheets: pictures side by side."""

import os

import numpy as np
from PIL import Image as PillowImage

from hintseg.engine.run import Run
from hintseg.images.label_maps import palette
from hintseg.methods.contact_sheet import (
    TITLE,
    drawn_hints,
    label_row,
    sheet_row,
    write_sheet,
)
from hintseg.structures import UNLABELLED, Sample, WeakLabels


def picture(height, width, colour=200):
    return np.full((height, width, 3), colour, np.uint8)


def sample_of(labels, boxes=()):
    labels = np.array(labels, np.int16)
    boxes = np.array(boxes, float).reshape(-1, 5)
    weak = WeakLabels(labels, np.ones(3, bool), np.zeros(3, bool), boxes)
    return Sample("name", picture(*labels.shape, colour=0), weak)


def test_a_row_has_every_picture_below_its_title():
    row = sheet_row([("one", picture(20, 30)), ("two", picture(20, 10, 90))])
    assert row.shape[0] == 20 + TITLE + 4
    assert (row[TITLE : TITLE + 20, :30] == 200).all()
    assert (row[TITLE : TITLE + 20, 34:44] == 90).all()
    assert row[:TITLE].max() > 0


def test_rows_of_all_sizes_make_one_sheet(tmp_path):
    rows = [sheet_row([("a", picture(20, 30))]), sheet_row([("b", picture(1, 1))])]
    write_sheet(tmp_path / "new" / "sheet.png", rows)
    sheet = np.array(PillowImage.open(tmp_path / "new" / "sheet.png"))
    assert sheet.shape == (20 + 1 + 2 * (TITLE + 4), 34, 3)  # no empty lines under a low row
    assert (sheet[TITLE : TITLE + 20, :30] == 200).all()


def test_no_rows_write_nothing(tmp_path):
    write_sheet(tmp_path / "sheet.png", [])
    assert not (tmp_path / "sheet.png").exists()


def test_boxes_have_the_colour_of_their_class():
    shown = drawn_hints(sample_of(np.full((30, 40), UNLABELLED), [(5, 6, 25, 20, 2)]))
    assert shown[6, 5].tolist() == palette(256)[2].tolist()
    assert shown[19, 24].tolist() == palette(256)[2].tolist()
    assert (shown[10:15, 10:20] == 0).all()


def test_a_box_of_no_width_can_be_drawn():
    assert drawn_hints(sample_of([[UNLABELLED]], [(0, 0, 1, 1, 0)])).shape == (1, 1, 3)


def test_a_row_of_pseudo_labels_shows_image_hints_and_labels():
    known, labelled = sample_of(np.full((9, 9), UNLABELLED)), sample_of(np.full((9, 9), 1))
    row = label_row(known, labelled)
    assert row.shape == (9 + TITLE + 4, 3 * (9 + 4), 3)
    first, second, third = (row[TITLE : TITLE + 9, x : x + 9] for x in (0, 13, 26))
    assert (first == 0).all()
    assert np.array_equal(first, second)
    assert third.max() > 0


def test_the_sheets_of_a_run_are_those_of_its_stages_the_oldest_first(tmp_path):
    run = Run(tmp_path)
    assert run.sheets([]) == []
    for number, name in enumerate(("localise/seeds", "embed/seen", "regions/a", "new/seen")):
        write_sheet(tmp_path / f"{name}.png", [sheet_row([("a", picture(2, 3))])])
        os.utime(tmp_path / f"{name}.png", (9 - number, 9 - number))
    run.finish("localise", {})
    run.log({"stage": "embed", "step": 0, "loss": 1.0})
    names = [file.relative_to(tmp_path).as_posix() for file in run.sheets(run.read_log())]
    assert names == ["embed/seen.png", "localise/seeds.png"]
