"""Settings of a training: what the user may set, with defaults, bounds and help texts."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hintseg.documents.from_yaml import parse_yaml
from hintseg.errors import ConfigError, UnknownNameError
from hintseg.hints.raster import BRUSH, Brush
from hintseg.models.backbone import DEFAULT_BACKBONE

SettingsT = TypeVar("SettingsT", bound="Settings")
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """Frozen, complete and strict: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TrainSettings(Settings):
    """What all methods share."""

    backbone: str = Field(DEFAULT_BACKBONE, description="name of the timm network")
    weights: str = Field("imagenet", description="imagenet, random, or a file of weights")
    output_stride: Literal[8, 16, 32] = Field(
        16, description="stride of the coarsest features, in pixels"
    )
    dim: int = Field(64, ge=1, description="length of the embedding of a pixel")
    width: int = Field(128, ge=1, description="channels of the head")
    steps: int = Field(500, ge=1, description="number of optimiser steps")
    batch: int = Field(8, ge=1, description="images in a step, over all devices")
    size: int | None = Field(
        None, ge=16, description="longer side to which every image is brought; null: as it is"
    )
    crop: int = Field(256, ge=32, description="side of the training crops, in pixels")
    seed: int = Field(0, ge=0, description="seed of everything random")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0, description="learning rate of new weights")
    pretrained_factor: float = Field(0.2, ge=0, description="factor on lr for pretrained weights")
    bias_factor: float = Field(1.0, ge=0, description="factor on lr for biases and norms")
    weight_decay: float = Field(0.01, ge=0)
    momentum: Share = 0.9
    nesterov: bool = Field(False, description="Nesterov's form of the momentum, of sgd")
    power: float = Field(0.9, ge=0, description="exponent of the polynomial learning-rate schedule")
    warmup: int = Field(25, ge=0, description="steps until the full learning rate")
    freeze: int = Field(0, ge=0, description="number of first backbone stages that are not trained")
    freeze_norm: bool = Field(True, description="keep the batch statistics of the backbone")
    scale: tuple[float, float] = Field(
        (0.8, 2.0), description="range of the random size factor of training images"
    )
    zoom: float | None = Field(
        None, gt=0, description="size factor of prediction, times size; null: mean of scale"
    )
    jitter: Share = Field(0.3, description="relative range of brightness, contrast and saturation")
    hue: float = Field(
        0.03, ge=0, le=0.5, description="range of the hue, in turns of the colour circle"
    )
    point_radius: float = Field(
        BRUSH.point_radius,
        gt=0,
        lt=1,
        description="radius of a drawn point, as a share of the longer side",
    )
    scribble_width: float = Field(
        BRUSH.scribble_width,
        gt=0,
        lt=1,
        description="width of a drawn stroke, as a share of the longer side",
    )
    log_every: int = Field(10, ge=1)
    checkpoint_every: int = Field(100, ge=1)
    validate_every: int = Field(100, ge=1)
    validate_images: int = Field(
        100, ge=0, description="largest number of images in a validation; 0: no validation"
    )
    picture_every: int = Field(
        0, ge=0, description="steps between pictures of what the network sees by then; 0: none"
    )
    threads: int = Field(2, ge=1, description="threads that prepare batches")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1)
    precision: Literal["32", "bf16", "16"] = "32"

    @property
    def brush(self) -> Brush:
        """How wide hints are drawn."""
        return Brush(self.point_radius, self.scribble_width)


def parse_overrides(pairs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`["train.lr=0.01"]` -> `{"train": {"lr": 0.01}}`; values are YAML.

    Raises:
        ConfigError: Not of the form section.key=value.
    """
    settings: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        *sections, name = key.strip().split(".")
        if not (equals and name and sections and all(sections)):
            raise ConfigError(f"--set {pair:.200}: write section.key=value, such as train.lr=0.001")
        value = {name: _value(pair, text)}
        for section in reversed(sections):
            value = {section: value}
        settings = merge(settings, value)
    return settings


def _value(pair: str, text: str) -> Any:  # noqa: ANN401 - YAML gives any value
    try:
        value = parse_yaml(text)
        return float(value) if isinstance(value, str) and _is_number(value) else value
    except ValueError as error:
        raise ConfigError(f"--set {pair:.200}: {text!r:.200} is not a YAML value") from error


def _is_number(text: str) -> bool:
    """YAML 1.1 reads 1e-3 as a string; people mean the number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def merge(*layers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sections of settings, later layers over earlier ones, key by key at every depth."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, values in layer.items():
            if not isinstance(values, Mapping):
                raise ConfigError(f"{section}: must be a mapping of settings, got {values!r:.60}")
            merged[section] = _over(merged.get(section, {}), values)
    return merged


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(below)
    for key, value in above.items():
        known = values.get(key)
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        values[key] = _over(known, value) if both else value  # type: ignore[arg-type]
    return values


def validated(kind: type[SettingsT], section: str, values: Mapping[str, Any]) -> SettingsT:
    """Build settings from a section.

    Raises:
        ConfigError: An unknown key (with the nearest known one) or a value that cannot be.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{section}: must be a mapping of settings, got {values!r:.60}")
    _refuse_unknown(kind, section, values)
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([section, *(str(part) for part in first["loc"])])
        raise ConfigError(f"{where}: {first['msg']}, got {first['input']!r:.60}") from error


def _refuse_unknown(kind: type[Settings], section: str, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if not kind.model_fields:
            raise ConfigError(
                f"{section}.{key}: {section} has no settings of its own; leave it out"
            )
        if key not in kind.model_fields:
            known = [f"{section}.{name}" for name in kind.model_fields]
            raise UnknownNameError("setting", f"{section}.{key}", known)
        inner = kind.model_fields[key].annotation
        if isinstance(inner, type) and issubclass(inner, Settings) and isinstance(value, Mapping):
            _refuse_unknown(inner, f"{section}.{key}", value)
