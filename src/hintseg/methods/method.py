"""What a method is to the rest of the program: a light record; its code comes when it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hintseg.methods.job import Recipe

Presets = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Method:
    """One paper's recipe, as a user reads of it and chooses it."""

    name: str
    summary: str
    takes: str  # the hints it learns from
    paper: str
    code: str  # where its Recipe is: package.module:NAME
    stage_names: tuple[str, ...] = ("train",)
    presets: Presets = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)  # where they differ from the recipe's

    def recipe(self) -> "Recipe[Any]":
        """Its settings, checks and stages; imports its code."""
        module, _, name = self.code.partition(":")
        found: Recipe[Any] = getattr(import_module(module), name)
        return found
