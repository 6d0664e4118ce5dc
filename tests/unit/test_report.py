"""Pages open without anything else, escape what users write, and say when something is missing."""

import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from hintseg.data.check.checking import check
from hintseg.data.dataset import open_dataset
from hintseg.engine.run import Run
from hintseg.images.label_maps import palette
from hintseg.images.reading import AS_STORED
from hintseg.metrics import evaluate_pairs, metrics_of
from hintseg.predict.prediction import Prediction
from hintseg.predict.predictor import Predictor
from hintseg.report import check_page, figures
from hintseg.report.charts import stage_charts
from hintseg.report.check_page import write_check_page
from hintseg.report.page import percent
from hintseg.report.pictures import class_colours, contrast, css, data_uri, hint_picture
from hintseg.report.run_page import PictureRow, picture_rows, report_run, write_report
from hintseg.shares import evenly
from hintseg.structures import UNLABELLED, VOID, ClassSet, Hints, Shape

EVIL = "<script>alert('$x_1$ & 牛')</script>"
CLASSES = ClassSet(("cow", EVIL, "sky"))
GREY = np.full((60, 80, 3), 128, dtype=np.uint8)


def decoded(uri):
    """Pixels of a picture in a page."""
    return np.array(PillowImage.open(BytesIO(base64.b64decode(uri.split(",", 1)[1]))))


def assert_self_contained(html):
    assert "<script" not in html
    for address in re.findall(r'(?:src|href)="([^"]*)"', html):
        assert address.startswith("data:image/"), address[:80]
    assert "url(" not in html
    assert "@import" not in html


# Pictures


def test_the_picture_of_no_hints_is_the_image():
    assert np.array_equal(hint_picture(GREY, Hints(), CLASSES), GREY)


@pytest.mark.parametrize("label", range(3))
def test_a_point_is_drawn_in_its_colour_with_an_outline_that_stands_out(label):
    colour = class_colours(CLASSES)[label]
    picture = hint_picture(GREY, Hints((Shape("point", label, ((40.0, 30.0),)),)), CLASSES)
    assert tuple(picture[30, 40]) == colour
    ring = picture[30, 40:48].astype(int)
    assert (abs(ring - contrast(colour)).max(axis=1) < 100).any()
    assert np.array_equal(picture[:20], GREY[:20])  # nothing far from it


def test_a_stroke_stays_in_place_when_the_picture_is_smaller():
    image = np.full((300, 400, 3), 128, dtype=np.uint8)
    stroke = Shape("scribble", 0, ((50.0, 200.0), (350.0, 200.0)))
    picture = hint_picture(image, Hints((stroke,)), CLASSES, side=100)
    assert picture.shape == (75, 100, 3)
    rows = np.flatnonzero((picture != 128).any(axis=2).any(axis=1))
    assert rows.mean() == pytest.approx((200.5 * 0.25) - 0.5, abs=0.6)


def test_a_box_around_the_whole_image_is_seen_on_all_sides():
    box = Shape("box", 2, ((-0.5, -0.5), (79.5, 59.5)))
    picture = hint_picture(GREY, Hints((box,)), CLASSES)
    colour = class_colours(CLASSES)[2]
    for row, column in ((2, 40), (57, 40), (30, 2), (30, 77)):
        assert tuple(picture[row, column]) == colour
    assert tuple(picture[30, 40]) == (128, 128, 128)


def test_the_inside_of_a_polygon_lets_the_image_through():
    polygon = Shape("polygon", 2, ((10.0, 10.0), (70.0, 10.0), (70.0, 50.0), (10.0, 50.0)))
    inside = hint_picture(GREY, Hints((polygon,)), CLASSES)[30, 40]
    share = 70 / 255
    assert inside == pytest.approx((1 - share) * 128 + share * palette(3)[2], abs=2)


def test_a_painted_map_is_laid_over_the_image_where_it_is_labelled():
    partial = np.full((60, 80), UNLABELLED, dtype=np.int16)
    partial[:30] = 2
    picture = hint_picture(GREY, Hints(partial=partial), CLASSES)
    assert (picture[:30] != 128).any(axis=2).all()
    assert np.array_equal(picture[30:], GREY[30:])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=3, max_size=5),
)
def test_any_shape_can_be_drawn_on_any_image(height, width, points):
    image = np.zeros((height, width, 3), dtype=np.uint8)
    shapes = (
        Shape("point", 0, (points[0],)),
        Shape("box", 1, (points[0], points[1])),
        Shape("scribble", 2, tuple(points)),
        Shape("polygon", 2, tuple(points)),
    )
    assert hint_picture(image, Hints(shapes), CLASSES).shape == image.shape


def test_colours_are_those_of_the_label_maps():
    assert class_colours(CLASSES) == [tuple(map(int, colour)) for colour in palette(3)]
    assert len(class_colours(ClassSet(tuple(f"c{i}" for i in range(400))))) == 400
    assert css((0, 128, 255)) == "#0080ff"


def test_a_picture_survives_its_way_into_a_page():
    assert decoded(data_uri(GREY)) == pytest.approx(GREY, abs=2)


def test_percent_of_nothing_is_a_dash():
    assert [percent(0.123), percent(float("nan")), percent(None)] == ["12.3 %", "-", "-"]


@given(st.integers(0, 500), st.integers(1, 50))
def test_evenly_takes_different_items_in_order(count, most):
    chosen = evenly(list(range(count)), most)
    assert len(chosen) == min(count, most)
    assert chosen == sorted(set(chosen))
    gaps = np.diff(chosen)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


# Contact sheet


@pytest.fixture
def farm(tmp_path):
    """Four images with hints of all kinds, one broken, in a data set with ugly class names."""
    root = tmp_path / "farm"
    for folder in ("images", "hints", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(4):
        PillowImage.fromarray(GREY + index).save(root / f"images/i{index}.png")
        PillowImage.fromarray(np.full((60, 80), index % 3, np.uint8)).save(
            root / f"masks/i{index}.png"
        )
    shapes = [
        {"label": "cow", "shape_type": "point", "points": [[5, 5]]},
        {"label": EVIL, "shape_type": "linestrip", "points": [[5, 5], [50, 50]]},
        {"label": EVIL, "shape_type": "linestrip", "points": [[5, 50], [50, 5]]},
    ]
    document = {"shapes": shapes, "flags": {"sky": True}}
    (root / "hints/i0.json").write_text(json.dumps(document))
    (root / "hints/i1.json").write_text(json.dumps({"shapes": [{"label": "<b>"}]}))
    painted = np.full((60, 80), 255, np.uint8)
    painted[:30] = 1
    PillowImage.fromarray(painted).save(root / "hints/i2.png")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": list(CLASSES)}), encoding="utf-8")
    return root


def check_html(root, tmp_path):
    write_check_page(check(root), tmp_path / "check.html")
    return (tmp_path / "check.html").read_text(encoding="utf-8")


def test_the_contact_sheet_needs_nothing_but_itself(farm, tmp_path):
    html = check_html(farm, tmp_path)
    assert_self_contained(html)
    assert "alert(&#39;$x_1$ &amp; 牛&#39;)" in html


def test_the_contact_sheet_shows_images_with_hints_or_problems(farm, tmp_path):
    html = check_html(farm, tmp_path)
    assert re.findall(r"<b>(i\d)</b>", html) == ["i0", "i1", "i2"]
    assert html.count("<img") == 3
    assert "cow: 1 point" in html
    assert ": 2 scribbles" in html
    assert "sky: tag" in html
    assert ": painted" in html


def test_problems_stand_on_the_contact_sheet_with_their_file(farm, tmp_path):
    html = check_html(farm, tmp_path)
    assert '<td class="path">hints/i1.json</td>' in html
    assert "no class named &#39;&lt;b&gt;&#39;" in html


def test_a_broken_image_leaves_a_place_on_the_contact_sheet(farm, tmp_path):
    (farm / "images/i0.png").write_bytes(b"")
    assert "cannot be shown" in check_html(farm, tmp_path)


def test_a_large_set_is_shown_in_part_and_the_page_says_so(farm, tmp_path, monkeypatch):
    monkeypatch.setattr(check_page, "MOST_PICTURES", 2)
    monkeypatch.setattr(check_page, "MOST_PROBLEMS", 1)
    html = check_html(farm, tmp_path)
    assert "2 of 3 images, evenly chosen" in html
    assert html.count("<figure>") == 2
    assert re.search(r"and [1-9]\d* more", html)


def test_masks_are_shown_where_nobody_gave_a_hint(farm, tmp_path):
    for path in (farm / "hints").iterdir():
        path.unlink()
    html = check_html(farm, tmp_path)
    assert "Images and their masks" in html
    assert html.count("<img") == 4


def test_a_data_set_that_cannot_be_opened_has_a_page_with_its_problem(tmp_path):
    html = check_html(tmp_path, tmp_path)
    assert "no such file" in html
    assert "<img" not in html


# Run report


def log_lines(count, stage="train"):
    return [
        {"stage": stage, "step": 10 * i + 9, "loss": 2 / (i + 1), "losses": {"a": 1.0}, "lr": 0.1}
        for i in range(count)
    ]


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "run")
    run.root.mkdir()
    config = {"method": "partial", "data": "/x/farm", "train": {"lr": 0.001, "scale": [0.5, 1.5]}}
    run.config_file.write_text(yaml.safe_dump(config))
    run.record({"method": "partial", "seed": 7, "data": {"sha256": "abc123"}, "note": EVIL})
    for line in log_lines(30):
        run.log(line)
    run.log({"stage": "train", "step": 99, "val": {"miou": 0.25, "pixel_accuracy": 0.6}})
    run.log({"stage": "train", "step": 199, "val": {"miou": 0.5, "pixel_accuracy": 0.7}})
    return run


def maps():
    truth = np.zeros((60, 80), dtype=np.int16)
    truth[:, 40:], truth[:5] = 1, VOID
    return np.zeros_like(truth), truth


def report_html(run, **arguments):
    write_report(run, classes=CLASSES, **arguments)
    return run.report_file.read_text(encoding="utf-8")


def test_the_report_needs_nothing_but_itself(run):
    prediction, truth = maps()
    evaluation = evaluate_pairs([("one", prediction, truth)], 3, trimaps=[5])
    rows = [PictureRow(EVIL, GREY, GREY, prediction, truth, 0.25, tags=(1,))]
    html = report_html(run, evaluation=evaluation, rows=rows)
    assert_self_contained(html)
    for text in ("partial", "farm", "abc123", "0.5, 1.5", "mIoU within 5 px", "worst first"):
        assert text in html


def test_the_report_states_the_figures_of_the_evaluation(run):
    prediction, truth = maps()
    html = report_html(run, evaluation=evaluate_pairs([("one", prediction, truth)], 3))
    assert "<b>25.0 %</b><span>mIoU on val</span>" in html
    assert "<b>50.0 %</b><span>pixel accuracy</span>" in html
    assert "<b>50.0 %</b><span>best validation mIoU, after 200 steps</span>" in html
    assert html.count('<td class="zero">absent</td>') == 1  # sky


def test_a_run_without_evaluation_shows_pictures_and_no_figures(run):
    html = report_html(run, rows=[PictureRow("one", GREY, None, maps()[0])])
    assert "Confusion" not in html
    assert "truth" not in html
    assert html.count('alt="one: ') == 2


def test_columns_without_any_picture_are_left_out(run):
    prediction, truth = maps()
    rows = [
        PictureRow("one", GREY, GREY, prediction),
        PictureRow("two", GREY, None, prediction, truth, 0.1),
    ]
    html = report_html(run, rows=rows)
    assert html.count('alt="one: ') == 3
    assert html.count('alt="two: ') == 3
    assert html.count('<div class="nothing">none</div>') == 2


@pytest.mark.parametrize("name", ["log.jsonl", "config.yaml", "run.json"])
def test_a_missing_record_does_not_stop_the_report(run, name):
    (run.root / name).unlink()
    assert_self_contained(report_html(run))


def test_an_empty_run_folder_gets_a_report(tmp_path):
    assert "<h1>" in report_html(Run(tmp_path))


# Curves


@pytest.mark.parametrize("count", [1, 2, 3, 19, 20, 21, 200])
def test_a_log_of_any_length_has_its_curves(count):
    charts = stage_charts(log_lines(count))
    assert [chart.title for chart in charts["train"]] == ["Loss", "Learning rate"]


def test_each_stage_has_its_own_curves_in_order():
    log = [*log_lines(3, "second"), *log_lines(3, "first")]
    assert list(stage_charts(log)) == ["second", "first"]


def test_the_terms_of_a_loss_are_shown_if_there_are_several():
    line = {"stage": "train", "step": 9, "loss": 3.0, "losses": {"a": 1.0, "b": 2.0}}
    assert [c.title for c in stage_charts([line])["train"]] == ["Loss", "Terms of the loss"]


def test_lines_without_finite_numbers_are_passed_over():
    odd = [{"stage": "x", "step": 1, "loss": float("nan"), "val": None}, {"loss": None}, {}]
    assert stage_charts(odd) == {}


def test_the_same_log_gives_the_same_curves():
    assert stage_charts(log_lines(25)) == stage_charts(log_lines(25))


# Tables


def test_the_rows_of_the_confusion_matrix_are_percent_of_the_truth():
    confusion = np.array([[30, 10, 0, 0], [0, 0, 0, 0], [1, 0, 996, 3]])
    cells = figures.confusion_cells(confusion, CLASSES)
    assert [[cell.text for cell in row] for row in cells] == [
        ["75", "25", "", ""],
        ["", "", "", ""],
        ["", "", "100", ""],
    ]
    assert cells[0][0].strong
    assert figures.column_names(confusion, CLASSES)[-1] == "none"
    assert figures.column_names(confusion[:, [0, 1, 2, 1]] * 0, CLASSES) == [*CLASSES.names]


def test_mistakes_come_with_the_most_frequent_first():
    confusion = np.array([[30, 10, 0, 0], [0, 0, 0, 0], [1, 0, 996, 3]])
    found = figures.mistakes(confusion, CLASSES)
    assert [(m.truth, m.predicted, m.pixels) for m in found] == [
        ("cow", EVIL, 10),
        ("sky", "none", 3),
        ("sky", "cow", 1),
    ]


def test_an_absent_class_has_no_iou():
    rows = figures.class_rows(metrics_of(np.array([[3, 1, 0, 0], [0, 4, 0, 0], [0] * 4])), CLASSES)
    assert [row.iou for row in rows] == [75.0, 80.0, None]
    assert [row.share for row in rows] == ["50.0 %", "50.0 %", "0.0 %"]


def test_a_matrix_of_many_classes_is_a_picture(run):
    classes = ClassSet(tuple(f"class {index}" for index in range(60)))
    truth = np.arange(60, dtype=np.int16)[:, None].repeat(80, axis=1)
    evaluation = evaluate_pairs([("one", truth, truth)], 60)
    write_report(run, classes=classes, evaluation=evaluation)
    html = run.report_file.read_text()
    assert 'alt="confusion matrix"' in html
    assert '<table class="matrix"' not in html
    picture = decoded(figures.confusion_picture(evaluation.metrics.confusion, classes))
    assert tuple(picture[6, 6]) == pytest.approx(figures.RIGHT, abs=6)
    assert tuple(picture[6, 400]) == pytest.approx((255, 255, 255), abs=6)


# Choice of pictures


class Constant(Predictor):
    """Predicts the first class everywhere."""

    def __init__(self):
        self.classes, self.reading, self.model = CLASSES, AS_STORED, None

    def predict_by(self, options, image, **more):
        return self.predict(image)

    def check(self, options):
        pass

    def predict(self, image, **options):
        labels = np.zeros(image.shape[:2], dtype=np.int16)
        return Prediction(labels, torch.ones(3, 1, 1), CLASSES)


def test_the_worst_images_come_first(farm):
    dataset = open_dataset(farm)
    names = ("i0", "i1", "i2", "i3")  # of classes 0, 1, 2, 0
    truths = {name: dataset.truth(name) for name in names}
    evaluation = evaluate_pairs(
        [(n, np.zeros((60, 80), np.int16), t) for n, t in truths.items()], 3
    )
    (farm / "hints/i1.json").unlink()
    rows = picture_rows(dataset, Constant(), evaluation, names, most=3)
    assert [row.name for row in rows] == ["i1", "i2", "i0"]
    assert [row.score for row in rows] == [0.0, 0.0, 1.0]
    assert rows[2].tags == (2,)
    assert [row.hints is None for row in rows] == [True, False, False]


def test_without_masks_pictures_are_evenly_chosen_and_have_no_score(farm):
    for path in (farm / "masks").iterdir():
        path.unlink()
    rows = picture_rows(open_dataset(farm), Constant(), None, ("i0", "i1", "i2", "i3"), most=2)
    assert [(row.name, row.truth, row.score) for row in rows] == [
        ("i0", None, None),
        ("i2", None, None),
    ]


def test_broken_masks_and_hints_do_not_cost_a_run_its_report(farm):
    (farm / "masks/i1.png").write_bytes(b"")
    (row,) = picture_rows(open_dataset(farm), Constant(), None, ("i1",))
    assert (row.truth, row.hints) == (None, None)


def test_a_run_is_reported_with_and_without_masks_to_evaluate_on(farm, run):
    (farm / "train.txt").write_text("i0\ni2\n")
    (farm / "val.txt").write_text("i3\ni1\n")
    content = {"classes": [*CLASSES.names], "splits": {"train": "train.txt", "val": "val.txt"}}
    (farm / "dataset.yaml").write_text(yaml.safe_dump(content))
    report_run(run, open_dataset(farm), Constant())
    html = run.report_file.read_text()
    assert "mIoU on val" in html
    assert re.findall(r"<header><b>(i\d)</b>", html) == ["i1", "i3"]
    (farm / "masks/i3.png").unlink()
    report_run(run, open_dataset(farm), Constant())
    html = run.report_file.read_text()
    assert "mIoU on val" not in html
    assert sorted(re.findall(r"<header><b>(i\d)</b>", html)) == ["i0", "i2"]
