"""What a comparison does: its settings, its cells, and the file that keeps both."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hintseg.compare.choices import DEFAULT_CRF, HintChoice
from hintseg.data.dataset import Dataset, open_dataset
from hintseg.errors import ConfigError, RunError, UnknownNameError
from hintseg.files import read_json, write_json
from hintseg.methods import find_method
from hintseg.methods.config import Config, make_config
from hintseg.methods.settings import merge
from hintseg.plain import is_file_name

PLAN_FILE = "compare.json"
SPLITS = ("test", "val")
OPTIONS = ("backbone", "steps", "size", "crop", "batch", "device", "devices", "precision")
"""Settings of a training that have options of their own."""

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: a method on hints with a seed; `reason` says why it is not done."""

    method: str
    hints: HintChoice
    seed: int
    reason: str = ""

    @property
    def name(self) -> str:
        """Its name and that of its folder.

        >>> Cell("spml", HintChoice("points"), 0).name
        'points-spml-0'
        """
        return f"{self.hints.slug}-{self.method}-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A comparison. More methods, hints, seeds, variants and splits may come; the rest is fixed."""

    data: str
    digest: str  # of the data set
    cells: tuple[Cell, ...]
    settings: Sections = field(default_factory=dict)
    variants: tuple[str, ...] = ("plain",)
    splits: tuple[str, ...] = SPLITS
    crf: str = DEFAULT_CRF

    def dataset(self) -> Dataset:
        """The data set, which must be as it was.

        Raises:
            RunError: Its labels, splits or classes have changed.
        """
        dataset = open_dataset(self.data)
        if dataset.digest != self.digest:
            raise RunError(
                f"{self.data}: has changed since this comparison began (labels, splits or "
                "classes); compare anew with another --out"
            )
        return dataset

    def config(self, cell: Cell, data: str) -> Config:
        """The complete configuration of a cell's training."""
        return config_of(self.settings, cell.method, data, seed=cell.seed)

    @property
    def todo(self) -> tuple[Cell, ...]:
        """Cells that make sense."""
        return tuple(cell for cell in self.cells if not cell.reason)

    def find(self, text: str) -> Cell:
        """A cell by its name, or by its number, counted from 1.

        Raises:
            UnknownNameError: No such cell.
        """
        if text.isdigit() and 1 <= int(text) <= len(self.cells):
            return self.cells[int(text) - 1]
        named = {cell.name: cell for cell in self.cells}
        if text not in named:
            raise UnknownNameError("cell", text, named)
        return named[text]


def config_of(settings: Sections, method: str, data: str, *, seed: int) -> Config:
    """Shared settings, those of the method alone among the others, and the seed."""
    mine = {key: settings[key] for key in ("train", method) if key in settings}
    return make_config(method, data, sections=merge(mine, {"train": {"seed": seed}}))


def checked_settings(settings: Sections, methods: Sequence[str]) -> Sections:
    """Settings that all methods can be trained with.

    Raises:
        UnknownNameError: No such method or setting, or a section of a method that is not compared.
        ConfigError: A value that cannot be, or the seed, which each cell has of its own.
    """
    for method in methods:
        find_method(method)
    for section in settings:
        if section not in ("train", *methods):
            raise UnknownNameError("section of settings", section, ("train", *methods))
    if "seed" in settings.get("train", {}):
        raise ConfigError("train.seed: every cell has its own; give --seeds 0,1,2")
    for method in methods:
        config_of(settings, method, "", seed=0)
    return settings


def read_plan(root: Path) -> Plan:
    """The plan that a folder keeps.

    Raises:
        RunError: The folder holds no comparison, or a damaged one.
    """
    file = root / PLAN_FILE
    if not file.is_file():
        raise RunError(f"{root}: holds no comparison; begin one with --methods, --hints and --out")
    content = read_json(file)
    try:
        cells = [{**cell, "hints": HintChoice(**cell["hints"])} for cell in content["cells"]]
        lists = {key: tuple(content[key]) for key in ("variants", "splits")}
        return _checked(Plan(**{**content, **lists, "cells": tuple(Cell(**c) for c in cells)}))
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RunError(
            f"{file}: damaged ({reason}); delete it, and give all options again"
        ) from error


def _checked(plan: Plan) -> Plan:
    """A plan of a file; its names become those of files: ValueError for others."""
    for cell in plan.cells:
        texts = all(isinstance(t, str) for t in (cell.method, cell.hints.name, cell.reason))
        numbers = type(cell.seed) is int and type(cell.hints.fraction) in (int, float)
        if not (texts and numbers and is_file_name(cell.name)):
            raise ValueError(f"no cell: {cell!r:.80}")
    for name in (*plan.variants, *plan.splits):
        if not isinstance(name, str) or not is_file_name(name):
            raise ValueError(f"no name of a split or variant: {name!r:.40}")
    if not plan.splits or not plan.variants:
        raise ValueError("no split or no variant")
    texts = all(isinstance(text, str) for text in (plan.data, plan.digest, plan.crf))
    if not texts or not isinstance(plan.settings, Mapping):
        raise ValueError("data, digest and crf are texts, settings an object")
    return replace(plan, settings=merge(plan.settings))


def write_plan(root: Path, plan: Plan) -> None:
    """Keep a plan in its folder."""
    write_json(root / PLAN_FILE, json.loads(json.dumps(asdict(plan))))


def joined(old: Plan, new: Plan, where: str) -> Plan:
    """Old cells in their order, and the new ones behind them; settings not given are the old ones.

    Raises:
        ConfigError: What is fixed differs.
    """
    if Path(old.data).resolve() != Path(new.data).resolve():
        raise _differs(where, "data set", old.data, new.data)
    if old.digest != new.digest:
        raise RunError(
            f"{new.data}: has changed since the comparison in {where} began (labels, splits or "
            "classes); compare anew with another --out"
        )
    if old.crf != new.crf:
        raise _differs(where, "CRF", old.crf, new.crf)
    known = {"train", *(cell.method for cell in old.cells)}
    kept = _flat(old.settings)
    for name, value in _flat(new.settings).items():
        if name.split(".")[0] in known and kept.get(name) != value:
            raise _differs(where, name, kept.get(name), value)
    cells = {cell.name: cell for cell in new.cells} | {cell.name: cell for cell in old.cells}
    order = dict.fromkeys([*(cell.name for cell in old.cells), *(cell.name for cell in new.cells)])
    return replace(
        old,
        cells=tuple(cells[name] for name in order),
        settings=merge(new.settings, old.settings),
        variants=tuple(dict.fromkeys([*old.variants, *new.variants])),
        splits=tuple(dict.fromkeys([*old.splits, *new.splits])),
    )


def _differs(where: str, name: str, kept: object, given: object) -> ConfigError:
    kept, given = ("the default" if value is None else value for value in (kept, given))
    return ConfigError(
        f"{where}: its comparison has {name} {kept}, not {given}; leave the option as it was, "
        "or choose another --out"
    )


def _flat(sections: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name."""
    found: dict[str, Any] = {}
    for key, value in sections.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def setting_words(settings: Sections) -> list[str]:
    """The words of `hintseg train` that set the same.

    >>> setting_words({"train": {"steps": 5, "scale": [0.5, 2.0]}})
    ['--steps', '5', '--set', 'train.scale=[0.5, 2.0]']
    """
    words = []
    for name, value in _flat(settings).items():
        option = name.removeprefix("train.")
        if option in OPTIONS:
            words += [f"--{option}", str(value)]
        else:
            words += ["--set", f"{name}={json.dumps(value)}"]
    return words
