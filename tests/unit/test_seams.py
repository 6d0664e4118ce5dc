"""A method of somebody else needs no change outside its own file.

It has a localiser of its own, a network of its own with two heads, and a map that travels with the
images: all that the later methods of this project ask for.
"""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hintseg
import hintseg.methods
from conftest import TINY
from hintseg.engine.stages import Stage
from hintseg.errors import ConfigError, RunError
from hintseg.files import write_json
from hintseg.images.label_maps import read_label_map
from hintseg.losses import labelled_cross_entropy
from hintseg.methods.fitting import Batches, Stateless, train_segmenter
from hintseg.methods.job import Recipe
from hintseg.methods.localise.localiser import Localiser
from hintseg.methods.localise.settings import AgreementSettings, LocaliseSettings
from hintseg.methods.localise.stage import localise, unseen_images, with_seeds
from hintseg.methods.method import Method
from hintseg.methods.settings import Settings
from hintseg.models import Backbone, upsample
from hintseg.models import saved as saved_models
from hintseg.models.heads import SkipHead
from hintseg.structures import ImageMap, ScoreMaps


class Brightness:
    """Finds every class where the image is bright."""

    def fit(self, job, folder):
        write_json(folder / "brightest.json", {"images": len(job.dataset.hinted_names())})

    def maps(self, sample):
        known = np.flatnonzero(sample.weak.tags)
        light = torch.from_numpy(sample.image.mean(axis=2) / 255).float()
        return ScoreMaps(light.expand(len(known), -1, -1), torch.from_numpy(known))


class TwoHeads(nn.Module):
    """Class logits, and how bright a cell is."""

    def __init__(self, description):
        super().__init__()
        self.backbone = Backbone(description.backbone, output_stride=description.output_stride)
        self.head = SkipHead(self.backbone.channels, self.backbone.strides, width=16)
        self.classes = nn.Conv2d(16, len(description.classes), 1)
        self.light = nn.Conv2d(16, 1, 1)

    def forward(self, images):
        return self.both(images)[0]

    def both(self, images):
        height, width = images.shape[-2:]
        padded = F.pad(images.float(), (0, -width % 32, 0, -height % 32))
        features = self.head(self.backbone(padded))[..., : -(-height // 4), : -(-width // 4)]
        return self.classes(features), self.light(features)


class TwoLosses(Stateless):
    def __init__(self, model):
        self.model, self.pretrained = model, model.backbone

    def losses(self, batch, step):
        logits, light = self.model.both(batch.images)
        size = batch.labels.shape[-2:]
        target = batch.maps["light"]
        inside = (target >= 0).float()
        squares = (upsample(light, *size)[:, 0] - target).square() * inside
        return {
            "labels": labelled_cross_entropy(upsample(logits, *size), batch.labels),
            "light": squares.sum() / inside.sum().clamp(min=1),
        }


class OwnSettings(Settings):
    localise: LocaliseSettings = LocaliseSettings(
        agreement=AgreementSettings(rounds=0), threshold=0.3, margin=0.0
    )


def stages(job):
    settings = job.method_settings.localise
    unseen = unseen_images(job, settings)
    first = Stage("localise", partial(localise, job, settings, unseen, localiser=Brightness()))
    return (first, Stage("train", partial(train, job)))


def train(job, folder):
    def load(name):
        sample = job.hinted(name)
        light = ImageMap(sample.image.mean(axis=2, dtype=np.float32) / 255, "linear", -1.0)
        return replace(sample, maps={"light": light})

    seeded = with_seeds(load, job.run.stage_folder("localise"))
    learner = TwoLosses(job.network())
    return train_segmenter(job, learner, folder, Batches(job, job.dataset.hinted_names(), seeded))


RECIPE = Recipe(
    stages=stages, check=lambda dataset, settings: None, settings=OwnSettings, kind="two-heads"
)
METHOD = Method(
    name="throwaway",
    summary="bright places, two heads",
    takes="tags",
    paper="none",
    code=f"{__name__}:RECIPE",
    stage_names=("localise", "train"),
)


@pytest.fixture
def installed(monkeypatch):
    """The method, as its entry points would add it."""
    monkeypatch.setitem(hintseg.methods.METHODS, "throwaway", METHOD)
    monkeypatch.setitem(saved_models.BUILDERS, "two-heads", TwoHeads)


@pytest.fixture
def tagged(data_folder):
    """The drawn data set; of one image only the tags are known."""
    file = data_folder / "hints" / "herd.json"
    document = json.loads(file.read_text())
    document["flags"] = dict.fromkeys(("grass", "cow", "sky"), True)
    file.write_text(json.dumps({**document, "shapes": []}))
    return data_folder


def run(data, out, own=None):
    settings = {"train": {**TINY, "steps": 4, "validate_every": 2}, "throwaway": own or {}}
    return hintseg.train(data, out, method="throwaway", settings=settings)


@pytest.mark.report
def test_a_method_from_outside_trains_predicts_and_is_evaluated(installed, tagged, tmp_path):
    done = run(tagged, tmp_path / "run")
    assert isinstance(Brightness(), Localiser)
    assert (done / "localise" / "brightest.json").is_file()
    seeds = read_label_map(done / "localise" / "seeds" / "herd.png", classes=3, undeclared=-1)
    assert (seeds >= 0).any()
    predictor = done.predictor()
    image = hintseg.open_dataset(tagged).image("pond")
    assert predictor.predict(image, flip=True).labels.shape == image.shape[:2]
    assert 0 <= hintseg.evaluate(done, tagged).pixel_accuracy <= 1
    assert done.report.is_file()


def test_what_needs_embeddings_is_refused_with_a_message(installed, tagged, tmp_path):
    done = run(tagged, tmp_path / "run")
    with pytest.raises(RunError, match="TwoHeads has no embeddings"):
        hintseg.evaluate(done, tagged, by="retrieval")


def test_agreement_asks_the_localiser_for_features(installed, tagged, tmp_path):
    with pytest.raises(ConfigError, match=r"agreement\.rounds=2: Brightness has no features"):
        run(tagged, tmp_path / "run", {"localise": {"agreement": {"rounds": 2}}})


def test_a_network_of_an_unknown_kind_is_named(installed, tagged, tmp_path, monkeypatch):
    done = run(tagged, tmp_path / "run")
    monkeypatch.delitem(saved_models.BUILDERS, "two-heads")
    with pytest.raises(RunError, match="no network of kind 'two-heads' is known"):
        hintseg.load(done)


def test_missing_seeds_do_not_pass_silently(installed, tagged, tmp_path):
    done = run(tagged, tmp_path / "run")
    (done / "localise" / "seeds" / "herd.png").unlink()
    with pytest.raises(RunError, match=r"1 of \d seeds are missing; delete the folder"):
        with_seeds(lambda name: None, done.path / "localise")
