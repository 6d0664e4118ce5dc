"""Recipes of papers: each can be trained, and the documents say the same."""

import re
from pathlib import Path

import pytest

from conftest import TINY
from hintseg import cli
from hintseg.engine.run import read_config
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.methods import METHODS
from hintseg.methods.config import make_config
from hintseg.predict.options import PredictOptions
from hintseg.recipes.reading import by_recipe, read_recipe, recipe_names

PAGE = Path(__file__).parents[2] / "docs" / "reproduce.md"


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_a_method_with_settings_that_can_be(name):
    recipe = read_recipe(name)
    assert recipe.method in METHODS
    config = make_config(recipe.method, "", preset=recipe.preset, sections=recipe.settings)
    assert config.train.steps >= 8000
    needed = {"paper", "data", "hints", "predict", "published", "conditions", "hours"}
    assert needed == set(recipe.about)
    assert all(20 < figure < 90 for figure in recipe.about["published"].values())
    crf = re.search(r"--crf (\w+)", recipe.about["predict"])
    PredictOptions(crf=crf and crf[1])


@pytest.mark.parametrize("name", recipe_names())
def test_the_page_has_every_recipe_with_its_published_figures(name):
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"`{name}`" in line]
    assert len(lines) == 1
    for figure in read_recipe(name).about["published"].values():
        assert f"{figure:.1f}" in lines[0]


def test_given_settings_go_over_those_of_a_recipe():
    method, preset, settings = by_recipe("voc2012/full", None, None, {"train": {"steps": 5}})
    assert (method, preset, settings["train"]["steps"]) == ("full", "deeplab-v2", 5)


@pytest.mark.parametrize(("method", "preset"), [("sec", None), (None, "voc-tag")])
def test_another_method_beside_a_recipe_is_refused(method, preset):
    with pytest.raises(ConfigError, match=f"leave --(method|preset) {method or preset} out"):
        by_recipe("voc2012/full", method, preset, {})


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'voc2012/spml-point'"):
        read_recipe("voc2012/spml-points")


def test_the_command_trains_a_recipe(data_folder, tmp_path, monkeypatch):
    changes = {**TINY, "steps": 2, "size": 64, "output_stride": 16, "freeze": 0}
    pairs = [word for key, value in changes.items() for word in ("--set", f"train.{key}={value}")]
    run = tmp_path / "run"
    words = ["train", str(data_folder), "--recipe", "voc2012/full", "--out", str(run), *pairs]
    monkeypatch.setattr("sys.argv", ["hintseg", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    kept = read_config(run / "config.yaml")
    assert (kept["method"], kept["train"]["optimizer"], kept["train"]["steps"]) == (
        "full",
        "sgd",
        2,
    )
