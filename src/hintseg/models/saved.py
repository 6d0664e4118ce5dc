"""A network on disk: model.safetensors and model.json, all that `predict` needs."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import entry_points
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from hintseg.errors import ConfigError, HintSegError, NotFiniteError, RunError
from hintseg.files import read_json, replacing, write_json
from hintseg.images.reading import AS_STORED, Reading
from hintseg.memory import is_out_of_memory
from hintseg.models.backbone import DEFAULT_BACKBONE, Backbone
from hintseg.models.embedder import Embedder, Segmenter
from hintseg.models.finite import REMEDY, first_not_finite
from hintseg.models.two_branch import TwoBranch
from hintseg.seals import SEAL, SealError, check_seal, sealed
from hintseg.structures import ClassSet

FORMAT = 1
GROUP = "hintseg.models"  # of entry points
SPANS = ("intensity", "channels")  # what JSON has as lists
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
MOST_WIDTH, MOST_SIDE, MOST_ZOOM = 2**13, 2**15, 16.0  # of what a description can ask for


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What has to be known to build a segmenter again and to feed it."""

    classes: tuple[str, ...]
    background: int | None = None
    backbone: str = DEFAULT_BACKBONE
    output_stride: int = 16
    dim: int = 64
    width: int = 128
    unit: bool = False  # the classifier sees directions only
    size: int | None = None  # longer side of the images at which it was trained
    zoom: float = 1.0  # times that: at which it predicts
    reading: Reading = AS_STORED  # how image files become what it sees
    kind: str = "segmenter"  # which builder makes it
    extra: Mapping[str, Any] = field(default_factory=dict)  # what only this kind asks for

    def class_set(self) -> ClassSet:
        """The classes it tells apart."""
        return ClassSet(self.classes, self.background)


def build_segmenter(description: ModelDescription) -> Segmenter:
    """A segmenter with random weights."""
    backbone = Backbone(description.backbone, output_stride=description.output_stride)
    embedder = Embedder(backbone, dim=description.dim, width=description.width)
    return Segmenter(embedder, len(description.classes), unit=description.unit)


def build_two_branch(description: ModelDescription) -> TwoBranch:
    """A network for salient objects with random weights; `dim` is the width of its branches."""
    return TwoBranch(
        Backbone(description.backbone, output_stride=description.output_stride),
        description.class_set(),
        dim=description.dim,
        iterations=int(description.extra.get("iterations", 2)),
    )


class UnknownKindError(RunError):
    """A network that no installed package can build."""


Builder = Callable[[ModelDescription], nn.Module]
BUILDERS: dict[str, Builder] = {"segmenter": build_segmenter, "two-branch": build_two_branch}
"""What makes a network of each kind; other packages add theirs by an entry point of GROUP."""


def build_model(description: ModelDescription) -> nn.Module:
    """A network of the kind that the description names, with random weights.

    It gives class logits at stride 4 for raw colours; `backbone` is its part with given weights.

    Raises:
        RunError: Nobody knows the kind.
    """
    if description.kind in BUILDERS:
        return BUILDERS[description.kind](description)
    for point in entry_points(group=GROUP, name=description.kind):
        builder: Builder = point.load()
        return builder(description)
    raise UnknownKindError(
        f"no network of kind {description.kind!r} is known; install the package that has it, or "
        "update hintseg"
    )


def save_model(folder: Path, model: nn.Module, description: ModelDescription) -> None:
    """Write both files under temporary names, then rename them."""
    write_weights(folder / WEIGHTS, model)
    content = {"format": FORMAT, **asdict(description)}
    write_json(folder / DESCRIPTION, {**content, SEAL: _sum_of(content)})


def write_weights(file: Path, model: nn.Module) -> None:
    """Write the weights of any network, with a checksum of every byte."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with replacing(file) as temporary:
        sealed(temporary, lambda metadata: save_file(tensors, temporary, metadata=metadata))


def read_weights(file: Path, model: nn.Module, *, remedy: str) -> None:
    """Give a network the weights that `write_weights` wrote.

    Raises:
        RunError: Missing, damaged, or of another network; NotFiniteError if a weight is NaN or
            infinite.
    """
    try:
        check_seal(file)
        tensors = load_file(file)
        model.load_state_dict(tensors)
    except (OSError, SafetensorError, SealError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise RunError(f"{file}: cannot be loaded ({reason}); {remedy}") from error
    wrong = first_not_finite(tensors)
    if wrong is not None:
        raise NotFiniteError(f"{file}: tensor {wrong!r} holds NaN or infinity; {REMEDY}")


def _sum_of(content: Mapping[str, Any]) -> str:
    """Checksum of what model.json says: a flipped bit in a number or a name is still JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_model(folder: Path) -> tuple[nn.Module, ModelDescription]:
    """Read a network that `save_model` wrote.

    Raises:
        RunError: The files are missing, damaged or of a newer hintseg; NotFiniteError if a weight
            is NaN or infinite.
    """
    description = _read_description(folder)
    try:
        _refuse_larger(description, folder / WEIGHTS)
        with torch.random.fork_rng():  # random weights come first; the caller's generator stays
            model = build_model(description)
    except (ConfigError, UnknownKindError) as error:
        raise RunError(f"{folder / DESCRIPTION}: {error}") from error
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise _not_loaded(folder, error) from error
    read_weights(folder / WEIGHTS, model, remedy=_other_weights(folder))
    return model.eval(), description


def _not_loaded(folder: Path, error: Exception) -> RunError:
    reason = " ".join(str(error).split())[:160]
    return RunError(f"{folder / WEIGHTS}: cannot be loaded ({reason}); {_other_weights(folder)}")


def _other_weights(folder: Path) -> str:
    """What to do without the weights of a folder: a run may have kept them in one of a stage."""
    stages = [path.parent for path in folder.glob(f"*/*/{WEIGHTS}")]
    if not stages:
        return "copy the folder anew, or train again"
    newest = max(stages, key=lambda stage: (stage / WEIGHTS).stat().st_mtime_ns)
    return f"give {newest}, which the run kept of a stage, or train again"


def load_segmenter(folder: Path) -> Segmenter:
    """A network that has embeddings; RunError for one of another kind."""
    model, description = load_model(folder)
    if not isinstance(model, Segmenter):
        raise RunError(f"{folder}: a network of kind {description.kind!r} has no embeddings")
    return model


def _checked(given: ModelDescription) -> ModelDescription:
    """The same with the types that it says; ValueError or TypeError for what no training writes."""
    numbers = {"dim": MOST_WIDTH, "width": MOST_WIDTH, "output_stride": 32}
    for name, most in numbers.items():
        if type(getattr(given, name)) is not int or not 1 <= getattr(given, name) <= most:
            raise ValueError(f"{name}: {getattr(given, name)!r:.40}")
    if given.size is not None and not (type(given.size) is int and 1 <= given.size <= MOST_SIDE):
        raise ValueError(f"size: {given.size!r:.40}")
    if type(given.zoom) not in (int, float) or not 0 < given.zoom <= MOST_ZOOM:
        raise ValueError(f"zoom: {given.zoom!r:.40}")
    if given.background is not None and type(given.background) is not int:
        raise TypeError(f"background: {given.background!r:.40}")
    if not isinstance(given.backbone, str) or not isinstance(given.kind, str):
        raise TypeError("backbone and kind are texts")
    if not isinstance(given.extra, Mapping) or type(given.unit) is not bool:
        raise TypeError("extra is an object, unit true or false")
    return replace(given, zoom=float(given.zoom))


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - whatever a file holds
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError("classes: must be a list of texts")
    return tuple(value)


def _refuse_larger(description: ModelDescription, file: Path) -> None:
    """RunError for a network that is larger than the file of its weights: it could be any size."""
    try:
        with torch.device("meta"):  # takes no memory
            state = build_model(description).state_dict()
    except Exception:  # of networks that look at numbers while they are made: it is made then
        return
    wanted = sum(tensor.numel() for tensor in state.values())
    with safe_open(file, framework="pt") as tensors:
        found = sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    if wanted > found:
        raise RunError(
            f"{file}: cannot be loaded (holds {found} numbers, the network of {DESCRIPTION} has "
            f"{wanted}); {_other_weights(file.parent)}"
        )


def _reading_of(known: dict[str, Any] | None) -> Reading:
    """What model.json says of it; models of earlier versions say nothing."""
    if known is None:
        return AS_STORED
    spans = {key: None if known[key] is None else tuple(known[key]) for key in SPANS}
    return Reading(**{**known, **spans})


def _read_description(folder: Path) -> ModelDescription:
    path = folder / DESCRIPTION
    if not path.is_file():
        raise RunError(
            f"{folder}: no trained model here ({DESCRIPTION} is missing); give the folder of a "
            "finished "
            "`hintseg train --out`, or continue it with --resume"
        )
    content = read_json(path)
    stated = content.pop(SEAL, None)
    try:
        if content["format"] != FORMAT:
            raise RunError(f"{path}: written by another version of hintseg; update hintseg")
        if stated not in (None, _sum_of(content)):
            raise RunError(
                "has changed since it was written: its checksum does not fit; "
                f"{_other_weights(folder)}"
            )
        del content["format"]
        content["classes"] = _texts(content["classes"])
        content["reading"] = _reading_of(content.get("reading"))
        description = _checked(ModelDescription(**content))
        description.class_set()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(repr(error).split())[:120]
        raise RunError(f"{path}: damaged ({reason}); train again") from error
    except HintSegError as error:
        raise RunError(f"{path}: {error}") from error
    return description
