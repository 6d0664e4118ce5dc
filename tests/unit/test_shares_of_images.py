"""Shares of the images: nothing twice, nothing left out, and together what one process makes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TINY_MODEL
from hintseg.counts import added, counts_from
from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, DataError
from hintseg.evaluation import examine
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.launch import Team, processes
from hintseg.models.saved import ModelDescription, load_model, save_model
from hintseg.predict.folders.hinted import label_files
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.predictor import Predictor
from hintseg.saliency import SaliencyTotals
from hintseg.shares import WHOLE, Share, parse_share
from hintseg.sharing.parts import part_file
from hintseg.sharing.working import evaluated
from hintseg.structures import VOID

NAMES = st.sets(st.text(max_size=4), max_size=30)
ALONE = Team("cpu")


@given(NAMES, st.integers(1, 7), st.integers(1, 4))
def test_shares_and_their_parts_are_the_whole_each_name_once(names, count, ranks):
    parts = [
        name
        for index in range(count)
        for rank in range(ranks)
        for name in Share(index, count).part(rank, ranks).of(names)
    ]
    assert sorted(parts) == sorted(names)
    sizes = {len(Share(index, count).of(names)) for index in range(count)}
    assert max(sizes) - min(sizes) <= 1


@given(NAMES, st.integers(1, 5), st.integers(1, 4), st.data())
def test_a_part_is_within_its_share(names, count, ranks, data):
    share = Share(data.draw(st.integers(0, count - 1)), count)
    rank = data.draw(st.integers(0, ranks - 1))
    assert set(share.part(rank, ranks).of(names)) <= set(share.of(names))


def test_the_order_in_which_names_come_does_not_matter():
    assert Share(0, 2).of(["c", "a", "b"]) == Share(0, 2).of(["a", "b", "c"]) == ("a", "c")


@pytest.mark.parametrize(
    "text", ["", "1", "/", "0/3", "4/3", "-1/3", "1/0", "1/3/3", "a/b", "1.0/2", "1e1/20", "²/3"]
)
def test_what_is_no_share_is_refused_in_a_line(text):
    with pytest.raises(ConfigError, match=r"--shard .*: must be I/N, from 1/N to N/N, such as"):
        parse_share(text)


@pytest.mark.parametrize("text", ["1/1", "3/3", "17/400"])
def test_a_share_is_printed_as_it_is_typed(text):
    assert str(parse_share(text)) == text


def test_no_process_is_none(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with pytest.raises(ConfigError, match="--devices 0: must be 1 or more"):
        processes(0)


# Folders


@pytest.fixture
def predictor(segmenter, classes):
    return Predictor(segmenter, classes)


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_shares_of_a_prediction_give_the_files_of_the_whole(predictor, dataset, tmp_path):
    predict_files(predictor, dataset.images, tmp_path / "whole", scores=True)
    for index in (2, 0, 1):
        predict_files(
            predictor, dataset.images, tmp_path / "parts", scores=True, share=Share(index, 3)
        )
    assert content(tmp_path / "whole") == content(tmp_path / "parts")
    assert len(content(tmp_path / "whole")) == 17  # of 8 images, and the record


def test_a_restart_takes_up_what_is_missing_stale_or_damaged(predictor, dataset, tmp_path):
    out = tmp_path / "out"
    predict_files(predictor, dataset.images, out)
    made = content(out)
    (out / "herd.png").unlink()
    (out / "hill.png").write_bytes(made["hill.png"][:100])
    write_label_map(out / "pond.png", np.zeros((40, 56), np.int16), classes=3, note="another model")
    outcome = predict_files(predictor, dataset.images, out)
    assert sorted(path.name for path in outcome.written) == ["herd.png", "hill.png", "pond.png"]
    assert len(outcome.skipped) == 5
    assert content(out) == made


def test_shares_of_pseudo_labels_give_the_files_of_the_whole(predictor, dataset, tmp_path):
    label_files(predictor, dataset, tmp_path / "whole")
    written = [
        len(label_files(predictor, dataset, tmp_path / "parts", share=Share(i, 2)).written)
        for i in range(2)
    ]
    assert written == [2, 2]
    assert content(tmp_path / "whole") == content(tmp_path / "parts")


def test_more_shares_than_images_leave_some_without(predictor, dataset, tmp_path):
    outcome = predict_files(predictor, dataset.images, tmp_path / "out", share=Share(8, 9))
    assert not outcome.written
    assert (tmp_path / "out" / "predict.json").is_file()


# Counts


@pytest.fixture
def run(segmenter, tmp_path):
    save_model(tmp_path / "run", segmenter, ModelDescription(("grass", "cow", "sky"), **TINY_MODEL))
    return tmp_path / "run"


def seen(run, data, **more):
    return examine(run, open_dataset(data), "train", trimaps=[3], **more)


def test_counts_of_shares_add_up_to_the_figures_of_the_whole(run, data_folder, tmp_path):
    whole = evaluated(seen(run, data_folder), ALONE, None, None)
    for index in range(3):
        file = evaluated(seen(run, data_folder), ALONE, Share(index, 3), tmp_path / "counts")
        assert file == tmp_path / "counts" / f"{index + 1}-of-3.json"
    assert evaluated(seen(run, data_folder), ALONE, None, tmp_path / "counts") == whole
    assert whole.images == 4


def test_counts_that_are_there_are_not_made_again(run, data_folder, tmp_path, monkeypatch):
    counts = tmp_path / "counts"
    evaluated(seen(run, data_folder), ALONE, Share(0, 2), counts)
    monkeypatch.setattr(Predictor, "predict_by", None)  # a call of it would fail
    evaluated(seen(run, data_folder), ALONE, Share(0, 2), counts)
    with pytest.raises(TypeError):
        evaluated(seen(run, data_folder), ALONE, Share(1, 2), counts)


def mask_changed(run, data):
    del run
    file = data / "masks" / "herd.png"
    mask = read_label_map(file, classes=3, undeclared=VOID)
    mask[5:9] = 1
    write_label_map(file, mask, classes=3)


def image_changed(run, data):
    del run
    (data / "images" / "herd.png").write_bytes((data / "images" / "hill.png").read_bytes())


def model_changed(run, data):
    del data
    model, description = load_model(run)
    save_model(run, model, replace(description, zoom=1.5))


@pytest.mark.parametrize("change", [mask_changed, image_changed, model_changed])
def test_stale_counts_are_refused_and_made_again(change, run, data_folder, tmp_path):
    counts = tmp_path / "counts"
    for index in range(2):
        evaluated(seen(run, data_folder), ALONE, Share(index, 2), counts)
    change(run, data_folder)
    with pytest.raises(DataError, match=r"the counts of .* are damaged, or of another model"):
        evaluated(seen(run, data_folder), ALONE, None, counts)
    for index in range(2):
        evaluated(seen(run, data_folder), ALONE, Share(index, 2), counts)
    whole = evaluated(seen(run, data_folder), ALONE, None, None)
    assert evaluated(seen(run, data_folder), ALONE, None, counts) == whole


def test_missing_counts_are_named_with_the_command_that_makes_them(run, data_folder, tmp_path):
    counts = tmp_path / "counts"
    with pytest.raises(DataError, match="no counts here; make them by the same command with --sh"):
        evaluated(seen(run, data_folder), ALONE, None, counts)
    evaluated(seen(run, data_folder), ALONE, Share(1, 3), counts)
    with pytest.raises(DataError, match=r"counts of 1/3, 3/3 are missing; run .* --shard 1/3 and"):
        evaluated(seen(run, data_folder), ALONE, None, counts)
    evaluated(seen(run, data_folder), ALONE, Share(0, 2), counts)
    with pytest.raises(DataError, match="counts of 2 and 3 shares; delete those that are not"):
        evaluated(seen(run, data_folder), ALONE, None, counts)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"made_of": {}, "counts": {"images": 1}}'])
def test_damaged_counts_are_never_taken(text, run, data_folder, tmp_path):
    counts = tmp_path / "counts"
    evaluated(seen(run, data_folder), ALONE, WHOLE, counts)
    good = part_file(counts, WHOLE).read_text()
    part_file(counts, WHOLE).write_text(text)
    with pytest.raises(DataError, match="damaged"):
        evaluated(seen(run, data_folder), ALONE, None, counts)
    evaluated(seen(run, data_folder), ALONE, WHOLE, counts)
    assert part_file(counts, WHOLE).read_text() == good


def test_a_share_needs_a_place_for_its_counts(run, data_folder):
    with pytest.raises(ConfigError, match="--shard 1/2: say by --counts FOLDER where"):
        evaluated(seen(run, data_folder), ALONE, Share(0, 2), None)


def test_masks_are_counted_in_shares_too(data_folder, tmp_path):
    whole = evaluated(seen(data_folder / "masks", data_folder), ALONE, None, None)
    for index in range(2):
        examination = seen(data_folder / "masks", data_folder)
        evaluated(examination, ALONE, Share(index, 2), tmp_path / "counts")
    examination = seen(data_folder / "masks", data_folder)
    assert evaluated(examination, ALONE, None, tmp_path / "counts") == whole
    assert whole.miou == 1


def test_saliency_of_parts_is_that_of_the_whole_to_the_last_bit(data_folder):
    examination = examine(
        data_folder / "masks", with_background(data_folder), "train", saliency=True
    )
    parts = [examination.counts(Share(i, 3).of(examination.names)) for i in (1, 2, 0)]
    sent = [counts_from(json.loads(json.dumps(part.record()))) for part in parts]
    whole = examination.counts(examination.names)
    assert added(sent).saliency.figures() == whole.saliency.figures()
    rng = np.random.default_rng(0)
    maps = [(rng.random((9, 8)), rng.random((9, 8)) < 0.4) for _ in range(20)]
    assert saliency_in_order(maps) == saliency_in_order(maps[::-1])


def saliency_in_order(maps):
    totals = SaliencyTotals()
    for saliency, mask in maps:
        totals.add(saliency, mask)
    return totals.figures()


def with_background(data):
    file = data / "dataset.yaml"
    file.write_text(file.read_text() + "background: grass\n")
    return open_dataset(data)
