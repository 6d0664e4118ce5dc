"""A number that is NaN or infinite is an error that names its place; it is never a label."""

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

import hintseg
from conftest import TINY
from hintseg.engine.run import Run
from hintseg.errors import ConfigError, NotFiniteError, RunError
from hintseg.evaluation import predicted_pairs
from hintseg.methods import fitting
from hintseg.models.backbone import Backbone, load_weights
from hintseg.models.finite import first_not_finite
from hintseg.models.saved import ModelDescription, build_segmenter, load_model, save_model
from hintseg.predict.folders.hinted import label_files
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.options import PredictOptions
from hintseg.predict.predictor import Predictor
from hintseg.predict.retrieval.similar import similar_segments
from hintseg.predict.retrieval.votes import build_prototypes

BAD = [float("nan"), float("inf"), -float("inf")]


@pytest.fixture
def spoilt(segmenter, classes):
    """A predictor whose head gives NaN at every cell."""
    model = copy.deepcopy(segmenter)
    with torch.no_grad():
        next(model.embedder.parameters()).fill_(float("nan"))
    samples = [("x", torch.zeros(40, 56, 3, dtype=torch.uint8).numpy())]
    labelled = ((name, image, image[..., 0].astype("int16")) for name, image in samples)
    index = build_prototypes(segmenter, labelled)
    return Predictor(model, classes, prototypes=lambda: index)


@pytest.mark.parametrize("bad", BAD)
def test_the_first_tensor_that_is_not_finite_is_found(bad):
    tensors = {
        "count": torch.tensor([1]),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "b": torch.tensor([[0.0, bad]]),
        "c": torch.tensor([bad]),
    }
    assert first_not_finite(tensors) == "b"
    assert first_not_finite({name: tensors[name] for name in ("count", "half")}) is None
    assert first_not_finite({}) is None


@pytest.mark.parametrize("bad", BAD)
def test_a_model_with_such_a_weight_is_refused(tmp_path, bad):
    description = ModelDescription(("a", "b"), backbone="test_efficientnet", dim=8, width=16)
    save_model(tmp_path, build_segmenter(description), description)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[7]
    tensors[name].view(-1)[-1] = bad
    save_file(tensors, path)
    with pytest.raises(RunError, match=rf"model\.safetensors: tensor '{name}' holds NaN or inf"):
        load_model(tmp_path)


def test_given_weights_with_such_a_number_are_refused(tmp_path):
    backbone = Backbone("test_efficientnet")
    state = backbone.network.state_dict()
    state[next(iter(state))].view(-1)[0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=r"w\.safetensors: tensor '.*' holds NaN"):
        load_weights(backbone, str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("by", ["classifier", "retrieval"])
def test_no_mask_is_made_of_such_scores(spoilt, dataset, tmp_path, by):
    file = dataset.images["herd"]
    outcome = predict_files(
        spoilt, {"herd": file}, tmp_path / "masks", options=PredictOptions(by=by)
    )
    assert not outcome.written
    assert f"{file}: the model gives NaN or infinity, not scores; train" in outcome.failed[file]
    outcome = label_files(spoilt, dataset, tmp_path / "labels", by=by)
    assert (len(outcome.failed), len(outcome.written)) == (4, 0)
    assert "the model gives NaN" in outcome.failed[file]
    assert not list(tmp_path.glob("*/*.png"))


def test_every_other_use_names_the_image(spoilt, dataset):
    with pytest.raises(NotFiniteError, match=r"^pond: the model gives NaN"):
        list(predicted_pairs(spoilt, dataset, ["pond"]))
    with pytest.raises(NotFiniteError, match=r"^pond: the model gives NaN"):
        similar_segments(spoilt, dataset, "pond", (3.0, 3.0))
    image = dataset.image("pond")
    with pytest.raises(NotFiniteError, match=r"^pond: the model gives NaN"):
        build_prototypes(spoilt.model, [("pond", image, image[..., 0].astype("int16"))])


def test_a_training_that_diverges_ends_before_it_spoils_what_is_saved(
    data_folder, tmp_path, monkeypatch
):
    """Where no loss is looked at before the checkpoint, the weights themselves are."""
    monkeypatch.setattr(fitting, "_watch", lambda job: None)
    settings = {**TINY, "steps": 50, "log_every": 50, "checkpoint_every": 5, "validate_every": 50}
    run = Run(tmp_path / "run")
    options = {"method": "full", "settings": {"train": {**settings, "lr": 1e30, "warmup": 0}}}
    with pytest.raises(NotFiniteError, match=r"step 4: weight '.*' is NaN or infinite; lower"):
        hintseg.train(data_folder, run.root, **options)
    assert not run.checkpoint_file("train").exists()
    assert not list(run.root.glob("**/*.safetensors"))


def test_the_loss_is_looked_at_in_every_step(data_folder, tmp_path):
    settings = {**TINY, "steps": 9, "log_every": 9, "lr": 1e30, "warmup": 0, "optimizer": "sgd"}
    with pytest.raises(NotFiniteError, match=r"step \d: the loss is (nan|inf).*lower the learning"):
        hintseg.train(data_folder, tmp_path / "run", method="full", settings={"train": settings})
