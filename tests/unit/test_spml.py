"""SPML: its terms, its settings and presets, its stages, on drawn batches and data."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import nn

import hintseg
from conftest import TINY, TINY_MODEL
from hintseg.data.dataset import open_dataset
from hintseg.data.samples import load_hinted
from hintseg.engine.run import Run, start_run
from hintseg.errors import RunError, UnknownNameError
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.methods import METHODS
from hintseg.methods.config import make_config
from hintseg.methods.job import Job
from hintseg.methods.settings import Settings, merge, parse_overrides
from hintseg.methods.spml.learner import RelationLearner
from hintseg.methods.spml.presets import PRESETS
from hintseg.methods.spml.recipe import spml_stages
from hintseg.methods.spml.settings import Concentrations, SPMLSettings, Weights
from hintseg.models.embedder import Embedder, Segmenter
from hintseg.models.saved import ModelDescription
from hintseg.structures import UNLABELLED, Batch

TRAIN = {**TINY, "steps": 3, "validate_images": 0}
OWN = {
    "regions": {"count": 8},
    "localise": {"steps": 2, "scales": [1.0], "flip": False},
    "relabel": {"steps": 4, "confidence": 0.0},
    "classify": {"steps": 2},
    "retrieval": {"grid": 3},
}
STAGES = ("embed", "classify")
NO_RELATION = dict.fromkeys(Weights.model_fields, 0.0)


class Fixed(Embedder):
    """An embedder that always gives the same parameter: what a loss says of it is its gradient."""

    def __init__(self, values):
        nn.Module.__init__(self)
        self.values, self.dim, self.backbone = nn.Parameter(values), values.shape[1], nn.Identity()

    def forward(self, images):
        return self.values[: len(images)]


def learner_of(*, images=2, dim=4, cells=6, classes=3, background=None, **own):
    torch.manual_seed(0)
    model = Segmenter(Fixed(torch.randn(images, dim, cells, cells)), classes, dropout=0.0)
    return RelationLearner(model.eval(), SPMLSettings(**own), background=background)


def drawn_batch(images=2, cells=6):
    """Three classes; the lower half of each image is unlabelled; two regions, left and right."""
    side = 4 * cells
    labels = torch.full((images, side, side), UNLABELLED)
    tags = torch.zeros(images, 3, dtype=torch.bool)
    for image, (left, right) in enumerate([(0, 1), (2, 2), (0, 2)][:images]):
        labels[image, : side // 2, : side // 2] = left
        labels[image, : side // 2, side // 2 :] = right
        tags[image, [left, right]] = True
    regions = torch.zeros(images, side, side, dtype=torch.long)
    regions[:, :, side // 3 :] = 1
    pixels = torch.zeros(images, 3, side, side, dtype=torch.uint8)
    return Batch(("a", "b", "c")[:images], pixels, labels, tags, ~tags, {"regions": regions})


def gradient(learner, loss):
    """Of one loss at the cells of each image; zeros where it says nothing of them."""
    values = learner.model.embedder.values
    (found,) = torch.autograd.grad(loss, values, allow_unused=True, retain_graph=True)
    return torch.zeros_like(values) if found is None else found


def alone(name, weight=1.0):
    return {"relations": {**NO_RELATION, name: weight}, "classifier": 0.0, "absent": 0.0}


# Terms


@pytest.mark.parametrize("name", Weights.model_fields)
def test_a_weight_gives_a_term_that_teaches_and_no_weight_gives_none(name):
    """P1: no relation that is configured may be left out."""
    batch = drawn_batch()
    losses = learner_of(**alone(name)).losses(batch, 0)
    assert set(losses) == {name, "classifier"}
    learner = learner_of(**alone(name, 0.5))
    half = learner.losses(batch, 0)[name]
    assert half.item() == pytest.approx(losses[name].item() / 2)
    assert half.item() > 0
    assert gradient(learner, half).abs().sum() > 0
    others = {other: 1.0 for other in Weights.model_fields if other != name}
    assert name not in learner_of(relations={**others, name: 0.0}).losses(batch, 0)


@pytest.mark.parametrize("name", Weights.model_fields)
def test_every_relation_has_a_concentration_of_its_own(name):
    batch = drawn_batch()
    assert set(Concentrations.model_fields) == set(Weights.model_fields)
    before = learner_of(**alone(name)).losses(batch, 0)[name]
    sharper = {n: c * 1.5 for n, c in Concentrations().model_dump().items()}
    mine = {**Concentrations().model_dump(), name: sharper[name]}
    assert learner_of(**alone(name), concentrations=mine).losses(batch, 0)[name] != before
    others = {**sharper, name: Concentrations().model_dump()[name]}
    assert learner_of(**alone(name), concentrations=others).losses(batch, 0)[name] == before


def test_the_weight_of_absent_classes_gives_a_term():
    batch = drawn_batch()
    assert "absent" not in learner_of(absent=0.0).losses(batch, 0)
    one, two = (learner_of(absent=w).losses(batch, 0)["absent"].item() for w in (1.0, 2.0))
    assert two == pytest.approx(2 * one)
    assert one > 0


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"grid": 3}, "cooccurrence"),
        ({"iterations": 0}, "cooccurrence"),
        ({"plain": True}, "annotation"),
        ({"plain": True, "across": True}, "similarity"),
        ({"located": False}, "similarity"),
        ({"affinity": {"threshold": -1.0}}, "affinity"),
        ({"affinity": {"threshold": -1.0, "nearest": 3}}, "affinity"),
        ({"pixels": 5}, "annotation"),
    ],
)
def test_a_setting_changes_the_loss_it_is_for(changes, name):
    batch = drawn_batch()
    own = {**alone(name), "grid": 2}
    same = learner_of(**own).losses(batch, 0)[name]
    assert learner_of(**own).losses(batch, 0)[name] == same
    assert learner_of(**{**own, **changes}).losses(batch, 0)[name] != same


def test_past_steps_take_part_as_long_as_they_are_remembered():
    batch = drawn_batch()

    def after(steps, memory):
        learner = learner_of(**alone("annotation"), memory=memory)
        return [learner.losses(batch, 0)["annotation"].item() for _ in range(steps)]

    forgetful, two = after(4, 0), after(4, 2)
    assert len(set(forgetful)) == 1
    assert two[0] == forgetful[0]
    assert len({*two[:3]}) == 3
    assert two[2] == two[3]


@pytest.mark.parametrize("detach", [True, False])
def test_the_classifier_reaches_the_embedding_only_where_it_may(detach):
    learner = learner_of(detach=detach)
    losses = learner.losses(drawn_batch(), 0)
    assert bool(gradient(learner, losses["classifier"]).abs().sum() > 0) is not detach
    losses["classifier"].backward()
    assert learner.model.classifier[-1].weight.grad.abs().sum() > 0


def test_an_image_that_lost_its_seeds_still_co_occurs_by_its_tag():
    """P5: tags travel beside the labels."""
    batch = drawn_batch(images=3)
    lost = replace(batch, labels=torch.full_like(batch.labels, UNLABELLED))
    own = {**alone("cooccurrence"), "grid": 1}
    shared = learner_of(images=3, **own).losses(lost, 0)["cooccurrence"]
    assert shared > 0
    apart = torch.eye(3, dtype=torch.bool)
    fewer = replace(lost, tags=apart, absent=~apart)
    assert learner_of(images=3, **own).losses(fewer, 0)["cooccurrence"] > shared
    assert learner_of(images=3, **alone("annotation")).losses(lost, 0)["annotation"] == 0


def test_images_without_tags_are_in_no_co_occurrence():
    """P10: they neither attract nor repel."""
    batch = drawn_batch(images=3)
    tags = torch.tensor([[True, True, False], [False, False, True], [False] * 3])
    batch = replace(batch, tags=tags, absent=~tags)
    learner = learner_of(images=3, **alone("cooccurrence"))
    loss = learner.losses(batch, 0)["cooccurrence"]
    found = gradient(learner, loss).abs().sum((1, 2, 3))
    assert found[2] == 0
    assert (found[:2] > 0).all()
    *parts, maps = batch.fields()
    first = Batch(*(part[:2] for part in parts), {n: values[:2] for n, values in maps.items()})
    alike = learner_of(images=3, **alone("cooccurrence")).losses(first, 0)["cooccurrence"]
    assert loss.item() == pytest.approx(alike.item(), rel=1e-5)


def test_that_both_have_a_background_makes_no_images_alike():
    tags = torch.tensor([[True, True, False], [True, False, True]])
    batch = replace(drawn_batch(), tags=tags, absent=~tags)
    assert learner_of(**alone("cooccurrence")).losses(batch, 0)["cooccurrence"] == 0  # none repels
    learner = learner_of(**alone("cooccurrence"), background=0)
    assert learner.losses(batch, 0)["cooccurrence"] > 0


def test_an_image_without_hints_takes_part_in_image_similarity_only():
    batch = drawn_batch(images=3)
    labels, tags, absent = batch.labels.clone(), batch.tags.clone(), batch.absent.clone()
    labels[2], tags[2], absent[2] = UNLABELLED, False, False
    batch = replace(batch, labels=labels, tags=tags, absent=absent)
    learner = learner_of(images=3, relations=dict.fromkeys(Weights.model_fields, 1.0), absent=1.0)
    losses = learner.losses(batch, 0)
    teaches = {name for name, loss in losses.items() if gradient(learner, loss)[2].abs().sum() > 0}
    assert teaches == {"similarity"}


# Settings and presets


def leaves(kind, prefix):
    for name, value in kind.model_fields.items():
        inner = value.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            yield from leaves(inner, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", value.default


LEAVES = dict(leaves(SPMLSettings, "spml"))


def test_nested_settings_can_be_overridden_one_by_one():
    config = make_config(
        "spml", "data", sections=parse_overrides(["spml.relations.cooccurrence=0"])
    )
    assert config.own.relations.cooccurrence == 0
    assert config.own.relations.annotation == Weights().annotation
    config = make_config(
        "spml",
        "data",
        preset="voc-point",
        sections=parse_overrides(["spml.relations.similarity=0.2", "spml.memory=5"]),
    )
    assert config.own.relations.similarity == 0.2
    assert (config.own.relations.annotation, config.own.memory) == (0.1, 5)


@pytest.mark.parametrize("name", LEAVES)
def test_every_setting_is_reached_by_its_name_and_a_slip_proposes_it(name):
    value = json.dumps(LEAVES[name])
    sections = parse_overrides([f"{name}={value}"])
    assert make_config("spml", "data", sections=sections) == make_config("spml", "data")
    slip = f"{name}q"
    with pytest.raises(UnknownNameError, match=f"no setting named '{slip}'; .*'{name}'"):
        make_config("spml", "data", sections=parse_overrides([f"{slip}={value}"]))


# METHODS 1.9 and 1.12: the recipes as published.
PAPER = {
    "voc-tag": ((0.3, 0.3, 0.1, 0.0), (6, 8, 16), 64, 30_000, 6, 12, 2),
    "voc-box": ((0.3, 0.3, 0.1, 0.0), (6, 8, 16), 64, 30_000, 6, 12, 2),
    "voc-scribble": ((1.0, 0.5, 0.1, 0.0), (6, 12, 16), 64, 30_000, 6, 12, 2),
    "voc-point": ((0.1, 0.1, 0.1, 0.0), (6, 8, 16), 64, 30_000, 6, 12, 2),
    "densepose-point": ((1.0, 0.0, 0.1, 0.5), (6, None, 16), 32, 45_000, 12, 24, 0),
}
ROUTES = {
    "voc-tag": ("classifier", "retrieval", "classifier"),
    "voc-box": ("classifier",),
    "voc-scribble": ("classifier",),
    "voc-point": ("classifier",),
    "densepose-point": ("classifier",),
    "segsort": (),
    "segsort-plain": (),
    "segsort-unsupervised": (),
}


@pytest.mark.parametrize("name", PAPER)
def test_a_preset_has_the_numbers_of_the_paper(name):
    weights, sharpness, dim, steps, grid, whole, memory = PAPER[name]
    config = make_config("spml", "data", preset=name)
    own, train = config.own, config.train
    relations = own.relations
    assert (
        relations.annotation,
        relations.cooccurrence,
        relations.similarity,
        relations.affinity,
    ) == weights
    found = own.concentrations
    assert (found.annotation, found.similarity) == (sharpness[0], sharpness[2])
    assert sharpness[1] in (None, found.cooccurrence)
    if relations.affinity:
        assert (found.affinity, own.affinity.threshold, own.affinity.nearest) == (12, 0.95, 1)
    assert (train.dim, train.steps, own.grid, own.retrieval.grid) == (dim, steps, grid, whole)
    assert (own.memory, own.iterations, own.detach, own.classifier) == (memory, 10, True, 1.0)
    assert own.located is name.startswith("voc")
    assert (train.backbone, train.output_stride) == ("resnet101", 8)
    assert (train.batch, train.crop, train.optimizer, train.power) == (16, 512, "sgd", 0.9)
    assert train.lr * train.pretrained_factor == pytest.approx(3e-3)
    assert (train.weight_decay, train.momentum, train.warmup) == (5e-4, 0.9, 100)
    assert train.scale == (0.5, 1.5)
    assert (own.classify.steps, own.classify.frozen, own.classify.lr) == (4000, True, train.lr)
    assert (own.relabel.steps, own.relabel.sharpness) == (64, 100.0)


def test_segsort_has_its_own_numbers():
    both = [make_config("spml", "data", preset=name) for name in ("segsort", "segsort-plain")]
    assert [config.own.plain for config in both] == [False, True]
    for config in both:
        own, train = config.own, config.train
        assert own.labels == "masks"
        assert own.relations == Weights(**{**NO_RELATION, "annotation": 1.0})
        assert (own.concentrations.annotation, own.grid, own.memory) == (10, 5, 2)
        assert (train.dim, train.batch, train.crop, train.steps) == (32, 8, 336, 30_000)
        assert train.lr * train.pretrained_factor == pytest.approx(2e-3)


def test_segsort_without_labels_has_regions_for_segments():
    config = make_config("spml", "data", preset="segsort-unsupervised")
    own = config.own
    assert own.relations == Weights(**{**NO_RELATION, "similarity": 1.0})
    assert (own.plain, own.across, own.located, own.grid, own.iterations) == (
        True,
        True,
        False,
        1,
        0,
    )
    assert (own.memory, own.classifier, config.train.steps) == (0, 0.0, 10_000)
    assert own.concentrations.similarity == 10


@pytest.mark.parametrize("name", ROUTES)
def test_a_preset_labels_by_the_route_of_the_paper(name):
    assert make_config("spml", "data", preset=name).own.relabel.rounds == ROUTES[name]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_nothing_that_is_ours(name):
    own = make_config("spml", "data", preset=name).own
    assert (own.absent, own.pixels) == (0.0, None)
    assert "absent" in PRESETS[name]["spml"]  # whatever the defaults become
    assert "pixels" in PRESETS[name]["spml"]
    assert set(PRESETS[name]["spml"]["relations"]) == set(Weights.model_fields)


@pytest.mark.parametrize("name", PAPER)
def test_as_released_differs_as_documented(name):
    twin = make_config("spml", "data", preset=name)
    released = make_config("spml", "data", preset=f"{name}-as-released")
    assert released.train == twin.train
    mine, theirs = twin.own.model_dump(), released.own.model_dump()
    assert theirs["classifier"] == mine["relations"]["annotation"]  # P7
    assert theirs["relations"]["affinity"] == 0  # P1
    if name in ("voc-scribble", "voc-point"):  # P2: the classifier learns from the hints again
        assert theirs["relabel"]["confidence"] == 1.0
        assert theirs["relabel"]["steps"] == 0
    else:
        assert theirs["relabel"] == mine["relabel"]
    for both in (mine, theirs):
        for key in ("classifier", "relabel"):
            del both[key]
        del both["relations"]["affinity"]
    assert mine == theirs


def test_the_presets_are_those_of_the_papers():
    twins = {f"{name}-as-released" for name in PAPER}
    assert set(METHODS["spml"].presets) == {*PAPER, *twins, *ROUTES}


# Stages


def own_settings(changes):
    return merge({"spml": OWN}, {"spml": changes})["spml"]


def job(folder, out, preset=None, **own):
    dataset = open_dataset(folder)
    config = make_config(
        "spml", "data", preset=preset, sections={"train": TRAIN, "spml": own_settings(own)}
    )
    run = Run(out)
    start_run(run, {})
    fabric = Fabric(accelerator="cpu", devices=1)
    description = ModelDescription(dataset.classes.names, dataset.classes.background, **TINY_MODEL)
    return Job(dataset, run, fabric, config.train, config.own, description)


def train(folder, out, preset=None, *, resume=False, shared=None, **own):
    settings = {"train": {**TRAIN, **(shared or {})}, "spml": own_settings(own)}
    return hintseg.train(
        folder, out, method="spml", preset=preset, settings=settings, resume=resume
    )


def tags_only(path):
    document = json.loads(path.read_text())
    tags = {shape["label"]: True for shape in document["shapes"]}
    path.write_text(json.dumps({**document, "shapes": [], "flags": {**document["flags"], **tags}}))


def labels_of(folder, name, classes=3):
    return read_label_map(folder / f"{name}.png", classes=classes, undeclared=UNLABELLED)


@pytest.mark.parametrize(
    ("own", "names"),
    [
        ({}, ["embed", "relabel", "classify", "prototypes"]),
        ({"relabel": {"rounds": []}}, ["embed", "prototypes"]),
        ({"classify": {"steps": 0}}, ["embed", "relabel", "prototypes"]),
        (
            {"relabel": {"rounds": ["classifier", "retrieval"]}},
            ["embed", "relabel", "classify", "relabel-2", "classify-2", "prototypes"],
        ),
    ],
)
def test_stages_are_those_that_the_settings_ask_for(data_folder, tmp_path, own, names):
    assert [stage.name for stage in spml_stages(job(data_folder, tmp_path / "run", **own))] == names


@pytest.mark.parametrize(
    ("own", "first"),
    [({}, "localise"), ({"localise": {"steps": 0}}, "embed"), ({"labels": "masks"}, "embed")],
)
def test_classes_are_localised_only_where_hints_do_not_show_them(data_folder, tmp_path, own, first):
    tags_only(data_folder / "hints" / "herd.json")
    assert spml_stages(job(data_folder, tmp_path / "run", **own))[0].name == first


def test_two_rounds_with_retrieval(data_folder, tmp_path):
    folder = train(data_folder, tmp_path / "run", relabel={"rounds": ["classifier", "retrieval"]})
    by = [json.loads((folder / n / "manifest.json").read_text()) for n in ("relabel", "relabel-2")]
    assert [record["by"] for record in by] == ["classifier", "retrieval"]
    dataset = open_dataset(data_folder)
    for name in dataset.names("train"):
        hinted = hinted_labels(dataset, name)
        for stage in ("relabel", "relabel-2"):
            found = labels_of(folder / stage / "labels", name)
            assert np.array_equal(found[hinted >= 0], hinted[hinted >= 0])
            assert (found >= 0).all()


def hinted_labels(dataset, name):
    return load_hinted(dataset, name, size=None, zoom=1.4).weak.labels


def test_images_without_hints_teach_only_the_embedding(data_folder, tmp_path):
    (data_folder / "hints" / "herd.json").unlink()
    folder = train(data_folder, tmp_path / "run")
    images = {
        stage: json.loads((folder / stage / "manifest.json").read_text())["images"]
        for stage in ("embed", "relabel", "prototypes")
    }
    assert images == {"embed": 4, "relabel": 3, "prototypes": 3}
    assert not (folder / "relabel" / "labels" / "herd.png").exists()
    assert (folder / "regions" / "herd.png").exists()


@pytest.mark.parametrize("crf", [None, "psa"])
def test_pseudo_labels_keep_the_hints_and_what_is_impossible_out(data_folder, tmp_path, crf):
    path = data_folder / "hints" / "herd.json"
    document = json.loads(path.read_text())
    shapes = [shape for shape in document["shapes"] if shape["label"] != "cow"]
    path.write_text(json.dumps({**document, "shapes": shapes}))  # now no cow is in it
    folder = train(data_folder, tmp_path / "run", relabel={"confidence": 0.6, "crf": crf})
    labels = {name: labels_of(folder / "relabel" / "labels", name) for name in ("herd", "hill")}
    assert not (labels["herd"] == 1).any()
    doubtful = sum((found == UNLABELLED).sum() for found in labels.values())
    assert (crf is None) <= doubtful < sum(found.size for found in labels.values())
    dataset = open_dataset(data_folder)
    for name, found in labels.items():
        hinted = hinted_labels(dataset, name)
        assert np.array_equal(found[hinted >= 0], hinted[hinted >= 0])


def test_the_classifier_learns_from_the_pseudo_labels(data_folder, tmp_path):
    """P2: not from the hints, which say that there are three classes."""
    own = {"classify": {"steps": 60, "lr": 0.01}}
    folder = train(data_folder, tmp_path / "run", **own)
    for path in (folder / "relabel" / "labels").glob("*.png"):
        all_sky = np.full((40, 56), 2, np.int16)
        write_label_map(path, all_sky, classes=3)
    for stage in ("classify", "prototypes"):
        shutil.rmtree(folder / stage, ignore_errors=True)
    train(data_folder, folder, resume=True, **own)
    dataset = open_dataset(data_folder)
    predicted = hintseg.load(folder).predict(dataset.image("pond")).labels
    assert (predicted == 2).all()


def test_missing_pseudo_labels_are_not_replaced_by_the_hints(data_folder, tmp_path):
    folder = train(data_folder, tmp_path / "run")
    shutil.rmtree(folder / "relabel" / "labels")
    for stage in ("classify", "prototypes"):
        shutil.rmtree(folder / stage, ignore_errors=True)
    with pytest.raises(RunError, match=r"relabel.labels.*png: no such pseudo labels"):
        train(data_folder, folder, resume=True)


def test_the_whole_network_may_learn_from_pseudo_labels(data_folder, tmp_path):
    taught = {}
    for frozen in (True, False):
        folder = train(data_folder, tmp_path / str(frozen), classify={"frozen": frozen, "steps": 2})
        before, after = (load_file(folder / s / "last" / "model.safetensors") for s in STAGES)
        taught[frozen] = {
            name.split(".")[0] for name in before if not torch.equal(before[name], after[name])
        }
    assert taught == {True: {"classifier"}, False: {"classifier", "embedder"}}
