"""The complete configuration of a run: method, data, shared settings, the method's own settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hintseg.engine.run import read_config
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.methods import find_method
from hintseg.methods.job import Recipe
from hintseg.methods.method import Method
from hintseg.methods.relabelling import RelabelSettings
from hintseg.methods.settings import Settings, TrainSettings, merge, validated

Sections = Mapping[str, Mapping[str, Any]]

# Settings of older versions, with the values at which they did nothing.
REMOVED: Mapping[str, Mapping[str, Any]] = {
    "spml.energy": {"kind": "none", "entropy": 0.0},
    "spml.sec": {"expand": 0.0, "constrain": 0.0},
}


@dataclass(frozen=True)
class Config:
    """Everything that decides a training; `dump` and `parse` are each other's inverse."""

    method: Method
    data: str
    train: TrainSettings
    own: Settings

    @property
    def recipe(self) -> Recipe[Any]:
        """The code of the method."""
        return self.method.recipe()

    def dump(self) -> dict[str, Any]:
        """Plain values for config.yaml."""
        return {
            "method": self.method.name,
            "data": self.data,
            "train": self.train.model_dump(mode="json"),
            self.method.name: self.own.model_dump(mode="json"),
        }

    def refuse_changes(self, method: str | None, sections: Sections, where: str) -> None:
        """Continuing a run under other settings than its own would give neither run.

        Raises:
            ConfigError: A given setting differs from the run's.
        """
        given = {
            "method": {"name": method or self.method.name},
            **at_home(self.method, sections),
        }
        mine: dict[str, Any] = {**self.dump(), "method": {"name": self.method.name}}
        for name, value, kept in _differences(given, mine):
            raise ConfigError(
                f"{where}: was started with {name}={kept}, not {value}; leave the option out to "
                "continue it, or choose another --out"
            )


def make_config(
    method: str, data: str, *, preset: str | None = None, sections: Sections | None = None
) -> Config:
    """Defaults, then the preset, then the given sections.

    Raises:
        UnknownNameError: No such method, preset, section or setting.
        ConfigError: A value that cannot be.
    """
    chosen = find_method(method)
    given = at_home(chosen, sections or {})
    values = merge({chosen.name: chosen.defaults}, _preset(chosen, preset), given)
    for section in values:
        if section not in ("train", chosen.name):
            raise UnknownNameError("section of settings", section, ("train", chosen.name))
    return Config(
        method=chosen,
        data=data,
        train=validated(TrainSettings, "train", values.get("train", {})),
        own=validated(chosen.recipe().settings, chosen.name, values.get(chosen.name, {})),
    )


def at_home(method: Method, sections: Sections) -> dict[str, Any]:
    """Sections in which parts of the method's own have its name before them.

    `localise.by` is short for `spml.localise.by`, whatever the method, if it has such a part.
    """
    own = method.recipe().settings.model_fields
    parts = {
        name
        for name, field in own.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    }
    short = {name: values for name, values in sections.items() if name in parts}
    rest = {name: values for name, values in sections.items() if name not in parts}
    return merge(rest, {method.name: short}) if short else merge(rest)


def parse_config(content: Mapping[str, Any], where: str) -> tuple[str | None, dict[str, Any]]:
    """Method name and sections of a config.yaml; `data` in it is a record and is not read."""
    rest = {key: value for key, value in content.items() if key not in ("method", "data")}
    method = content.get("method")
    if method is not None and not isinstance(method, str):
        raise ConfigError(f"{where}: method: must be a name, got {method!r:.60}")
    try:
        return method, merge(rest)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def read_sections(file: Path) -> tuple[str | None, dict[str, Any]]:
    """Method name and sections of a config.yaml to train by, which may be of an older version.

    Raises:
        ConfigError: A damaged file, or one with something switched on that is no more.
    """
    method, sections = parse_config(read_config(file), str(file))
    return method, _without_removed(sections, str(file))


def _without_removed(sections: Sections, where: str) -> dict[str, Any]:
    """Sections without the settings of older versions, which must be off."""
    kept = {section: dict(values) for section, values in sections.items()}
    for place, off in REMOVED.items():
        section, key = place.split(".")
        given = kept.get(section, {}).pop(key, off)
        for name, value in off.items():
            found = given.get(name, value) if isinstance(given, Mapping) else given
            if found != value:
                raise ConfigError(
                    f"{where}: {place}.{name}={found}: hintseg has no {place} any more, as it "
                    f"gained nothing; take {place} out of the file to train without it"
                )
    return kept


def label_options(root: Path) -> dict[str, Any]:
    """What `label` has to do as a run did: how hints are drawn, who labels, what comes after.

    The defaults where the folder has no config.yaml.

    Raises:
        ConfigError: A damaged config.yaml.
    """
    file = root / "config.yaml"
    method, sections = parse_config(read_config(file), str(file)) if file.exists() else (None, {})
    train = validated(TrainSettings, "train", sections.get("train", {}))
    own = sections.get(method or "", {}).get("relabel", {})
    relabel = validated(RelabelSettings, f"{method}.relabel", own)
    return {
        "by": relabel.rounds[-1] if relabel.rounds else "classifier",
        **relabel.model_dump(include={"steps", "sharpness", "crf"}),
        "brush": train.brush,
    }


def _differences(
    given: Mapping[str, Any], mine: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, value given, value kept) wherever they differ."""
    for key, value in given.items():
        kept = mine.get(key)
        if isinstance(value, Mapping):
            inner = kept if isinstance(kept, Mapping) else {}
            yield from _differences(value, inner, f"{prefix}{key}.")
        elif value != kept and not (isinstance(value, tuple) and list(value) == kept):
            yield f"{prefix}{key}", value, kept


def _preset(method: Method, name: str | None) -> Sections:
    if name is None:
        return {}
    if name not in method.presets:
        if not method.presets:
            raise ConfigError(f"--preset {name}: method {method.name} has no presets")
        raise UnknownNameError(f"preset of {method.name}", name, method.presets)
    return method.presets[name]
