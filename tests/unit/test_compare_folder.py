"""The folder of a comparison: cells that are done, failed, damaged; tables, page, verification."""

import csv
import io
import json
import re
import shlex
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PillowImage

from conftest import TINY, draw_data, room_for
from hintseg import cli
from hintseg.compare import cell as cell_module
from hintseg.compare import judging
from hintseg.compare.cell import do_cell, file_hash, out_of_memory_named
from hintseg.compare.collecting import collect
from hintseg.compare.comparing import planned
from hintseg.compare.document import BEGIN, END, write_into
from hintseg.compare.estimate import estimate
from hintseg.compare.folder import CompareFolder
from hintseg.compare.grid import Request
from hintseg.compare.plan import read_plan
from hintseg.compare.results import read_results
from hintseg.compare.running import reason_of
from hintseg.compare.verifying import Verification, judged
from hintseg.compare.words import sentences
from hintseg.errors import DataError, RunError, WriteError
from hintseg.evaluation import evaluate
from hintseg.images.label_maps import read_label_map

SETTINGS = {"train": {**TINY, "steps": 2}}
EVIL = "<b>&cow"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A comparison of two seeds, done in this process; no test may change it."""
    root = tmp_path_factory.mktemp("compared")
    data = draw_data(root / "data")
    text = (data / "dataset.yaml").read_text()
    (data / "dataset.yaml").write_text(text.replace("cow", f"'{EVIL}'"))
    for file in (data / "hints").glob("*.json"):
        file.write_text(file.read_text().replace('"cow"', f'"{EVIL}"'))
    request = Request(
        str(data),
        methods=["full", "partial"],
        hints=["points", "tags"],
        seeds=[0, 1],
        settings=SETTINGS,
        variants=["crf", "retrieval"],
    )
    plan = planned(request, root / "out")
    for cell in plan.todo:
        do_cell(root / "out", cell.name)
    return root / "out"


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(finished, tmp_path / "copy")


def test_a_cell_carries_all_that_its_figures_need(finished):
    record = CompareFolder(finished).cell(read_plan(finished).find("points-partial-0")).record()
    needed = {
        "commands",
        "source",
        "versions",
        "init",
        "hints_sha256",
        "steps",
        "device",
        "seconds",
    }
    assert needed <= record.keys()
    assert record["seconds"] > 0
    assert record["init"]["weights"] == "random"
    assert len(record["init"]["sha256"]) == 64
    assert record["hints_used"]["point"]["images"] == 4
    figures = json.loads(
        (finished / "cells" / "points-partial-0" / "figures" / "test-crf.json").read_text()
    )
    assert (figures["crf"], figures["scales"], figures["flip"]) == ("deeplab", [1.0], False)


def test_its_commands_give_the_same_weights_and_figures(finished, tmp_path, monkeypatch, capsys):
    files = CompareFolder(finished).cell(read_plan(finished).find("points-partial-1"))
    record = files.record()
    draw, train, *judge = (shlex.split(line)[1:] for line in record["commands"])
    out = tmp_path / "again"
    moved = {str(draw[-1]): str(out / "data"), str(files.run): str(out / "run")}
    for words in (draw, train, [*judge[0], "--json", str(out / "test.json")]):
        monkeypatch.setattr(sys, "argv", ["hintseg", *(moved.get(word, word) for word in words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
    capsys.readouterr()
    assert file_hash(out / "run" / "model.safetensors") == record["model_sha256"]
    figures = json.loads(files.figures_file("test", "plain").read_text())
    again = json.loads((out / "test.json").read_text())
    assert again["per_class"] == figures["per_class"]


def test_what_is_done_is_not_done_again(copied, monkeypatch):
    monkeypatch.setattr(cell_module, "train", None)  # would be called
    monkeypatch.setattr(judging, "predicted_pairs", None)
    do_cell(copied, "points-partial-0")


def test_a_new_variant_is_evaluated_without_training(copied, monkeypatch):
    plan = planned(Request(read_plan(copied).data, variants=["scales"]), copied)
    monkeypatch.setattr(cell_module, "train", None)
    folder, cell = CompareFolder(copied), plan.find("points-partial-0")
    assert folder.state(plan, cell) == "to do"
    do_cell(copied, cell.name)
    assert folder.state(plan, cell) == "done"
    figures = json.loads(folder.cell(cell).figures_file("test", "scales").read_text())
    assert (figures["scales"], figures["flip"]) == ([0.75, 1.0, 1.25], True)


def test_figures_are_those_of_the_command_evaluate(finished):
    plan = read_plan(finished)
    files = CompareFolder(finished).cell(plan.find("masks-full-0"))
    for variant, crf in (("plain", None), ("crf", "deeplab")):
        found = json.loads(files.figures_file("val", variant).read_text())
        expected = evaluate(files.run, plan.data, split="val", crf=crf)
        assert found["per_class"] == expected.per_class
    predicted = read_label_map(files.pictures / "shed.png", classes=3, undeclared=-2)
    assert predicted.shape == (40, 56)


def test_the_tables_say_the_same_and_name_what_is_left_out(finished):
    plan = read_plan(finished)
    collect(finished, plan, seconds={"point": 10.0})
    text = (finished / "table.md").read_text()
    lines = text.splitlines()
    assert sum(line.startswith("| points | partial |") for line in lines) == 2  # plain and crf
    assert any("- partial on tags: skipped: the hints label pixels of 0" in line for line in lines)
    assert "| points | partial | points | plain |" in text
    assert "| masks | full | dense masks | plain |" in text
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    content = json.loads((finished / "table.json").read_text())
    assert content["seconds_of_annotation"]["point"] == 10.0
    rows = list(csv.DictReader(io.StringIO((finished / "table.csv").read_text())))
    assert {row["state"] for row in rows} == {"done", "skipped"}
    one = [r for r in rows if (r["cell"], r["split"]) == ("points-partial-0", "test")]
    kept = {cell["cell"]: cell for cell in content["cells"]}["points-partial-0"]
    assert float(one[0]["miou"]) == kept["figures"]["test"]["plain"]["miou"]
    assert "segment" in kept["figures"]["test"]["retrieval"]["missing"] or one[2]["note"]


def test_means_spreads_and_shares(finished):
    results = read_results(finished, read_plan(finished))
    rows = {row.label: row for row in results.rows}
    row, full = rows["partial, points"], rows["full"]
    scores = row.scores("test", "plain")
    assert results.mean(row) == pytest.approx(np.mean(scores))
    assert results.spread(row) == pytest.approx(abs(scores[0] - scores[1]) / 2)
    assert results.ceiling is full
    assert results.share(full) == 1
    assert results.mean(row, "retrieval") is None
    assert any("2 images only" in text for text in sentences(results))


def test_the_page_is_one_file_and_escapes_what_users_write(finished):
    plan = read_plan(finished)
    page = collect(finished, plan, seconds={}).read_text()
    assert page.count("<script") == 1  # it sorts the table
    assert EVIL not in page
    assert "&lt;b&gt;&amp;cow" in page
    for address in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert address.startswith("data:image/")
    assert page.count("data:image/jpeg") == 2 * 4  # two test images: photograph, truth, two rows
    assert "arXiv:1506.02106" in page


def test_pages_and_tables_of_a_comparison_that_has_only_begun(data_folder, tmp_path):
    request = Request(str(data_folder), methods=["partial"], hints=["points"], settings=SETTINGS)
    plan = planned(request, tmp_path / "out")
    page = collect(tmp_path / "out", plan, seconds={})
    assert "Not done yet: 1 of 1 cells" in page.read_text()
    assert "No cell is done yet" in (tmp_path / "out" / "table.md").read_text()


def test_a_failed_cell_keeps_its_reason_and_stands_in_the_table(copied, monkeypatch):
    plan, folder = read_plan(copied), CompareFolder(copied)
    files = folder.cell(plan.find("points-partial-0"))
    files.record_file.unlink()

    def train(*words, **settings):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried")

    monkeypatch.setattr(cell_module, "train", train)
    with pytest.raises(RunError, match=r"out of memory .*smaller --batch"):
        do_cell(copied, "points-partial-0")
    collect(copied, plan, seconds={})
    assert "seed 0 failed: out of memory" in (copied / "table.md").read_text()
    assert "out of memory" in (copied / "report.html").read_text()
    monkeypatch.undo()
    do_cell(copied, "points-partial-0")  # is tried again
    assert folder.state(plan, plan.find("points-partial-0")) == "done"


def test_other_errors_are_no_lack_of_memory():
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_named():
        raise RuntimeError("shapes differ")
    with pytest.raises(RunError, match="out of memory"), out_of_memory_named():
        raise MemoryError


def test_a_full_disk_is_a_failed_cell(copied):
    cell = read_plan(copied).find("points-partial-0")
    files = CompareFolder(copied).cell(cell)
    shutil.rmtree(files.root)
    with room_for(20_000), pytest.raises(WriteError, match="cannot be written"):
        do_cell(copied, cell.name)
    assert "cannot be written" in files.error()


def test_half_drawn_hints_are_drawn_anew(copied):
    plan = read_plan(copied)
    data = CompareFolder(copied).data(plan, plan.find("points-partial-0").hints, 0)
    do_cell(copied, "points-partial-0")  # draws them: the copy lies elsewhere
    before = (data / "hints" / "herd.json").read_bytes()
    (data / "dataset.yaml").unlink()
    (data / "hints" / "herd.json").write_text("{")
    shutil.rmtree(copied / "cells" / "points-partial-0")
    do_cell(copied, "points-partial-0")
    assert (data / "hints" / "herd.json").read_bytes() == before


def test_a_cell_that_makes_no_sense_is_not_done(copied):
    with pytest.raises(RunError, match=r"tags-partial-0: makes no sense: .*0 class"):
        do_cell(copied, "tags-partial-0")


def test_damaged_figures_are_a_failed_cell(copied):
    plan = read_plan(copied)
    CompareFolder(copied).cell(plan.find("1")).figures_file("test", "plain").write_text("{")
    result = read_results(copied, plan).cells[0]
    assert result.state == "failed"
    assert "damaged" in result.note or "cannot be read" in result.note


def test_what_is_done_tells_the_time_of_the_rest(copied):
    plan = planned(Request(read_plan(copied).data, seeds=[2]), copied)
    seconds = estimate(copied, plan)
    assert set(seconds) == {"masks-full-2", "points-partial-2"}
    took = [
        CompareFolder(copied).cell(plan.find(f"masks-full-{seed}")).record()["seconds"]
        for seed in (0, 1)
    ]
    assert seconds["masks-full-2"] >= min(took)


def test_a_foreign_folder_is_refused_and_a_refused_plan_leaves_nothing(data_folder, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    request = Request(str(data_folder), methods=["partial"], hints=["points"])
    with pytest.raises(DataError, match="exists already"):
        planned(request, tmp_path / "full")
    with pytest.raises(DataError):
        planned(Request(str(tmp_path / "none"), methods=["full"], hints=["tags"]), tmp_path / "new")
    assert not (tmp_path / "new").exists()


# Doing a cell again


def test_equal_cells_are_bit_equal_and_others_are_told(finished, copied):
    plan = read_plan(finished)
    cell = plan.find("points-partial-0")
    old, new = (CompareFolder(root).cell(cell) for root in (finished, copied))
    same = judged(old, new, plan, spread=0.01)
    assert same.bit_equal
    assert same.holds
    record = new.record()
    new.record_file.write_text(
        json.dumps(
            {**record, "model_sha256": "0", "versions": {**record["versions"], "torch": "9"}}
        )
    )
    figures = json.loads(new.figures_file("test", "plain").read_text())
    for gap, holds in ((0.005, True), (0.02, False)):
        changed = {**figures, "miou": figures["miou"] + gap}
        new.figures_file("test", "plain").write_text(json.dumps(changed))
        found = judged(old, new, plan, spread=0.01)
        assert (found.bit_equal, found.holds) == (False, holds)
        assert found.largest_difference == pytest.approx(gap)
        assert any(text.startswith("torch 9") for text in found.changed)


def test_figures_that_a_method_cannot_have_name_the_folder_and_are_equal_all_the_same(
    copied, tmp_path
):
    again = shutil.copytree(copied, tmp_path / "again")
    plan = read_plan(copied)
    cell = plan.find("points-partial-0")
    old, new = (CompareFolder(root).cell(cell) for root in (copied, again))
    for files in (old, new):
        reason = {"missing": f"{files.root}/run: has no prototypes"}
        files.figures_file("test", "retrieval").write_text(json.dumps(reason))
    more = replace(plan, variants=(*plan.variants, "retrieval"), splits=("test",))
    assert judged(old, new, more, spread=0.01).bit_equal
    new.figures_file("test", "retrieval").write_text(json.dumps({"miou": 0.0}))
    assert not judged(old, new, more, spread=0.01).bit_equal


def test_without_a_reason_nothing_but_bits_counts():
    assert not Verification("c", False, True, 0.0, 0.1, ()).holds
    assert "on the same machine and code" in str(Verification("c", False, True, 0.0, 0.1, ()))
    assert not Verification("c", False, False, 0.0, 0.1, ("torch 9, was 8",)).holds


# What a process said


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (1, "hintseg: warning: odd\nhintseg: RUN: no room\n", "RUN: no room"),
        (1, 'Traceback\n  File "x"\nValueError: no', "ValueError: no"),
        (1, "", "nothing said"),
        (-9, "working", "killed by signal 9; most often for want of memory"),
        (-15, "", "killed by signal 15"),
    ],
)
def test_the_reason_is_what_it_said_last(tmp_path, code, text, expected):
    (tmp_path / "log.txt").write_text(text)
    assert expected in reason_of(code, tmp_path / "log.txt")


def test_pictures_of_the_page_are_as_small_as_they_are_shown(finished):
    names = sorted((finished / "cells" / "masks-full-0" / "pictures").glob("*.png"))
    assert [path.stem for path in names] == ["shed", "valley"]
    with PillowImage.open(names[0]) as picture:
        assert picture.mode == "P"


# Documents


def test_tables_go_between_the_marks_of_a_document_and_nothing_else_changes(finished, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"# Results\n\n{BEGIN}\nWRONG\n{END}\n\nmine\n")
    write_into(page, [finished])
    text = page.read_text()
    assert text.startswith(f"# Results\n\n{BEGIN}\n### data: 4 of 6 cells")
    assert text.endswith(f"{END}\n\nmine\n")
    assert "WRONG" not in text
    ours, published = text.split("### Published, not run here")
    assert "| points | partial | points | plain |" in ours
    assert "76.1" in published
    write_into(page, [finished])
    assert page.read_text() == text


def test_a_document_without_marks_is_refused(finished, tmp_path):
    (tmp_path / "results.md").write_text("# Results\n")
    with pytest.raises(DataError, match="has no lines"):
        write_into(tmp_path / "results.md", [finished])
