"""SEC as a method: its terms on drawn batches, its stages on a drawn data set."""

import json

import pytest
import torch
from torch import nn

import hintseg
from conftest import TINY
from hintseg.data.dataset import open_dataset
from hintseg.engine.run import Run
from hintseg.errors import ConfigError, DataError
from hintseg.methods.config import make_config
from hintseg.methods.sec.recipe import Seeded, check_seeds
from hintseg.methods.sec.settings import SECSettings
from hintseg.methods.settings import merge
from hintseg.methods.terms.size_and_boundary import CRFSettings, refined_by_crf
from hintseg.models.embedder import Embedder, Segmenter
from hintseg.structures import UNLABELLED, VOID, Batch

ONLY = {"seed": 0.0, "expand": 0.0, "constrain": 0.0}
TRAIN = {**TINY, "steps": 4, "validate_images": 0}


class Fixed(Segmenter):
    """A model whose embeddings, and logits, are its parameter."""

    def __init__(self, logits):
        nn.Module.__init__(self)
        self.embedder = FixedEmbedder(logits)
        self.logits = self.embedder.values

    def classify(self, embeddings):
        return embeddings


class FixedEmbedder(Embedder):
    def __init__(self, values):
        nn.Module.__init__(self)
        self.values, self.backbone = nn.Parameter(values), nn.Identity()

    def forward(self, images):
        return self.values[: len(images)]


def scene(side=48):
    """Left dark, right light; a stroke on each; class 2 is absent; the last rows are padding."""
    images = torch.full((2, 3, side, side), 40, dtype=torch.uint8)
    images[..., side // 2 :] = 200
    images[:, :, -8:] = 120
    labels = torch.full((2, side, side), UNLABELLED)
    labels[:, 8:32, 4:8], labels[:, 8:32, -8:-4] = 0, 1
    labels[:, -8:] = VOID
    tags = torch.tensor([[True, True, False]] * 2)
    return Batch(("a", "b"), images, labels, tags, ~tags)


def with_labels(batch, labels):
    return Batch(batch.names, batch.images, labels, batch.tags, batch.absent)


def learner_of(*, background=None, logits=None, **own):
    values = torch.zeros(2, 3, 12, 12) if logits is None else logits
    return Seeded(Fixed(values), SECSettings(**own), background=background)


@pytest.mark.parametrize("term", list(ONLY))
def test_a_weight_gives_a_term_that_teaches_and_no_weight_gives_none(term):
    logits = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    single = learner_of(logits=logits, **{**ONLY, term: 1.0}).losses(scene(), 0)
    double = learner_of(logits=logits.clone(), **{**ONLY, term: 2.0})
    losses = double.losses(scene(), 0)
    assert list(losses) == [term]
    assert losses[term].item() == pytest.approx(2 * single[term].item())
    losses[term].backward()
    assert double.model.logits.grad.abs().sum() > 0
    assert (double.model.logits.grad[:, :, -2:] == 0).all()  # padding


@pytest.mark.parametrize("refiner", ["crf", "walk"])
def test_seeds_grow_to_the_edges_of_the_image(refiner):
    learner = learner_of(refiner=refiner, decay=0.999)
    learner.model.logits.data.normal_(std=0.01, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(learner.model.parameters(), lr=30.0)
    for _ in range(30):
        optimizer.zero_grad()
        sum(learner.losses(scene(), 0).values()).backward()
        optimizer.step()
    best = learner.model.logits.argmax(dim=1)[:, :10]
    assert not (best == 2).any()
    if refiner == "crf":  # a walk knows of the image what the embeddings do: nothing here
        assert (best[..., :6] == 0).all()
        assert (best[..., 6:] == 1).all()


def test_the_crf_knows_edges_and_leaves_padding_out():
    logits = 0.3 * torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    logits[:, 0, :, :6] += 0.5
    logits[:, 1, :, 6:] += 0.5
    refined = refined_by_crf(CRFSettings(), scene(), logits)
    assert torch.allclose(refined.sum(dim=1), torch.ones(2, 12, 12), atol=1e-5)
    assert (refined[:, 0, :10, :6] > 0.9).all()
    assert (refined[:, 1, :10, 6:] > 0.9).all()
    other = logits.clone()
    other[:, :, 10:] = torch.tensor([0.0, 0.0, 50.0])[:, None, None]
    again = refined_by_crf(CRFSettings(), scene(), other)
    assert torch.allclose(again[:, :, :10], refined[:, :, :10], atol=1e-5)


def test_the_kernels_of_the_crf_are_parts_of_a_crop():
    """Twice the resolution, the same picture: what was refined is the same picture."""
    coarse = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    fine = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    one = refined_by_crf(CRFSettings(), scene(48), coarse)
    two = refined_by_crf(CRFSettings(), scene_twice(), fine)
    pooled = torch.nn.functional.avg_pool2d(two, 2)
    assert (pooled - one)[:, :, :10].abs().mean() < 0.02


def scene_twice():
    batch = scene(48)
    images, labels = (
        x.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        for x in (batch.images, batch.labels)
    )
    return Batch(batch.names, images, labels, batch.tags, batch.absent)


def test_what_has_no_seed_in_a_view_need_not_be_in_it():
    batch = scene()
    left = batch.labels.clone()
    left[left == 1] = UNLABELLED  # the view does not show it
    only = {**ONLY, "expand": 1.0}
    learner = learner_of(**only)
    (gradient,) = torch.autograd.grad(
        learner.losses(with_labels(batch, left), 0)["expand"], learner.model.logits
    )
    assert (gradient[:, 0, :10].sum((1, 2)) < 0).all()  # present: more of it
    assert (gradient[:, 2].sum((1, 2)) > 0).all()  # absent: less
    nothing = learner.losses(with_labels(batch, left.clamp(max=UNLABELLED)), 0)["expand"]
    assert nothing.item() == pytest.approx(-torch.tensor(2 / 3).log().item(), rel=1e-3)


def test_the_background_has_a_decay_and_a_term_of_its_own():
    logits = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    only = {**ONLY, "expand": 1.0}

    def value(background, decay):
        learner = learner_of(
            background=background, background_decay=decay, logits=logits.clone(), **only
        )
        return learner.losses(scene(), 0)["expand"].item()

    assert value(None, 0.5) == value(None, 0.9)
    assert value(0, 0.999) > value(0, 0.5) > 0
    assert value(0, 0.996) > value(None, 0.996)  # a third term, not one of a mean


def test_nothing_but_padding_is_an_exact_zero():
    batch = scene()
    learner = learner_of()
    total = sum(learner.losses(with_labels(batch, torch.full_like(batch.labels, VOID)), 0).values())
    total.backward()
    assert total.item() == 0
    assert (learner.model.logits.grad == 0).all()


def test_a_batch_without_seeds_still_says_what_is_absent():
    batch = scene()
    losses = learner_of().losses(with_labels(batch, batch.labels.clamp(max=UNLABELLED)), 0)
    assert losses["seed"].item() == 0
    assert losses["expand"].item() > 0


def tags_only(path):
    document = json.loads(path.read_text())
    tags = {shape["label"]: True for shape in document["shapes"]}
    path.write_text(json.dumps({**document, "shapes": [], "flags": {**document["flags"], **tags}}))


def train(data, out, own=None):
    quick = {"localise": {"steps": 3, "scales": [1.0], "flip": False}}
    settings = merge({"train": TRAIN, "sec": quick}, {"sec": own or {}})
    return hintseg.train(data, out, method="sec", settings=settings)


@pytest.mark.parametrize("background", [None, "grass"])
def test_from_tags_to_a_model(data_folder, tmp_path, background):
    for path in (data_folder / "hints").glob("*.json"):
        tags_only(path)
    if background:
        file = data_folder / "dataset.yaml"
        file.write_text(file.read_text() + f"background: {background}\n")
    saliency = {"localise": {"background": "saliency", "agreement": {"rounds": 0}}}
    folder = train(data_folder, tmp_path / "run", saliency)
    lines = [line for line in Run(folder).read_log() if line["stage"] == "train"]
    assert set(lines[-1]["losses"]) == {"seed", "expand", "constrain"}
    assert len(list((folder / "localise" / "seeds").iterdir())) == 4
    assert hintseg.load(folder).predict(data_folder / "images" / "pond.png").labels.shape == (
        40,
        56,
    )


def test_images_that_show_every_class_need_no_classifier(data_folder, tmp_path):
    folder = train(data_folder, tmp_path / "run", {"refiner": "walk"})
    assert not (folder / "localise").exists()
    assert (folder / "train" / "manifest.json").exists()


def test_without_hints_it_is_refused(data_folder, tmp_path):
    for path in (data_folder / "hints").glob("*.json"):
        path.unlink()
    with pytest.raises(DataError, match="no hints for any train image; tick tags"):
        train(data_folder, tmp_path / "run")


def test_tags_without_seeds_are_refused(data_folder):
    for path in (data_folder / "hints").glob("*.json"):
        tags_only(path)
    dataset = open_dataset(data_folder)
    with pytest.raises(DataError, match=r"localise\.steps=0 makes no seeds"):
        check_seeds(dataset, SECSettings(localise={"steps": 0}))
    with pytest.raises(ConfigError, match=r"sec\.seed=0: only the seeds"):
        check_seeds(dataset, SECSettings(seed=0.0))


def test_the_published_settings():
    config = make_config("sec", "data", preset="voc-tag")
    assert (config.train.crop, config.train.batch, config.train.steps) == (321, 15, 8000)
    assert (config.own.decay, config.own.background_decay) == (0.996, 0.999)
    assert config.own.crf.sxy * 41 == pytest.approx(80 / 12)
    assert config.own.localise.background == "saliency"
