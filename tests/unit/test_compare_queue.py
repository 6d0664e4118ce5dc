"""Cells as processes: GPUs of their own, claims of other processes and machines."""

import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

from conftest import TINY
from hintseg import locks
from hintseg.compare import cell as cell_module
from hintseg.compare import running
from hintseg.compare.cell import do_cell
from hintseg.compare.comparing import planned
from hintseg.compare.devices import VISIBLE, visible_gpus
from hintseg.compare.folder import CompareFolder
from hintseg.compare.grid import Request
from hintseg.compare.running import run_cells
from hintseg.errors import RunError
from hintseg.locks import held, holder, kept_by_another

SETTINGS = {"train": {**TINY, "steps": 2, "device": "auto"}}
STAND_IN = """
import json, os, sys, time
folder = sys.argv[1]
time.sleep(0.6)
NAME = "CUDA_VISIBLE_DEVICES"
with open(folder + "/seen.json", "w") as file:
    json.dump({NAME: os.environ.get(NAME)}, file)
"""


@pytest.fixture
def plan(data_folder, tmp_path):
    request = Request(
        str(data_folder), methods=["full"], hints=["points"], seeds=range(4), settings=SETTINGS
    )
    return planned(request, tmp_path / "out")


@pytest.fixture
def stand_in(monkeypatch):
    """In place of a cell, a process that only writes down its environment."""
    spawned = running.spawned

    def spawn(words, log, jobs, *, environment):
        folder = f"{words[4]}/cells/{words[6]}"
        return spawned([words[0], "-c", STAND_IN, folder], log, jobs, environment=environment)

    monkeypatch.setattr(running, "spawned", spawn)


def seen(root, plan):
    folders = [CompareFolder(root).cell(cell).root for cell in plan.cells]
    return [json.loads((folder / "seen.json").read_text())[VISIBLE] for folder in folders]


@pytest.mark.parametrize(
    ("visible", "jobs", "expected"),
    [
        ("4,7", 2, {"4": 2, "7": 2}),
        ("0,1,2", 4, {"0": 2, "1": 1, "2": 1}),
        ("3", 2, {"3": 4}),
    ],
)
def test_each_job_sees_a_gpu_of_its_own(
    plan, tmp_path, monkeypatch, stand_in, visible, jobs, expected
):
    monkeypatch.setenv(VISIBLE, visible)
    said = []
    run_cells(tmp_path / "out", plan, jobs=jobs, say=said.append)
    found = seen(tmp_path / "out", plan)
    assert {gpu: found.count(gpu) for gpu in sorted(set(found))} == expected


def test_the_gpus_of_the_environment_are_taken_as_they_are_named(monkeypatch):
    monkeypatch.setenv(VISIBLE, "GPU-1a, GPU-2b")
    assert visible_gpus() == ["GPU-1a", "GPU-2b"]
    monkeypatch.setenv(VISIBLE, "-1")
    assert visible_gpus() == []


def _hold(path, ready):
    with held(path, "at work"):
        ready.set()
        signal.pause()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_cell_that_another_process_does_is_left_to_it_and_is_no_failure(
    plan, tmp_path, monkeypatch, stand_in
):
    root, said = tmp_path / "out", []
    monkeypatch.setattr(running, "PATIENCE", 0.5)
    theirs = CompareFolder(root).cell(plan.cells[0])
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(theirs.lock_file, ready))
    process.start()
    assert ready.wait(20)
    try:
        assert holder(theirs.lock_file).startswith(f"process {process.pid} on ")
        assert run_cells(root, plan, jobs=4, say=said.append)
    finally:
        process.kill()
        process.join()
    assert f"masks-full-0: left to process {process.pid}" in said[-1]
    assert not theirs.error_file.exists()
    assert not (theirs.root / "seen.json").exists()
    assert all("finished" in line for line in said[:-1])
    assert holder(theirs.lock_file) == ""
    assert kept_by_another(theirs.lock_file, 0) == ""  # a dead one keeps nobody


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_cell_is_done_by_one_process_at_a_time(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(cell_module, "WAIT", 0.2)
    files = CompareFolder(tmp_path / "out").cell(plan.cells[0])
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(files.lock_file, ready))
    process.start()
    assert ready.wait(20)
    try:
        with pytest.raises(RunError, match=rf"process {process.pid} on .* working on cell masks"):
            do_cell(tmp_path / "out", plan.cells[0].name)
    finally:
        process.kill()
        process.join()
    assert not files.error_file.exists()  # it is not a failure of the cell
    done = []
    monkeypatch.setattr(cell_module, "_do", done.append)
    do_cell(tmp_path / "out", plan.cells[0].name)  # the claim of the dead is taken over
    assert len(done) == 1


def test_a_live_claim_of_another_machine_is_refused_and_a_dead_one_is_taken_over(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(locks, "STILL", 0.4)
    path, ended = tmp_path / "lock", threading.Event()
    path.write_text("process 7 on elsewhere")

    def beat():
        while not ended.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    with (
        pytest.raises(RunError, match="process 7 on elsewhere is at work here"),
        held(path, "at work"),
    ):
        pass
    assert kept_by_another(path, 7) == "process 7 on elsewhere"
    ended.set()
    thread.join()
    with held(path, "at work"):
        assert f"process {os.getpid()} on" in path.read_text()
    assert path.read_text() == ""


def test_who_holds_a_lock_shows_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.02)
    path = tmp_path / "lock"
    with held(path, "at work"):
        first = path.stat().st_mtime_ns
        until = time.monotonic() + 5
        while path.stat().st_mtime_ns == first and time.monotonic() < until:
            time.sleep(0.01)
        assert path.stat().st_mtime_ns > first


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refused(_):
        raise OSError(locks.errno.ENOLCK, "no locks available")

    monkeypatch.setattr(locks, "_taken", refused)
    with pytest.raises(RunError, match="has no locks"), held(tmp_path / "lock", "at work"):
        pass
