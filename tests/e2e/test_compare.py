"""`hintseg compare` as a user runs it: processes, interruptions, two at once, refusals."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hintseg import cli
from hintseg.compare.folder import CompareFolder
from hintseg.compare.plan import read_plan

BUDGET = ["--steps", "2", "--crop", "32", "--batch", "2", "--device", "cpu", "--variants", "plain"]
TINY = ["--backbone", "test_efficientnet", "--set", "train.weights=random", "--set", "train.dim=8"]
GRID = ["--methods", "full,partial", "--hints", "points,tags"]


def words(*more):
    return [sys.executable, "-m", "hintseg", "compare", *map(str, more)]


@pytest.fixture
def hintseg(monkeypatch, capsys):
    """Run `hintseg compare` in this process; cells are processes all the same."""

    def run(*more):
        monkeypatch.setattr(sys, "argv", ["hintseg", "compare", *map(str, more)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        if isinstance(code, str):
            code, err = 1, err + code  # as the interpreter does
        assert "Traceback" not in out + err
        return code, out, err

    return run


def test_a_comparison_from_the_list_of_its_cells_to_one_that_is_done_again(
    hintseg, data_folder, tmp_path
):
    out, asked = tmp_path / "out", [data_folder, *GRID, *BUDGET, *TINY, "--out", tmp_path / "out"]
    code, said, _ = hintseg(*asked, "--dry-run")
    assert (code, "2 of 3 cells to do" in said, out.exists()) == (0, True, False)
    assert "3 tags-partial-0: skipped: the hints label pixels of 0 class(es)" in said
    code, said, err = hintseg(*asked, "--jobs", "2")
    assert (code, err) == (0, "")
    assert "masks-full-0: finished" in said
    for name in ("table.md", "table.csv", "table.json", "report.html"):
        assert (out / name).stat().st_size > 300
    assert "| points | partial | points | plain |" in (out / "table.md").read_text()
    code, said, _ = hintseg("--verify", out, "points-partial-0")
    assert (code, "points-partial-0: bit-equal" in said) == (0, True)
    content = json.loads((out / "verified" / "points-partial-0.json").read_text())
    assert content["holds"]
    assert not (out / "verify" / "points-partial-0").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_in_the_middle_it_goes_on_and_leaves_no_orphan(hintseg, data_folder, tmp_path):
    out = tmp_path / "out"
    long = [*BUDGET[2:], "--steps", "3000", "--set", "train.log_every=1"]
    asked = [data_folder, "--methods", "partial", "--hints", "points", *long, *TINY, "--out", out]
    log = out / "cells" / "points-partial-0" / "run" / "log.jsonl"
    process = subprocess.Popen(words(*asked), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while not (log.exists() and log.stat().st_size) and time.monotonic() < until:
            time.sleep(0.1)
        code, _, err = hintseg(out)
        assert code == 1
        assert f"process {process.pid} on" in err
        assert "is comparing here" in err
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    spent = out / "cells" / "points-partial-0" / "seconds.txt"
    until = time.monotonic() + 60
    while not spent.exists() and time.monotonic() < until:  # the cell ends by itself, and saves
        time.sleep(0.1)
    assert spent.exists()
    assert list((out / "cells" / "points-partial-0" / "run" / "checkpoint").iterdir())
    reached = len(log.read_text().splitlines())
    assert 0 < reached < 3000


def test_one_cell_of_a_queue_and_what_gathers_them(hintseg, data_folder, tmp_path):
    out = tmp_path / "out"
    asked = [data_folder, *GRID, *BUDGET, *TINY, "--out", out]
    assert hintseg(*asked, "--cell", "2")[:2] == (0, "points-partial-0: finished\n")
    plan, folder = read_plan(out), CompareFolder(out)
    states = {cell.name: folder.state(plan, cell) for cell in plan.cells}
    assert list(states.values()) == ["to do", "done", "skipped"]
    code, said, _ = hintseg(out, "--collect")
    assert (code, "report.html: written" in said) == (0, True)
    assert "| points | partial | points | plain |" in (out / "table.md").read_text()
    code, _, err = hintseg(out, "--cell", "tags-partial-0")
    assert (code, "makes no sense" in err) == (1, True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--methods", "ful", "--hints", "tags"], "no method named 'ful'; did you mean 'full'"),
        (["--methods", "full", "--hints", "tags", "--seeds", "a"], "--seeds a: must be numbers"),
        (["--methods", "full", "--hints", "tags", "--seeds", "1.5"], "must be whole numbers"),
        (["--methods", "full", "--hints", "tags", "--seconds", "box=x"], "kind=seconds"),
        (["--methods", "full", "--hints", "tags", "--jobs", "0"], "--jobs 0"),
        (["--methods", "full", "--hints", "tags", "--collect", "--dry-run"], "give one of them"),
        (["--verify"], "holds no comparison"),
    ],
)
def test_mistakes_are_told_in_a_line(data_folder, tmp_path, monkeypatch, more, message):
    monkeypatch.setattr("sys.argv", ["hintseg", "compare", str(data_folder), *more])
    monkeypatch.setattr("sys.argv", [*sys.argv, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert message in str(stop.value.code)
    assert len(str(stop.value.code).splitlines()) <= 2
    assert not (tmp_path / "out").exists()
