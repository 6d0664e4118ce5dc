"""The names that others may import: a list that changes only on purpose, each documented."""

import importlib
import inspect
from pathlib import Path

import pytest

LIST = Path(__file__).parents[1] / "public_names.txt"
ROOMS = (
    "hintseg",
    "hintseg.filters",
    "hintseg.hints",
    "hintseg.losses",
    "hintseg.metrics",
    "hintseg.models",
    "hintseg.refine",
    "hintseg.regions",
    "hintseg.saliency",
    "hintseg.seeds",
    "hintseg.segments",
)
NEEDS_FILES = {  # an example would be a page long; docs and examples show them
    "hintseg.evaluate",
    "hintseg.load",
    "hintseg.open_dataset",
    "hintseg.simulate_dataset",
    "hintseg.train",
    "hintseg.use_cores",
    "hintseg.models.build_model",
    "hintseg.models.load_model",
    "hintseg.models.load_weights",
    "hintseg.models.save_model",
}


def public():
    for room in ROOMS:
        module = importlib.import_module(room)
        for name in module.__all__:
            yield f"{room}.{name}", getattr(module, name)


FOUND = dict(public())


def test_the_public_names_are_those_of_the_list():
    assert sorted(FOUND) == LIST.read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", sorted(n for n, o in FOUND.items() if inspect.isroutine(o)))
def test_a_public_function_is_documented_and_shows_itself(name):
    text = inspect.getdoc(FOUND[name]) or ""
    assert text
    assert ">>>" in text or name in NEEDS_FILES


@pytest.mark.parametrize("name", sorted(n for n, o in FOUND.items() if inspect.isclass(o)))
def test_a_public_class_is_documented_with_its_methods(name):
    kind = FOUND[name]
    assert kind.__doc__
    own = [m for n, m in vars(kind).items() if inspect.isfunction(m) and not n.startswith("_")]
    assert all(method.__doc__ for method in own)


@pytest.mark.parametrize("room", ROOMS[1:])
def test_no_public_name_is_also_a_module(room):
    """`hintseg.refine.dense_crf` was both: which one it was depended on what was imported."""
    module = importlib.import_module(room)
    folder = Path(module.__file__).parent if module.__file__.endswith("__init__.py") else None
    modules = {path.stem for path in folder.iterdir()} if folder else set()
    assert not modules & set(module.__all__)


def test_a_public_name_of_the_package_is_no_module_of_it():
    package = importlib.import_module("hintseg")
    modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert not modules & set(package.__all__)
