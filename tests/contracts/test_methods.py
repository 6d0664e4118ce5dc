"""What every method promises, on a drawn data set."""

import json
import signal
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

import hintseg
from conftest import TINY, draw_data
from hintseg.data.dataset import open_dataset
from hintseg.engine.monitor import TrainingMonitor
from hintseg.engine.run import Run
from hintseg.errors import ConfigError, DataError, DataWarning, RunError
from hintseg.images import label_maps
from hintseg.methods import METHODS
from hintseg.methods.localise import stage as localise_stage
from hintseg.methods.settings import merge
from hintseg.methods.spml import recipe as spml_recipe
from hintseg.report import run_page

REPORT_RUN = run_page.report_run  # tests have another one in its place
LOCALISE = {"steps": 3, "scales": [1.0], "flip": False, "agreement": {"steps": 4}}
SETTINGS = {
    "train": {**TINY, "steps": 6, "checkpoint_every": 2, "validate_every": 3},
    "spml": {
        "regions": {"count": 8},
        "localise": LOCALISE,
        "relabel": {"steps": 8, "confidence": 0.0},
        "classify": {"steps": 4},
        "retrieval": {"grid": 3},
    },
    "regularized": {"first": {"steps": 4}},
    "sec": {"localise": LOCALISE},
    "cam": {"localise": LOCALISE},
    "affinitynet": {"localise": {**LOCALISE, "expand": {"steps": 2, "walk": 4}}},
    "irn": {"localise": {**LOCALISE, "expand": {"steps": 2, "walk": 4}}},
    "seam": {"localise": {**LOCALISE, "expand": {"steps": 2, "walk": 4}}},
    "rca": {"localise": {**LOCALISE, "regional": {"centroids": 2, "slots": 3, "sure": 0.0}}},
    "sc_cam": {"localise": {**LOCALISE, "expand": {"steps": 2, "walk": 4}, "sub": {"kinds": 2}}},
    "ldf": {"foreground": "cow", "fine_steps": 4},
}


def check_defaults(method, data):
    recipe = METHODS[method].recipe()
    recipe.check(open_dataset(data), recipe.settings())


TRAININGS = {
    "spml": ("embed", "classify"),
    "ldf": ("coarse", "fine"),
}  # stages that train; of the others: train
LONG = {  # settings of a method for which each of these takes 40 steps
    "spml": {"classify": {"steps": 40, "lr": 0.01}},
    "regularized": {"first": {"steps": 0}},
    "ldf": {"fine_steps": 40},
}
STOPS = {  # stage, and its step (the last one, too) or the number of its file
    "spml": [("embed", 1), ("embed", 3), ("embed", 6), ("relabel", 2), ("classify", 4)],
    "full": [("train", 1), ("train", 2), ("train", 5)],
    "partial": [("train", 3)],
    "regularized": [("partial", 2), ("train", 1), ("train", 5)],
    "sec": [("train", 3)],
    **{name: [("train", 3)] for name in ("cam", "affinitynet", "irn", "seam", "sc_cam", "rca")},
    "ldf": [("coarse", 3), ("coarse", 6), ("fine", 1)],
}
STOPS_WITH_TAGS = {
    "spml": [("localise", 2), ("localise/seeds", 1), ("embed", 1)],
    "sec": [("localise", 2), ("localise/seeds", 1), ("train", 2)],
    "affinitynet": [("localise", 2), ("affinity", 1), ("train", 2)],
    "irn": [("irn", 1), ("localise/seeds", 1)],
    "seam": [("localise", 2), ("affinity", 1)],
    "rca": [("localise", 2), ("localise/seeds", 1)],
    "sc_cam": [("round-0", 2), ("round-1", 2), ("affinity", 1)],
}


def run(data, out, method, own=None, **changes):
    shared = {**SETTINGS["train"], **changes}
    settings = merge({"train": shared, method: SETTINGS.get(method, {})}, {method: own or {}})
    return hintseg.train(data, out, method=method, settings=settings)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The data set, for tests that leave it as it is."""
    return draw_data(tmp_path_factory.mktemp("drawn") / "data")


@pytest.fixture(scope="module")
def finished(drawn, tmp_path_factory):
    """A finished run of each method, made when it is first asked for."""
    made = {}

    def get(method):
        if method not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(run_page, "report_run", REPORT_RUN)
                made[method] = run(drawn, tmp_path_factory.mktemp(method) / "run", method)
        return made[method]

    return get


@pytest.mark.parametrize("method", METHODS)
def test_a_run_has_everything_that_predict_needs(drawn, finished, method):
    folder = finished(method)
    for file in ("config.yaml", "run.json", "log.jsonl", "model.safetensors", "model.json"):
        assert (folder / file).is_file(), file
    assert (folder / "report.html").is_file()
    assert not list(folder.rglob("*.part"))
    assert not list(folder.rglob("*.pkl"))
    stages = {path.parent.name for path in folder.glob("*/manifest.json")}
    assert stages <= set(METHODS[method].stage_names)
    dataset = open_dataset(drawn)
    prediction = hintseg.load(folder).predict(dataset.image("pond"))
    assert prediction.labels.shape == dataset.size("pond")
    assert set(prediction.labels.flatten().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_of_every_stage_falls_on_a_drawn_scene(drawn, tmp_path, method):
    own = LONG.get(method, {})
    changes = {"steps": 40, "lr": 0.01, "validate_images": 0, "checkpoint_every": 100}
    folder = run(drawn, tmp_path / "run", method, own, **changes)
    for stage in TRAININGS.get(method, ("train",)):
        losses = [line["loss"] for line in Run(folder).read_log() if line["stage"] == stage]
        assert len(losses) == 40
        assert sum(losses[-5:]) < 0.7 * sum(losses[:5]), stage


@pytest.mark.parametrize("method", METHODS)
def test_a_configuration_passed_back_gives_the_same_weights(drawn, finished, tmp_path, method):
    first = finished(method)
    compare(first, hintseg.train(drawn, tmp_path / "run", config=first / "config.yaml"))


@pytest.mark.parametrize("method", METHODS)
def test_another_seed_gives_other_weights(drawn, finished, tmp_path, method):
    one = load_file(finished(method) / "model.safetensors")
    other = load_file(run(drawn, tmp_path / "run", method, seed=1) / "model.safetensors")
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("method", "stop"), [(method, stop) for method in METHODS for stop in STOPS[method]]
)
def test_an_interrupted_run_continues_bit_for_bit(drawn, finished, tmp_path, method, stop):
    with interrupted_at(*stop):
        run(drawn, tmp_path / "run", method)
    compare(finished(method), hintseg.train(drawn, tmp_path / "run", resume=True))


@pytest.mark.parametrize("method", STOPS_WITH_TAGS)
def test_tags_alone_can_be_interrupted_as_well(data_folder, tmp_path, method):
    for name in ("herd", "hill"):
        tags_only(data_folder / "hints" / f"{name}.json")
    whole = run(data_folder, tmp_path / "whole", method)
    assert (whole / "localise" / "manifest.json").is_file()
    for turn, stop in enumerate(STOPS_WITH_TAGS[method]):
        with interrupted_at(*stop):
            run(data_folder, tmp_path / str(turn), method)
        compare(whole, hintseg.train(data_folder, tmp_path / str(turn), resume=True))


@pytest.mark.parametrize(("method", "stop"), [("full", ("train", 1)), ("full", ("train", 4))])
def test_a_killed_run_continues_bit_for_bit(drawn, finished, tmp_path, method, stop):
    with killed_at(*stop):
        run(drawn, tmp_path / "run", method)
    (tmp_path / "run" / "checkpoint").mkdir(exist_ok=True)
    (tmp_path / "run" / "checkpoint" / ".train.safetensors.part").write_bytes(b"half")
    compare(finished(method), hintseg.train(drawn, tmp_path / "run", resume=True))


@pytest.mark.parametrize("stop", [("embed", 4), ("classify", 3)])
def test_a_killed_run_takes_up_what_it_remembered(drawn, finished, tmp_path, stop):
    with killed_at(*stop):
        run(drawn, tmp_path / "run", "spml")
    if stop[0] == "embed":
        saved = load_file(tmp_path / "run" / "checkpoint" / "embed.safetensors")
        steps = {name.split(".")[1] for name in saved if name.startswith("memory.")}
        assert steps == {"0", "1"}
    compare(finished("spml"), hintseg.train(drawn, tmp_path / "run", resume=True))


def test_the_number_of_threads_does_not_change_the_result(data_folder, tmp_path):
    compare(
        run(data_folder, tmp_path / "a", "full", threads=1),
        run(data_folder, tmp_path / "b", "full", threads=4),
    )


def test_resuming_a_finished_run_changes_nothing(data_folder, tmp_path):
    folder = run(data_folder, tmp_path / "run", "full")
    before = (folder / "model.safetensors").read_bytes()
    hintseg.train(data_folder, folder, resume=True)
    assert (folder / "model.safetensors").read_bytes() == before


def test_resuming_on_changed_data_is_refused(data_folder, tmp_path):
    folder = run(data_folder, tmp_path / "run", "full")
    (data_folder / "splits" / "train.txt").write_text("field\n")
    with pytest.raises(RunError, match="has changed since this run began"):
        hintseg.train(data_folder, folder, resume=True)


def test_training_leaves_the_random_state_of_the_caller_alone(data_folder, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(data_folder, tmp_path / "run", "full")
    assert torch.equal(torch.rand(3), expected)


def test_no_masks_no_full_supervision(data_folder, tmp_path):
    (data_folder / "masks" / "hill.png").unlink()
    with pytest.raises(DataError, match=r"hill.png: no such mask \(1 of 4 train images have none"):
        run(data_folder, tmp_path / "run", "full")
    assert not (tmp_path / "run").exists()


def test_masks_alone_are_enough_for_full_supervision(data_folder, tmp_path):
    for path in (data_folder / "hints").glob("*.json"):
        path.unlink()
    (data_folder / "dataset.yaml").write_text("classes: [grass, cow, sky]\n")  # no splits either
    folder = run(data_folder, tmp_path / "run", "full")
    assert json.loads((folder / "train" / "manifest.json").read_text())["images"] == 8


def test_a_class_in_no_train_mask_is_said_by_who_learns_from_masks(data_folder, tmp_path):
    with (data_folder / "dataset.yaml").open() as file:
        text = file.read().replace("sky]", "sky, sea]")
    (data_folder / "dataset.yaml").write_text(text)
    with pytest.warns(DataWarning, match=r"yaml: no mask of the train split shows 'sea'$"):
        run(data_folder, tmp_path / "run", "full")


@pytest.mark.parametrize("method", ["partial", "spml", "regularized", "sec"])
def test_a_class_without_any_train_hint_is_said_by_who_learns_from_hints(data_folder, method):
    with (data_folder / "dataset.yaml").open() as file:
        text = file.read().replace("sky]", "sky, sea]")
    (data_folder / "dataset.yaml").write_text(text)
    with pytest.warns(DataWarning, match="yaml: no hint of the train split for 'sea'; give some"):
        METHODS[method].recipe().check(
            open_dataset(data_folder), METHODS[method].recipe().settings()
        )


def test_one_class_alone_is_said(data_folder):
    (data_folder / "dataset.yaml").write_text("classes: [cow]\n")
    for path in (data_folder / "hints").iterdir():
        path.write_text(path.read_text().replace("grass", "cow").replace("sky", "cow"))
    with pytest.warns(DataWarning, match=r"'cow' is the only class, .* background: rest"):
        METHODS["spml"].recipe().check(
            open_dataset(data_folder), METHODS["spml"].recipe().settings()
        )


def test_tags_alone_do_not_teach_partial_cross_entropy(data_folder, tmp_path):
    for path in (data_folder / "hints").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "shapes": []}))
    with pytest.raises(DataError, match="not from tags or boxes alone"):
        run(data_folder, tmp_path / "run", "partial")


def test_a_batch_that_the_devices_cannot_share_is_refused(data_folder, tmp_path):
    with pytest.raises(ConfigError, match=r"batch=3 must be a multiple of --devices 2"):
        run(data_folder, tmp_path / "run", "full", batch=3, devices=2)


def test_a_loss_that_is_not_finite_stops_the_run(data_folder, tmp_path):
    with pytest.raises(RunError, match="lower the learning rate"):
        run(data_folder, tmp_path / "run", "full", lr=1e30, optimizer="sgd", warmup=0)


def tags_only(path):
    document = json.loads(path.read_text())
    tags = {shape["label"]: True for shape in document["shapes"]}
    path.write_text(json.dumps({**document, "shapes": [], "flags": {**document["flags"], **tags}}))


def compare(one, two):
    first, second = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first)
    logs = [
        [
            {k: line.get(k) for k in ("stage", "step", "loss", "lr", "val")}
            for line in Run(folder).read_log()
        ]
        for folder in (one, two)
    ]
    assert logs[0] == logs[1]
    for name in ("prototypes.safetensors", "relabel/labels/herd.png", "localise/seeds/herd.png"):
        assert (one / name).exists() == (two / name).exists()
        if (one / name).exists():
            assert content(one / name) == content(two / name), name


def content(path):
    """Label maps as bytes; tensors by name: their file has its keys in any order."""
    if path.suffix == ".png":
        return path.read_bytes()
    return {name: tensor.tolist() for name, tensor in load_file(path).items()}


@contextmanager
def interrupted_at(stage, number):
    """A real SIGINT while a step of a stage is done, or a file of it written."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
    with pytest.MonkeyPatch.context() as patch:
        at_step(stage, number, patch, lambda: signal.raise_signal(signal.SIGINT))
        at_file(stage, number, patch, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            yield


@contextmanager
def killed_at(stage, number):
    """Stop dead at a step, before anything of it is logged or saved."""

    def die():
        raise SystemError("killed")

    with pytest.MonkeyPatch.context() as patch:
        at_step(stage, number, patch, die)
        with pytest.raises(SystemError):
            yield


def at_step(stage, number, patch, happen):
    original = TrainingMonitor.on_step

    def on_step(self, step, losses, waited, *, advance):
        if (self.stage, step + 1) == (stage, number):
            happen()
        original(self, step, losses, waited, advance=advance)

    patch.setattr(TrainingMonitor, "on_step", on_step)


def at_file(stage, number, patch, happen):
    """At the label map that is the `number`th below the folder of a stage."""
    original, written = label_maps.write_label_map, []

    def write(path, labels, **keywords):
        written.extend([path] if f"/{stage}/" in path.as_posix() else [])
        if written and len(written) == number and path == written[-1]:
            happen()
        original(path, labels, **keywords)

    for module in (localise_stage, spml_recipe):
        patch.setattr(module, "write_label_map", write)


# What run.json says of the supervision


def supervision(drawn, out, method, own=None, **train):
    short = {"steps": 1, "validate_every": 1, **train}
    found = json.loads((run(drawn, out, method, own, **short) / "run.json").read_text())
    return found["hints"], found["extra_supervision"], found["init"]["trained_on"]


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"full", "ldf"}))
def test_what_was_used_is_recorded(drawn, tmp_path, method):
    hints, beyond, _ = supervision(drawn, tmp_path / "run", method, validate_images=0)
    names, dataset = open_dataset(drawn).hinted_names(), open_dataset(drawn)
    assert hints["images"] == len(names)
    for kind in ("point", "scribble", "box", "polygon"):
        shapes = [sum(s.kind == kind for s in dataset.hints(name).shapes) for name in names]
        expected = {"images": sum(map(bool, shapes)), "hints": sum(shapes)}
        assert hints.get(kind, {"images": 0, "hints": 0}) == expected
    assert beyond == "none"


def test_masks_that_choose_the_best_step_are_supervision(drawn, tmp_path):
    _, beyond, trained_on = supervision(drawn, tmp_path / "run", "partial", weights="random")
    assert len(beyond) == 1
    assert beyond[0].startswith("dense masks of")
    assert "validation" in beyond[0]
    assert trained_on == "nothing"


@pytest.mark.parametrize(
    ("method", "own"), [("full", {}), ("spml", {"labels": "masks"}), ("ldf", {})]
)
def test_dense_masks_are_no_hints(drawn, tmp_path, method, own):
    hints, beyond, _ = supervision(drawn, tmp_path / "run", method, own, validate_images=0)
    count = len(open_dataset(drawn).train_names())
    assert hints == {"images": 0}
    assert beyond == [f"dense masks of {count} images (what it learns from)"]


def test_masks_for_retrieval_are_recorded(drawn, tmp_path):
    own = {"retrieval": {"masks": True}}
    hints, beyond, _ = supervision(drawn, tmp_path / "run", "spml", own, validate_images=0)
    assert hints["images"] > 0
    assert len(beyond) == 1
    assert beyond[0].endswith("(they name the segments for retrieval)")
