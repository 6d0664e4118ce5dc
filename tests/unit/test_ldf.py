"""LDF: what its branches learn, its losses, and runs from a folder to figures."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import hintseg
from conftest import TINY
from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, DataError, RunError
from hintseg.hints import body_and_detail, edge_of
from hintseg.images.grey import read_grey, write_grey
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.methods.ldf.labels import FIRST, SECOND, Maps, with_found_maps, with_maps
from hintseg.methods.ldf.learner import Decoupled
from hintseg.methods.ldf.recipe import check_objects
from hintseg.methods.ldf.settings import LDFSettings
from hintseg.models import Backbone
from hintseg.models.two_branch import TwoBranch
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.options import PredictOptions
from hintseg.structures import UNLABELLED, VOID, Batch, ClassSet, Sample, WeakLabels

SETTINGS = {**TINY, "steps": 2, "validate_images": 0}


def sample(labels):
    weak = WeakLabels(labels, np.ones(2, bool), np.zeros(2, bool), np.zeros((0, 5)))
    return Sample("one", np.zeros((*labels.shape, 3), dtype=np.uint8), weak)


@pytest.fixture
def labels():
    found = np.zeros((20, 30), dtype=np.int16)
    found[5:15, 5:20] = 1
    found[:, -3:] = VOID
    return found


@pytest.mark.parametrize(
    "auxiliary", ["body+detail", "body+edge", "saliency+detail", "saliency+edge"]
)
def test_the_branches_learn_what_was_chosen(labels, auxiliary):
    maps = Maps(LDFSettings(auxiliary=auxiliary), foreground=1)
    travelling = with_maps(lambda name: sample(labels), maps)("one").maps
    body, detail = body_and_detail(labels == 1)
    first = body if "body" in auxiliary else labels == 1
    second = detail if "detail" in auxiliary else edge_of(labels == 1)
    assert np.array_equal(travelling[FIRST].values, first)
    assert np.array_equal(travelling[SECOND].values, second)


def test_gamma_and_release_reach_the_maps(labels):
    mask = labels == 1
    for own in ({"gamma": 1.0}, {"released": True}, {"per_component": True}):
        assert np.array_equal(
            Maps(LDFSettings(**own), 1).of(mask)[0], body_and_detail(mask, **own)[0]
        )


def test_found_maps_must_be_there(labels, tmp_path):
    maps = Maps(LDFSettings(), foreground=1)
    load = with_found_maps(lambda name: sample(labels), tmp_path / "fine", maps)
    write_grey(tmp_path / "fine" / "body" / "one.png", np.full(labels.shape, 0.25))
    with pytest.raises(RunError, match=r"detail/one.png: no such map; delete the folder"):
        load("one")
    write_grey(tmp_path / "fine" / "detail" / "one.png", np.full(labels.shape, 0.75))
    found = load("one").maps
    assert np.allclose(found[FIRST].values, 0.25, atol=1 / 255)
    assert np.allclose(found[SECOND].values, 0.75, atol=1 / 255)


def test_grey_files_are_rounded_and_clipped(tmp_path):
    shares = np.array([[-0.2, 0.0, 0.5], [1.0, 1.3, 0.499]])
    write_grey(tmp_path / "deep" / "grey.png", shares)
    with PillowImage.open(tmp_path / "deep" / "grey.png") as image:
        assert image.mode == "L"
        assert np.asarray(image).tolist() == [[0, 0, 128], [255, 255, 127]]
    assert np.allclose(read_grey(tmp_path / "deep" / "grey.png"), shares.clip(0, 1), atol=1 / 500)
    PillowImage.new("RGB", (2, 2)).save(tmp_path / "colours.png")
    with pytest.raises(DataError, match="no grey image of 8 bits, but RGB"):
        read_grey(tmp_path / "colours.png")
    (tmp_path / "broken.png").write_bytes(b"half")
    with pytest.raises(DataError, match=r"broken.png: not an image file"):
        read_grey(tmp_path / "broken.png")


def batch_of(labels, maps):
    count, height, width = labels.shape
    tags = torch.ones(count, 2, dtype=torch.bool)
    images = torch.zeros(count, 3, height, width, dtype=torch.uint8)
    return Batch(("a",) * count, images, labels, tags, ~tags, maps)


def real(**own):
    torch.manual_seed(0)
    classes = ClassSet(("rest", "cow"), 0)
    network = TwoBranch(Backbone("test_efficientnet"), classes, dim=8)
    return Decoupled(network, Maps(LDFSettings(**own), foreground=1), seed=0)


def random_batch(side=64):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (2, side, side), generator=generator)
    maps = {FIRST: labels.float() * 0.7, SECOND: labels.float() * 0.3}
    found = batch_of(labels, maps)
    images = torch.randint(0, 256, found.images.shape, dtype=torch.uint8, generator=generator)
    return replace(found, images=images)


def test_terms_are_those_of_the_paper_averaged_over_iterations():
    one = real(sizes=(1.0,))
    batch = random_batch()
    rounds = one.model.eval().rounds(batch.images)
    terms = one.losses(batch, 0)
    assert set(terms) == {"body", "detail", "saliency", "iou"}
    expected = []
    for found in rounds:
        logits = torch.nn.functional.interpolate(
            found.object[:, None], scale_factor=4, mode="bilinear"
        )[:, 0]
        p, g = logits.sigmoid(), batch.labels.float()
        both = (p * g).sum((1, 2))
        expected.append((1 - (both + 1) / ((p + g).sum((1, 2)) - both + 1)).mean())
    assert terms["iou"].item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-5)


def test_void_says_nothing():
    one, batch = real(sizes=(1.0,)), random_batch()
    one.model.eval()
    labels = batch.labels.clone()
    labels[:, :, 32:] = VOID
    some = one.losses(replace(batch, labels=labels), 0)
    maps = {name: values.clone() for name, values in batch.maps.items()}
    maps[FIRST][:, :, 32:] = 1.0
    again = one.losses(replace(batch, labels=labels, maps=maps), 0)
    assert all(torch.equal(some[name], again[name]) for name in some)
    nothing = one.losses(replace(batch, labels=torch.full_like(labels, VOID)), 0)
    assert all(value.item() == 0 for value in nothing.values())


def test_without_maps_the_branches_learn_only_through_the_object():
    one, batch = real(sizes=(1.0,)), replace(random_batch(), maps={})
    terms = one.losses(batch, 0)
    assert terms["body"].item() == terms["detail"].item() == 0
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in one.model.parameters())
    assert not one.model.heads[0].weight.grad.any()


def test_the_size_of_a_batch_is_a_function_of_seed_and_step():
    one, again = real(), real()
    factors = [one.factor(step) for step in range(60)]
    assert factors == [again.factor(step) for step in reversed(range(60))][::-1]
    assert set(factors) == set(LDFSettings().sizes)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.25])
def test_a_resized_batch_keeps_its_labels_and_shares(factor):
    batch = random_batch()
    labels = batch.labels.clone()
    labels[:, :10], labels[:, 10:20] = VOID, UNLABELLED
    images, small, maps = real()._resized(replace(batch, labels=labels), factor)
    side = round(64 * factor / 32) * 32
    assert images.shape[-2:] == small.shape[-2:] == maps[FIRST].shape[-2:] == (side, side)
    assert set(small.unique().tolist()) == {VOID, UNLABELLED, 0, 1}
    assert ((maps[FIRST] >= 0) & (maps[FIRST] <= 1)).all()


# Runs


@pytest.fixture
def cows(data_folder):
    """The drawn data set with a background: cows on it, sky is of it."""
    for mask in (data_folder / "masks").glob("*.png"):
        labels = read_label_map(mask, classes=3, undeclared=VOID)
        write_label_map(mask, np.where(labels == 2, 0, labels).astype(np.int16), classes=2)
    for file in (data_folder / "hints").glob("*.json"):
        file.write_text(file.read_text().replace("sky", "rest").replace("grass", "rest"))
    file = data_folder / "dataset.yaml"
    file.write_text(file.read_text().replace("grass, cow, sky", "rest, cow") + "background: rest\n")
    return data_folder


def run(data, out, own=None, **changes):
    settings = {"train": {**SETTINGS, **changes}, "ldf": own or {}}
    return hintseg.train(data, out, method="ldf", settings=settings)


def test_a_run_learns_predicts_and_is_evaluated(cows, tmp_path):
    done = run(cows, tmp_path / "run")
    for what in ("body", "detail"):
        assert len(list((done / "fine" / what).glob("*.png"))) == 4
    facts = json.loads((done / "run.json").read_text())
    assert facts["extra_supervision"] == ["dense masks of 4 images (what it learns from)"]
    figures = hintseg.evaluate(done, cows, split="test")
    assert set(figures.saliency) >= {"mae", "max_f", "s", "weighted_f"}
    assert figures.normalised is False
    assert "saliency" in figures.record()
    assert set(figures.per_class) == {"rest", "cow"}


@pytest.mark.report
def test_the_report_shows_errors_by_distance_from_the_edge(cows, tmp_path):
    page = run(cows, tmp_path / "run", {"fine_steps": 0}).report.read_text()
    assert "Error % by distance from the edge" in page
    assert "weighted F" in page


def test_saliency_maps_are_written_beside_the_masks(cows, tmp_path):
    predictor = run(cows, tmp_path / "run", {"fine_steps": 0}).predictor()
    images = {"pond": cows / "images" / "pond.png"}
    for threshold, found in ((0.0, {1}), (1.0, {0}), (None, None)):
        out = tmp_path / f"out{threshold}"
        predict_files(predictor, images, out, options=PredictOptions(threshold=threshold))
        labels = read_label_map(out / "pond.png", classes=2, undeclared=-1)
        saliency = read_grey(out / "saliency" / "pond.png")
        assert saliency.shape == labels.shape
        assert found is None or set(labels.flatten().tolist()) == found
    assert np.array_equal(labels == 1, predictor.predict(cows / "images" / "pond.png").labels == 1)
    sure = np.abs(saliency - 0.5) > 1 / 255
    assert np.array_equal((saliency > 0.5)[sure], (labels == 1)[sure])


def test_normalising_stretches_the_written_maps(cows, tmp_path):
    predictor = run(cows, tmp_path / "run", {"fine_steps": 0}).predictor()
    images = {"pond": cows / "images" / "pond.png"}
    predict_files(predictor, images, tmp_path / "out", options=PredictOptions(normalise=True))
    saliency = read_grey(tmp_path / "out" / "saliency" / "pond.png")
    assert (saliency.min(), saliency.max()) == (0, 1)
    figures = hintseg.evaluate(tmp_path / "run", cows, split="test", normalise=True)
    assert figures.normalised is True


def test_an_image_in_a_folder_called_saliency_is_refused(cows, tmp_path):
    predictor = run(cows, tmp_path / "run", {"fine_steps": 0}).predictor()
    images = {"saliency/pond": cows / "images" / "pond.png"}
    with pytest.raises(ConfigError, match="sub-folder called saliency"):
        predict_files(predictor, images, tmp_path / "out")


@pytest.mark.parametrize("auxiliary", ["body+edge", "saliency+detail", "saliency+edge"])
def test_the_other_label_pairs_train_in_both_stages(cows, tmp_path, auxiliary):
    done = run(cows, tmp_path / "run", {"auxiliary": auxiliary, "iterations": 1})
    assert all((done / "fine" / what / "herd.png").exists() for what in auxiliary.split("+"))


def test_hints_are_enough(cows, tmp_path):
    for mask in (cows / "masks").glob("*.png"):
        mask.unlink()
    done = run(cows, tmp_path / "run", {"labels": "hints"})
    labels = read_label_map(done / "fine" / "labels" / "herd.png", classes=2, undeclared=-1)
    weak = hintseg.open_dataset(cows).hints("herd")
    assert labels.shape == (40, 56)
    assert weak.tags == {0, 1}
    assert set(np.unique(labels).tolist()) <= {0, 1}
    assert labels[6, 20] == 0  # a scribble on the rest
    assert json.loads((done / "run.json").read_text())["extra_supervision"] == "none"


def test_a_model_of_objects_is_judged_on_data_with_other_classes(cows, data_folder, tmp_path):
    done = run(cows, tmp_path / "run", {"fine_steps": 0})
    file = data_folder / "dataset.yaml"
    file.write_text(file.read_text().replace("[rest, cow]", "[rest, horse, pig]"))
    figures = hintseg.evaluate(done, data_folder, split="test")
    assert set(figures.per_class) == {"rest", "cow"}


def test_any_foreground_trains_and_is_evaluated(data_folder, tmp_path):
    file = data_folder / "dataset.yaml"
    file.write_text(file.read_text() + "background: grass\n")
    done = run(data_folder, tmp_path / "run", {"foreground": "any", "fine_steps": 0})
    figures = hintseg.evaluate(done, data_folder, split="test")
    assert set(figures.per_class) == {"grass", "foreground"}


def test_masks_can_be_judged_as_saliency_maps(cows):
    figures = hintseg.evaluate(cows / "masks", cows, split="test", saliency=True)
    assert figures.saliency["mae"] == 0
    assert figures.saliency["max_f"] == pytest.approx(1)
    with pytest.raises(ConfigError, match=r"--threshold, --normalise: .* is no run folder"):
        hintseg.evaluate(cows / "masks", cows, split="test", threshold=0.3)


# Bad input


def check(folder, **own):
    check_objects(open_dataset(folder), LDFSettings(**own))


def rewrite(folder, change):
    for mask in (folder / "masks").glob("*.png"):
        labels = read_label_map(mask, classes=2, undeclared=VOID)
        write_label_map(mask, change(labels).astype(np.int16), classes=2)


@pytest.mark.parametrize(("value", "missing"), [(0, "cow"), (1, "rest")])
def test_masks_of_one_kind_are_refused(cows, value, missing):
    rewrite(cows, lambda labels: np.full_like(labels, value))
    with pytest.raises(DataError, match=f"masks of the train split have no pixel of '{missing}'"):
        check(cows)


def test_some_empty_and_full_masks_and_single_pixels_train(cows, tmp_path):
    shown = iter(range(9))

    def change(labels):
        kind = next(shown) % 4
        changed = np.full_like(labels, kind == 1)
        if kind == 2:
            changed[20, 20] = 1
        return labels if kind == 3 else changed

    rewrite(cows, change)
    done = run(cows, tmp_path / "run", {"fine_steps": 1})
    figures = hintseg.evaluate(done, cows, split="test")
    assert all(np.isfinite(value) for value in figures.saliency.values())


def test_hints_of_one_kind_are_refused(cows):
    for file in (cows / "hints").glob("*.json"):
        document = json.loads(file.read_text())
        document["shapes"] = [s for s in document["shapes"] if s["label"] == "rest"]
        file.write_text(json.dumps(document))
    with pytest.raises(DataError, match="hints of the train split have no pixel of 'cow'"):
        check(cows, labels="hints")


def test_a_missing_mask_is_named_with_the_other_way(cows):
    (cows / "masks" / "hill.png").unlink()
    with pytest.raises(DataError, match=r"hill.png: no such mask \(1 of 4 .*ldf.labels=hints"):
        check(cows)


def test_more_classes_need_a_word(data_folder):
    with pytest.raises(ConfigError, match="no class is the background"):
        check(data_folder)


def test_other_models_have_no_threshold(segmenter):
    predictor = hintseg.Predictor(segmenter, ClassSet(("grass", "cow", "sky")))
    with pytest.raises(ConfigError, match="for a model of a background and one class"):
        predictor.check(PredictOptions(threshold=0.5))
    with pytest.raises(ConfigError, match="threshold: must be 0 to 1, got 2"):
        PredictOptions(threshold=2.0)


# As the cue of others


@pytest.mark.parametrize("method", ["sec", "spml", "rca", "affinitynet"])
def test_a_run_says_where_the_background_is_for_tags(cows, tmp_path, method):
    done = run(cows, tmp_path / "objects", {"fine_steps": 0})
    for file in (cows / "hints").glob("*.json"):
        document = json.loads(file.read_text())
        file.write_text(json.dumps({**document, "shapes": [], "flags": {"cow": True}}))
    localise = {
        "steps": 2,
        "scales": [1.0],
        "flip": False,
        "cue": str(done),
        "cue_sure": 0.0,
        "crf": None,
        "rule": "cut",
        "agreement": {"rounds": 0},
    }
    own = {"localise": localise}
    settings = {"train": SETTINGS, method: own}
    weak = hintseg.train(cows, tmp_path / "weak", method=method, settings=settings)
    beyond = json.loads((weak / "run.json").read_text())["extra_supervision"]
    assert len(beyond) == 1
    assert beyond[0].startswith(f"saliency of the run {done} (method ldf")
    assert "dense masks of 4 images" in beyond[0]
    seeds = read_label_map(weak / "localise" / "seeds" / "herd.png", classes=2, undeclared=-1)
    manifest = json.loads((weak / "localise" / "manifest.json").read_text())
    assert (manifest["split"], manifest["tag_source"]) == ("train", "given")
    assert (seeds == 0).any()  # nothing is too salient to be background: cue_sure is 0
    assert not (seeds == UNLABELLED).any()


def test_what_is_no_cue_is_refused(cows, tmp_path):
    full = hintseg.train(cows, tmp_path / "full", method="full", settings={"train": SETTINGS})
    for cue, message in ((full, "is no run of method ldf"), (tmp_path, "no trained model here")):
        settings = {"train": SETTINGS, "sec": {"localise": {"cue": str(cue)}}}
        with pytest.raises((ConfigError, RunError), match=message):
            hintseg.train(cows, tmp_path / "run", method="sec", settings=settings)
        assert not (tmp_path / "run").exists()
