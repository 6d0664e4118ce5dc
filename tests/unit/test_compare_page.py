"""Table, words and page of a comparison of many cells, and how long its cells take."""

import re
from dataclasses import replace

import pytest

from conftest import TINY, draw_data
from fabricated import fabricate
from hintseg.compare.charts import MANY, _colours
from hintseg.compare.collecting import collect
from hintseg.compare.comparing import previewed
from hintseg.compare.estimate import estimate
from hintseg.compare.folder import CompareFolder
from hintseg.compare.grid import Request
from hintseg.compare.reckoning import evaluation_work, training_work, variant_cost, work_of
from hintseg.compare.results import read_results
from hintseg.compare.tables import left_out, markdown
from hintseg.compare.words import pairs_of, sentences, summary
from hintseg.files import read_json, write_json
from hintseg.methods import OWN

METHODS = ["full", "partial", "regularized", "sec", "cam", "seam", "spml"]
SETTINGS = {"train": {**TINY, "steps": 100}}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Forty cells and more, two of them not done; no test may change it."""
    root = tmp_path_factory.mktemp("many")
    request = Request(
        str(draw_data(root / "data")),
        methods=METHODS,
        hints=["tags", "points", "scribbles"],
        fractions=[1.0, 0.3],
        seeds=[0, 1],
        settings=SETTINGS,
        variants=["crf"],
        splits=["test"],
    )
    out = root / "out"
    plan = previewed(request, out)
    fabricate(out, plan, plan.dataset(), leave=("points-spml-1", "points-sec-1"))
    error = CompareFolder(out).cell(plan.find("points-sec-1")).error_file
    write_json(error, {"error": "out of memory; use a smaller --batch"})
    return out, plan


def test_a_method_that_would_be_partial_once_more_is_skipped(many):
    _, plan = many
    reasons = {(cell.method, cell.hints.name): cell.reason for cell in plan.cells}
    for method in ("cam", "seam"):
        assert not reasons[method, "tags"]
        assert "partial once more" in reasons[method, "points"]
        assert "partial once more" in reasons[method, "scribbles"]
    assert not reasons["sec", "points"]
    assert not reasons["spml", "points"]


def test_the_table_can_be_pasted(many):
    out, plan = many
    text = markdown(read_results(out, plan), {})
    parts = text.split("\n\n")
    lines = parts[0].splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert len(lines) == 2 + 2 * len(read_results(out, plan).drawn)
    assert all(line.startswith("- ") for part in parts[1:-1] for line in part.splitlines())


def test_what_is_left_out_is_told_once_for_each_reason_failures_first(many):
    out, plan = many
    told = left_out(read_results(out, plan))
    assert told[0] == "sec on points: seed 1 failed: out of memory; use a smaller --batch"
    again = [text for text in told if "partial once more" in text]
    assert len(again) == 1
    assert again[0].startswith("cam on points, scribbles, scribbles 30 %; seam on points, ")


def test_a_row_says_what_it_learned_from(many):
    out, plan = many
    learned = {row.label: row.learned for row in read_results(out, plan).rows}
    assert learned["full"] == "dense masks"
    assert learned["cam, tags"] == "tags, by seeds"
    assert learned["partial, points"] == "points"
    assert learned["spml, scribbles 30 %"] == "scribbles, no seeds"
    assert learned["cam, points"] == ""  # was skipped


def test_each_method_is_held_against_the_best_on_the_same_hints(many):
    out, plan = many
    results = read_results(out, plan)
    pairs = pairs_of(results)
    for pair in pairs:
        assert results.mean(pair.best) >= results.mean(pair.other)
        assert pair.best.hints == pair.other.hints == pair.hints
        assert pair.found.mean == pytest.approx(sum(pair.found.by_seed) / len(pair.found.by_seed))
    hints = {row.hints for row in results.drawn if row.hints.name != "masks"}
    assert len(pairs) == len([r for r in results.drawn if r.hints.name != "masks"]) - len(hints)
    told = " ".join(sentences(results))
    assert all(pair.verdict in told for pair in pairs)


def test_a_difference_within_the_seeds_is_never_called_better(many):
    out, plan = many
    results = read_results(out, plan)
    for text in summary(results):
        better = re.search(r"better than ([^;.]*)", text)
        for name in better[1].split(", ") if better else []:
            start = text.split(",")[0].removeprefix("With ")
            pair = next(
                p for p in pairs_of(results) if (p.hints.label, p.other.method) == (start, name)
            )
            assert pair.found.beyond_images
            assert not pair.found.within_seeds


def test_no_two_methods_have_one_colour(many):
    out, plan = many
    colours = _colours(read_results(out, plan))
    assert set(colours) == set(METHODS)
    assert len(set(colours.values())) == len(METHODS)
    assert len(set(MANY)) == len(MANY) >= len(OWN)  # enough for all methods at once


def test_one_training_by_two_names_is_told(many, tmp_path):
    out, plan = many
    results = read_results(out, plan)
    same = {"model_sha256": "same"}
    cells = [
        replace(one, record={**one.record, **same})
        if one.cell.method in ("sec", "spml") and one.cell.hints.name == "scribbles"
        else one
        for one in results.cells
    ]
    told = [text for text in sentences(replace(results, cells=cells)) if "same weights" in text]
    assert len(told) == 2  # on whole strokes and on shortened ones
    assert re.match(r"With scribbles, (sec and spml|spml and sec) gave the same weights", told[0])
    assert not any("same weights" in text for text in sentences(results))


def test_the_page_of_many_cells_keeps_what_is_skipped_apart(many):
    out, plan = many
    page = collect(out, plan, seconds={}).read_text()
    table = page.partition('<table id="rows">')[2].partition("</table>")[0]
    assert table.count("<tr") == 1 + len(read_results(out, plan).drawn)
    assert "skipped" not in table
    assert "Without figures (3)" in page
    assert "<details open><summary>Without figures" in page  # one of them failed
    for title in ("Accuracy against annotation time", "Accuracy against the share of strokes kept"):
        assert f"<figcaption>{title}</figcaption>" in page
    assert "prefers-color-scheme: dark" in page


def cell_of(plan, name):
    return plan.find(name)


def test_stages_and_seeds_make_a_cell_longer(many):
    _, plan = many
    dataset = plan.dataset()
    work = {
        name: training_work(plan, cell_of(plan, name), dataset)
        for name in (
            *("masks-full-0", "points-partial-0", "points-sec-0", "points-spml-0"),
            *("tags-cam-0", "tags-seam-0", "tags-sec-0", "tags-spml-0"),
        )
    }
    steps = 100 * 2  # in batches of two
    assert work["masks-full-0"] == work["points-partial-0"] == steps
    assert work["masks-full-0"] < work["tags-cam-0"] < work["tags-seam-0"]
    assert work["points-sec-0"] < work["tags-sec-0"]
    assert work["points-spml-0"] < work["tags-spml-0"]
    assert work["tags-cam-0"] >= 1.4 * steps  # a classifier of tags takes 0.4 of the steps


def test_evaluation_grows_with_images_and_variants(many):
    _, plan = many
    dataset = plan.dataset()
    one = evaluation_work(replace(plan, variants=("plain",)), dataset)
    assert one == pytest.approx(2 / 3)  # two test images, a third of a step each
    assert evaluation_work(replace(plan, variants=("plain", "crf")), dataset) == pytest.approx(
        one * (1 + variant_cost("crf"))
    )


def test_cells_that_are_done_say_how_long_others_take(many, tmp_path):
    out, plan = many
    seconds = estimate(out, plan)
    assert set(seconds) == {"points-spml-1", "points-sec-1"}
    like = CompareFolder(out).cell(plan.find("points-spml-0"))
    took = read_json(like.record_file)["seconds"] + 2 * 3.0  # two figures
    assert seconds["points-spml-1"] == pytest.approx(took)
    unseen = replace(plan.find("tags-seam-0"), method="irn")
    more = replace(plan, cells=(*plan.cells, unseen))
    dataset = plan.dataset()
    known = {
        cell.name: estimate_of(out, plan, cell) / work_of(plan, cell, dataset)
        for cell in plan.todo
        if CompareFolder(out).is_done(plan, cell)
    }
    share = sorted(known.values())[len(known) // 2]
    expected = share * work_of(more, unseen, dataset)
    assert estimate(out, more)[unseen.name] == pytest.approx(expected, rel=0.2)


def estimate_of(out, plan, cell):
    return read_json(CompareFolder(out).cell(cell).record_file)["seconds"] + 6.0
