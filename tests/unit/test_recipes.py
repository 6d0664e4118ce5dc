"""Recipes of papers: each can be trained, and the documents say the same."""

import re
from pathlib import Path

import pytest

from conftest import TINY
from hintseg import cli
from hintseg.compare.plan import setting_words
from hintseg.data.dataset import open_dataset
from hintseg.data.simulated import simulate_dataset
from hintseg.engine.run import read_config
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.formats.importing import import_dataset
from hintseg.methods import METHODS
from hintseg.methods.config import make_config
from hintseg.predict.options import PredictOptions
from hintseg.recipes.reading import by_recipe, read_recipe, recipe_names
from layouts import densepose, duts, voc2012

PAGE = Path(__file__).parents[2] / "docs" / "reproduce.md"


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_a_method_with_settings_that_can_be(name):
    recipe = read_recipe(name)
    assert recipe.method in METHODS
    config = make_config(recipe.method, "", preset=recipe.preset, sections=recipe.settings)
    assert config.train.steps >= 8000
    needed = {"paper", "data", "hints", "predict", "published", "conditions", "hours"}
    assert needed == set(recipe.about)
    published = recipe.about["published"].items()
    assert all(("MAE" in what) != (20 < figure < 95) for what, figure in published)
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


IMPORTED = {
    "voc2012": ("voc", voc2012),
    "densepose": ("densepose", densepose),
    "duts": ("saliency", duts),
}
KINDS = {"box": "boxes", "point": "points", "scribble": "scribbles"}  # by the end of the name
SMALL = {
    **TINY,
    "steps": 2,
    "size": 64,
    "crop": 64,
    "output_stride": 16,
    "freeze": 0,
    "validate_images": 1,
}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """Each of the papers' data sets, as its users have it."""
    root = tmp_path_factory.mktemp("layouts")
    return {name: write(root / name) for name, (_, write) in IMPORTED.items()}


def brought_in(name, layouts, out):
    """The data of a recipe, by the commands of docs/reproduce.md."""
    data, _, recipe = name.partition("/")
    kind = next((kinds for word, kinds in KINDS.items() if word in recipe), "masks")
    kinds = [kind, "masks"] if data == "voc2012" else []
    import_dataset(IMPORTED[data][0], layouts[data], out, kinds=kinds)
    if not recipe.endswith("tag"):
        return open_dataset(out)
    simulate_dataset(open_dataset(out), out.with_name("tagged"), kinds=["tags"], seed=0)
    return open_dataset(out.with_name("tagged"))


@pytest.mark.filterwarnings("ignore::hintseg.errors.DataWarning")  # of so few images
@pytest.mark.parametrize("name", recipe_names())
def test_the_data_of_a_recipe_as_it_lies_on_disk_can_teach_it(name, layouts, tmp_path):
    dataset = brought_in(name, layouts, tmp_path / "data")
    recipe = read_recipe(name)
    config = make_config(recipe.method, "", preset=recipe.preset, sections=recipe.settings)
    config.recipe.check(dataset, config.own)
    supervised = not config.recipe.sees(dataset, config.own).hinted
    assert supervised == recipe.about["hints"].startswith("none")


def shortened(method):
    """Settings by which every stage of a method has a step or two."""
    localise = {"steps": 1, "output_stride": 16, "scales": [1.0], "flip": False, "crf": None}
    expand = {"expand": {"steps": 1, "walk": 2, "crf": None}}
    own = {
        "localise": {**localise, **expand},
        "first": {"steps": 1},
        "classify": {"steps": 1},
        "relabel": {"rounds": ["retrieval"], "steps": 1, "crf": None},
        "regions": {"count": 10},
        "grid": 3,
        "iterations": 2,
        "retrieval": {"grid": 3},
        "fine_steps": 1,
    }
    fields = make_config(method, "").recipe.settings.model_fields
    mine = {key: value for key, value in own.items() if key in fields}
    if method == "regularized":
        del mine["localise"]  # strokes need no seeds
    return {"train": SMALL, **({method: mine} if mine else {})}


def one_of_each():
    """A recipe of every method on every data set; the others differ by their hints alone."""
    return {(name.partition("/")[0], read_recipe(name).method): name for name in recipe_names()}


@pytest.mark.filterwarnings("ignore::hintseg.errors.DataWarning")
@pytest.mark.parametrize("name", one_of_each().values())
def test_the_command_trains_a_recipe(name, layouts, tmp_path, monkeypatch):
    data = brought_in(name, layouts, tmp_path / "data").root
    recipe = read_recipe(name)
    pairs = setting_words(shortened(recipe.method))
    run = tmp_path / "run"
    words = ["train", str(data), "--recipe", name, "--out", str(run), *pairs]
    monkeypatch.setattr("sys.argv", ["hintseg", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    kept = read_config(run / "config.yaml")
    assert (kept["method"], kept["train"]["optimizer"]) == (recipe.method, "sgd")
    assert kept["train"]["steps"] == 2
    assert (run / "model.safetensors").exists()
