"""The parts of a comparison: its grid, its plan, locks, effort, bootstrap and sentences."""

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from conftest import TINY, draw_data
from hintseg.bootstrap import counts_of, difference, miou_of
from hintseg.compare.choices import HintChoice, checked_variants, hint_choices, variant_words
from hintseg.compare.effort import RATES, checked_rates, count_work, seconds_of, work_of_hints
from hintseg.compare.grid import Request, make_plan
from hintseg.compare.hashing import hints_hash, training_key
from hintseg.compare.plan import (
    Cell,
    checked_settings,
    joined,
    read_plan,
    setting_words,
    write_plan,
)
from hintseg.compare.words import verdict
from hintseg.data.dataset import open_dataset
from hintseg.data.simulated import simulate_dataset
from hintseg.errors import ConfigError, DataError, RunError, UnknownNameError
from hintseg.locks import held
from hintseg.methods import METHODS
from hintseg.methods.settings import merge, parse_overrides
from hintseg.metrics import confusion_of, metrics_of
from hintseg.structures import Hints, Shape

SETTINGS = {"train": {**TINY, "steps": 2}}


def request(data, **changes):
    given = {"methods": ["full", "partial"], "hints": ["points", "tags"], "settings": SETTINGS}
    return Request(str(data), **{**given, "seeds": [0], **changes})


# The grid


def test_a_method_without_hints_is_trained_once_and_one_that_cannot_use_them_is_skipped(
    data_folder,
):
    plan = make_plan(request(data_folder, seeds=[0, 1]), None, "here")
    names = [cell.name for cell in plan.cells]
    assert names[:3] == ["masks-full-0", "points-partial-0", "tags-partial-0"]
    assert [name[:-1] for name in names[3:]] == [name[:-1] for name in names[:3]]
    reasons = {cell.name: cell.reason for cell in plan.cells}
    assert "label pixels of 0 class(es)" in reasons["tags-partial-0"]
    assert not reasons["points-partial-0"] + reasons["masks-full-0"]
    assert "/" not in reasons["tags-partial-0"]  # no path of a temporary folder


def test_every_method_of_the_program_gets_a_verdict(data_folder):
    asked = request(data_folder, methods=list(METHODS), hints=["tags", "boxes", "points", "mix"])
    plan = make_plan(asked, None, "here")
    assert {cell.method for cell in plan.cells} == set(METHODS)


def test_only_strokes_have_shares():
    choices = hint_choices(["points", "scribbles", "mix", "points"], [1.0, 0.5])
    slugs = [choice.slug for choice in choices]
    assert slugs == ["points", "scribbles", "scribbles0.5", "mix", "mix0.5"]


def test_own_hints_need_no_masks_to_be_drawn_from(data_folder):
    for name in ("field", "herd", "hill", "meadow"):
        (data_folder / "masks" / f"{name}.png").unlink()
    plan = make_plan(request(data_folder, hints=["own"]), None, "here")
    reasons = {cell.method: cell.reason for cell in plan.cells}
    assert not reasons["partial"]
    assert "no such mask" in reasons["full"]
    with pytest.raises(DataError, match="simulated from masks only"):
        make_plan(request(data_folder), None, "here")


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"methods": ["spnl"]}, UnknownNameError, "did you mean 'spml'"),
        ({"methods": []}, ConfigError, "--methods: none given"),
        ({"hints": ["clicks"]}, UnknownNameError, "no kind of hint named 'clicks'"),
        ({"hints": []}, ConfigError, "--hints: none given"),
        ({"hints": ["scribbles"], "fractions": [2.0]}, ConfigError, "--fractions"),
        ({"seeds": [-1]}, ConfigError, "--seeds"),
        ({"variants": ["clf"]}, UnknownNameError, "variant of prediction"),
        ({"splits": ["dev"]}, DataError, "no split 'dev'"),
        ({"crf": "deeplap"}, UnknownNameError, "deeplab"),
        ({"settings": {"spml": {}}}, UnknownNameError, "section of settings named 'spml'"),
        ({"settings": {"train": {"seed": 3}}}, ConfigError, "give --seeds"),
        ({"settings": {"train": {"stepz": 3}}}, UnknownNameError, "train.steps"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(data_folder, changes, error, match):
    with pytest.raises(error, match=match):
        make_plan(request(data_folder, **changes), None, "here")


def test_a_test_split_without_masks_is_refused(data_folder):
    (data_folder / "masks" / "valley.png").unlink()
    with pytest.raises(DataError, match=r"valley\.png: no such mask; split 'test'"):
        make_plan(request(data_folder), None, "here")


def test_a_data_set_without_val_is_evaluated_on_test(data_folder):
    file = data_folder / "dataset.yaml"
    file.write_text(file.read_text().replace("  val: splits/val.txt\n", ""))
    assert make_plan(request(data_folder), None, "here").splits == ("test",)


# The plan


def test_a_plan_is_read_back_as_it_was(data_folder, tmp_path):
    plan = make_plan(request(data_folder, hints=["scribbles"], fractions=[0.5]), None, "here")
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    assert plan.find("2") == plan.cells[1] == plan.find(plan.cells[1].name)
    with pytest.raises(UnknownNameError, match="no cell named '9'"):
        plan.find("9")


def test_a_damaged_plan_is_no_traceback(tmp_path):
    (tmp_path / "compare.json").write_text('{"cells": 3}')
    with pytest.raises(RunError, match="damaged"):
        read_plan(tmp_path)


def test_more_seeds_and_methods_come_behind_the_old_cells(data_folder):
    old = make_plan(request(data_folder), None, "here")
    more = make_plan(Request(str(data_folder), seeds=[0, 1]), old, "here")
    assert more.cells[: len(old.cells)] == old.cells
    assert len(more.cells) == 2 * len(old.cells)
    assert make_plan(Request(str(data_folder)), old, "here") == old


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"settings": {"train": {"steps": 9}}}, "train.steps 2, not 9"),
        ({"settings": {"train": {"lr": 0.5}}}, "train.lr the default, not 0.5"),
        ({"crf": "psa"}, "CRF deeplab, not psa"),
    ],
)
def test_other_settings_than_those_of_the_folder_are_refused(data_folder, changes, match):
    old = make_plan(request(data_folder), None, "here")
    with pytest.raises(ConfigError, match=match):
        make_plan(request(data_folder, **changes), old, "here")


def test_a_changed_or_another_data_set_is_refused(data_folder, tmp_path):
    old = make_plan(request(data_folder), None, "here")
    other = draw_data(tmp_path / "other")
    with pytest.raises(ConfigError, match="data set"):
        joined(old, make_plan(request(other), None, "here"), "here")
    (data_folder / "splits" / "train.txt").write_text("field\nherd\n")
    with pytest.raises(RunError, match="has changed"):
        make_plan(request(data_folder), old, "here")
    with pytest.raises(RunError, match="has changed"):
        old.dataset()


def test_a_file_of_settings_gives_those_of_the_methods_and_not_its_seed(data_folder):
    below = {"train": {"seed": 7, "lr": 0.5, "steps": 9}, "sec": {"decay": 0.5}}
    plan = make_plan(request(data_folder, below=below), None, "here")
    assert plan.settings["train"]["lr"] == 0.5
    assert plan.settings["train"]["steps"] == 2  # options go over the file
    assert "sec" not in plan.settings
    assert "seed" not in plan.settings["train"]


def test_the_words_of_a_command_set_what_the_plan_says():
    settings = {"train": {"steps": 5, "precision": "32", "scale": [0.5, 2.0], "zoom": None}}
    words = setting_words({**settings, "spml": {"relations": {"annotation": 0.0}}})
    assert words[:4] == ["--steps", "5", "--precision", "32"]
    pairs = [word for flag, word in pairwise(words) if flag == "--set"]
    assert parse_overrides(pairs) == {
        "train": {"scale": [0.5, 2.0], "zoom": None},
        "spml": {"relations": {"annotation": 0.0}},
    }
    assert variant_words("plain", "psa") == []
    assert checked_variants([]) == ["plain"]


def test_settings_of_a_method_that_is_not_compared_are_refused():
    with pytest.raises(UnknownNameError, match="section"):
        checked_settings({"sec": {}}, ["full"])


# Hashes


def test_the_hash_of_hints_does_not_depend_on_where_they_lie(data_folder, tmp_path):
    dataset, places = open_dataset(data_folder), (tmp_path / "a", tmp_path / "b" / "c" / "d")
    for place in places:
        simulate_dataset(dataset, place, kinds=["points"], seed=0)
    simulate_dataset(dataset, tmp_path / "e", kinds=["points"], seed=1)
    near, far, other = (hints_hash(open_dataset(p), "x") for p in (*places, tmp_path / "e"))
    assert near == far
    assert near not in (other, hints_hash(open_dataset(places[0]), "y"))


def test_the_key_of_a_training_changes_with_whatever_decides_it(data_folder):
    plan = make_plan(request(data_folder), None, "here")
    config = plan.config(plan.cells[1], "anywhere")
    key = training_key("h", config)
    assert key == training_key("h", plan.config(plan.cells[1], "elsewhere"))
    seeded = plan.config(replace(plan.cells[1], seed=1), "anywhere")
    longer = replace(plan, settings=merge(plan.settings, {"train": {"steps": 3}}))
    others = [seeded, plan.config(plan.cells[0], ""), longer.config(plan.cells[1], "")]
    assert len({key, training_key("i", config), *(training_key("h", o) for o in others)}) == 5


# Locks


def _hold(path, ready):
    with held(path, "at work"):
        ready.set()
        signal.pause()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_lock_keeps_others_out_and_ends_with_a_killed_process(tmp_path):
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "x.lock", ready))
    process.start()
    assert ready.wait(20)
    with (
        pytest.raises(RunError, match=rf"process {process.pid} on .* is at work here"),
        held(tmp_path / "x.lock", "at work"),
    ):
        pass
    process.kill()
    process.join()
    with held(tmp_path / "x.lock", "at work", wait=5.0):
        pass


# Effort


def test_published_times_of_voc_come_out():
    """Bearman et al. 2016: 20 classes, 1.5 of them and 2.8 objects in an image."""
    rates = checked_rates({})
    assert seconds_of({"tag": 20}, rates) == 20
    assert seconds_of({"tag": 18.5, "point": 1.5, "more": 1.3}, rates) == pytest.approx(
        23.3, abs=0.05
    )
    assert seconds_of({"tag": 18.5, "scribble": 1.5}, rates) == pytest.approx(34.9, abs=0.06)
    assert seconds_of({"tag": 18.5, "mask": 2.8}, rates) == pytest.approx(239.7, abs=0.05)


def test_work_is_counted_by_kind():
    clicks = [Shape("point", label, ((1.0, 1.0),)) for label in (0, 0, 2)]
    box = Shape("box", 1, ((0.0, 0.0), (5.0, 5.0)))
    painted = np.zeros((4, 4), np.int16)
    work = work_of_hints(Hints((*clicks, box), partial=painted), classes=5)
    assert work == {"tag": 2, "point": 2, "more": 1, "scribble": 0, "box": 1, "mask": 1}
    assert set(work) == set(RATES)


def test_masks_take_an_outline_for_every_piece(dataset):
    work = count_work(dataset, HintChoice("masks"))
    assert work["mask"] == 3  # grass, cow and sky
    assert work["tag"] == 0
    assert work["images"] == 4


@pytest.mark.parametrize("given", [{"boxes": 1.0}, {"box": -1.0}, {"box": float("nan")}])
def test_seconds_that_cannot_be_are_refused(given):
    with pytest.raises(ConfigError):
        checked_rates(given)


# Bootstrap


def counts(rng, images, classes, accuracy):
    truth = rng.integers(0, classes, (images, 30, 30)).astype(np.int16)
    right = rng.random(truth.shape) < accuracy
    guess = np.where(right, truth, (truth + 1) % classes).astype(np.int16)
    return np.stack(
        [counts_of(confusion_of(g, t, classes)) for g, t in zip(guess, truth, strict=True)]
    )


def test_the_miou_of_counts_is_that_of_the_confusion_matrix():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(-2, 4, (2, 50, 60)).astype(np.int16)
    matrix = confusion_of(guess, truth, 5)  # class 4 occurs nowhere
    assert miou_of(counts_of(matrix)) == pytest.approx(metrics_of(matrix).miou, abs=1e-12)


def test_a_method_does_not_differ_from_itself():
    one = counts(np.random.default_rng(0), 40, 3, 0.7)
    found = difference([one, one], [one, one])
    assert (found.mean, found.low, found.high) == (0, 0, 0)
    assert found.within_seeds
    assert not found.beyond_images


def test_a_clear_difference_is_seen_and_noise_is_not():
    rng = np.random.default_rng(1)
    good, same, bad = (
        [counts(rng, 60, 3, accuracy) for _ in range(3)] for accuracy in (0.8, 0.8, 0.6)
    )
    clear, none = difference(good, bad), difference(good, same)
    assert clear.low > 0.15
    assert clear.beyond_images
    assert not clear.within_seeds
    assert none.low < 0 < none.high
    assert verdict(clear) == "larger than seeds and test images explain"
    assert verdict(none).startswith("not certain")


def test_the_interval_covers_as_often_as_it_says():
    """Of 100 test sets of two equally good methods about 95 intervals hold the 0."""
    rng = np.random.default_rng(2)
    covered = 0
    for trial in range(100):
        one, other = (counts(rng, 40, 2, 0.7)[:, :, :] for _ in range(2))
        found = difference([one], [other], rounds=300, seed=trial)
        covered += found.low <= 0 <= found.high
    assert 88 <= covered <= 100


def test_the_same_figures_give_the_same_interval():
    rng = np.random.default_rng(3)
    one, other = counts(rng, 20, 3, 0.7), counts(rng, 20, 3, 0.6)
    assert difference([one], [other]) == difference([one], [other])


def test_the_name_of_a_cell_says_all():
    assert Cell("sec", HintChoice("scribbles", 0.3), 2).name == "scribbles0.3-sec-2"
    assert json.dumps(HintChoice("tags+points").kinds) == '["tags", "points"]'
