"""Recipes by name: which there are, and what they set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hintseg.engine.run import read_config
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.methods.settings import merge

FOLDER = Path(__file__).parent
KEYS = {"method", "preset", "about", "train"}

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class PaperRecipe:
    """A training of a paper."""

    name: str
    method: str
    preset: str | None
    about: Mapping[str, Any]  # paper, data, hints, predict, published, conditions, hours
    settings: Sections = field(default_factory=dict)


def recipe_names() -> list[str]:
    """All recipes, such as voc2012/spml-scribble."""
    files = FOLDER.rglob("*.yaml")
    return sorted(file.relative_to(FOLDER).with_suffix("").as_posix() for file in files)


def read_recipe(name: str) -> PaperRecipe:
    """A recipe by its name.

    Raises:
        UnknownNameError: No such recipe; proposes the nearest.

    Example:
        >>> recipe = read_recipe("voc2012/spml-scribble")
        >>> recipe.method, recipe.preset, recipe.about["published"]["val"]
        ('spml', 'voc-scribble', 76.1)
    """
    if name not in recipe_names():
        raise UnknownNameError("recipe", name, recipe_names())
    content = read_config(FOLDER / f"{name}.yaml")
    sections = {key: value for key, value in content.items() if key not in KEYS - {"train"}}
    return PaperRecipe(
        name, content["method"], content.get("preset"), content["about"], merge(sections)
    )


def by_recipe(
    name: str, method: str | None, preset: str | None, settings: Sections
) -> tuple[str, str | None, Sections]:
    """Method, preset and settings of a recipe, under the settings that were given.

    Raises:
        ConfigError: Another method or a preset was given beside it.
    """
    recipe = read_recipe(name)
    if method not in (None, recipe.method) or preset not in (None, recipe.preset):
        other = f"--preset {preset}" if method in (None, recipe.method) else f"--method {method}"
        raise ConfigError(
            f"--recipe {name}: is {recipe.method} with preset {recipe.preset}; leave {other} out"
        )
    return recipe.method, recipe.preset, merge(recipe.settings, settings)
