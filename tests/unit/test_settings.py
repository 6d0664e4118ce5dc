import numpy as np
import pytest
import yaml

from hintseg.data.transforms import Augmentation, augment
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.methods import METHODS
from hintseg.methods.config import make_config, parse_config, read_sections
from hintseg.methods.settings import TrainSettings, merge, parse_overrides, validated
from hintseg.structures import Sample, WeakLabels


def test_overrides_are_yaml_values_by_section():
    assert parse_overrides(["train.lr=1e-3", "train.scale=[0.5, 2]", "full.x=null"]) == {
        "train": {"lr": 0.001, "scale": [0.5, 2]},
        "full": {"x": None},
    }


@pytest.mark.parametrize("text", ["lr=1", "train.lr", "=", "train.=1", ".lr=1", "train.lr=[1", ""])
def test_a_malformed_override_says_how_to_write_it(text):
    with pytest.raises(ConfigError, match="--set"):
        parse_overrides([text])


def test_an_unknown_setting_proposes_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no setting named 'train.stpes'; .*'train.steps'"):
        validated(TrainSettings, "train", {"stpes": 3})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", 0),
        ("lr", -1),
        ("lr", float("nan")),
        ("batch", "many"),
        ("precision", "8"),
        ("size", 3),
    ],
)
def test_a_value_that_cannot_be_is_named(key, value):
    with pytest.raises(ConfigError, match=rf"train.{key}: .*, got "):
        validated(TrainSettings, "train", {key: value})


@pytest.mark.parametrize("name", METHODS)
def test_a_dumped_configuration_parses_to_itself(name):
    config = make_config(name, "data", sections={"train": {"steps": 7, "scale": [0.5, 1.5]}})
    method, sections = parse_config(config.dump(), "config.yaml")
    assert make_config(method, "data", sections=sections) == config


@pytest.mark.parametrize(
    ("method", "preset"), [(m.name, p) for m in METHODS.values() for p in m.presets]
)
def test_every_preset_is_valid(method, preset):
    make_config(method, "data", preset=preset)


OLD = {  # as version 0.1.0 wrote it before these sections went
    "energy": {"kind": "none", "weight": 1.0, "entropy": 0.0, "kernel": {"sxy": 0.2}},
    "sec": {"expand": 0.0, "constrain": 0.0, "decay": 0.996, "crf": {"steps": 10}},
}


def write_old(file, **changes):
    own = {key: {**values, **changes.get(key, {})} for key, values in OLD.items()}
    file.write_text(yaml.safe_dump({"method": "spml", "data": "d", "spml": {"grid": 5, **own}}))
    return file


def test_settings_that_are_no_more_are_passed_over_where_they_were_off(tmp_path):
    assert read_sections(write_old(tmp_path / "config.yaml")) == ("spml", {"spml": {"grid": 5}})


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [("energy", "kind", "crf"), ("energy", "entropy", 0.1), ("sec", "expand", 0.5)],
)
def test_settings_that_are_no_more_are_refused_where_they_were_on(tmp_path, key, name, value):
    file = write_old(tmp_path / "config.yaml", **{key: {name: value}})
    message = rf"config.yaml: spml.{key}.{name}={value}: hintseg has no spml.{key} any more"
    with pytest.raises(ConfigError, match=message):
        read_sections(file)


def test_a_setting_that_is_no_more_cannot_be_set():
    with pytest.raises(UnknownNameError, match=r"spml\.energy"):
        make_config("spml", "data", sections={"spml": {"energy": {"kind": "none"}}})


def test_given_settings_win_over_the_preset():
    config = make_config("full", "d", preset="deeplab-v2", sections={"train": {"steps": 3}})
    assert (config.train.steps, config.train.backbone) == (3, "resnet101")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"method": "ful"}, "no method named 'ful'; did you mean 'full'"),
        ({"method": "full", "preset": "deeplab"}, "did you mean 'deeplab-v2'"),
        ({"method": "full", "sections": {"trian": {}}}, "did you mean 'train'"),
    ],
)
def test_unknown_names_propose_the_nearest(keywords, message):
    with pytest.raises(UnknownNameError, match=message):
        make_config(keywords.pop("method"), "data", **keywords)


def test_continuing_with_other_settings_is_refused():
    config = make_config("full", "data", sections={"train": {"steps": 7}})
    config.refuse_changes("full", {"train": {"steps": 7}}, "run")
    config.refuse_changes(None, {}, "run")
    with pytest.raises(ConfigError, match=r"was started with train.steps=7, not 8"):
        config.refuse_changes("full", {"train": {"steps": 8}}, "run")
    with pytest.raises(ConfigError, match=r"method.name=full, not partial"):
        config.refuse_changes("partial", {}, "run")


def test_sections_that_are_no_mappings_are_refused():
    with pytest.raises(ConfigError, match="must be a mapping"):
        merge({"train": 3})


JITTERED = {"cam", "affinitynet", "irn", "seam", "sc_cam", "rca"}  # published with colour jitter
PRESETS = [(m.name, name) for m in METHODS.values() for name in m.presets if m.name not in JITTERED]


@pytest.mark.parametrize(("method", "preset"), PRESETS)
def test_a_published_preset_changes_no_colour(method, preset):
    """None of the others has colour jitter: a view has the colours of the plain crop."""
    train = make_config(method, "data", preset=preset).train
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    none = np.zeros((24, 24), np.int16), np.zeros(2, bool), np.zeros(2, bool), np.zeros((0, 5))
    view = Augmentation(crop=24, scale=(1.0, 1.0), jitter=train.jitter, hue=train.hue)
    for seed in range(4):
        sample, rng = Sample("a", image, WeakLabels(*none)), np.random.default_rng(seed)
        seen = augment(sample, rng, settings=view).image
        assert any(np.array_equal(seen, plain) for plain in (image, image[:, ::-1]))


def test_a_method_without_settings_says_so():
    with pytest.raises(ConfigError, match=r"full.localise: full has no settings of its own"):
        make_config("full", "data", sections={"full": {"localise": {"cue": "run"}}})
