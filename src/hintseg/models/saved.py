"""A network on disk: model.safetensors and model.json, all that `predict` needs."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hintseg.errors import HintSegError, NotFiniteError, RunError
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
    raise RunError(
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
    with torch.random.fork_rng():  # random weights come first; the caller's generator stays
        model = build_model(description)
    read_weights(folder / WEIGHTS, model, remedy=_other_weights(folder))
    return model.eval(), description


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
        content["classes"] = tuple(content["classes"])
        content["reading"] = _reading_of(content.get("reading"))
        description = ModelDescription(**content)
        description.class_set()
    except (KeyError, TypeError) as error:
        raise RunError(f"{path}: damaged ({error!r:.120}); train again") from error
    except HintSegError as error:
        raise RunError(f"{path}: {error}") from error
    return description
