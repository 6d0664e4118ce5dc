"""The state of an interrupted training: one safetensors file, replaced as a whole.

The one before it is kept, under the name of `previous`: where the newest is damaged, a training
goes on from that, and does the steps between anew, bit for bit.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from hintseg.documents.from_json import parse_json
from hintseg.errors import DataWarning, RunError
from hintseg.files import replacing
from hintseg.memory import is_out_of_memory
from hintseg.models.finite import first_not_finite
from hintseg.seals import check_seal, sealed

MOST_STEPS = 2**53  # that a file can speak of
BROKEN = (
    *(OSError, SafetensorError, RuntimeError, KeyError, ValueError, TypeError, AttributeError),
    IndexError,
)
"""What a file that is no checkpoint of this network leads to."""


@dataclass(frozen=True, slots=True)
class TrainingState:
    """How far a training has come."""

    step: int  # steps done
    best_step: int = -1  # of the best validation so far, -1 before the first
    best_score: float = -1.0


Loaded = tuple[TrainingState, dict[str, Tensor]]
"""The state at which to continue, and the learner's memory."""


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Optimizer,
    state: TrainingState,
    memory: Mapping[str, Tensor],
) -> None:
    """Write weights, optimiser, state and what the learner remembers, then rename."""
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"memory.{key}": value for key, value in memory.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            if value is not None:
                tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    place = json.dumps([state.step, state.best_step, state.best_score])
    with replacing(path) as temporary:
        sealed(
            temporary,
            lambda metadata: save_file(tensors, temporary, metadata=metadata),
            {"position": place},
        )
        if path.exists():
            path.replace(previous(path))


def previous(path: Path) -> Path:
    """Where the checkpoint before a checkpoint is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def newest_checkpoint(path: Path, model: nn.Module, optimizer: Optimizer) -> Loaded | None:
    """As `load_checkpoint`, by the newest that is sound; None where there is none at all.

    Says so where that is the previous one.

    Raises:
        RunError: None of them is sound.
    """
    there = [file for file in (path, previous(path)) if file.exists()]
    for turn, file in enumerate(there):
        try:
            state, memory = load_checkpoint(file, model, optimizer)
        except RunError as error:
            if turn + 1 == len(there):
                raise
            broken = error
            continue
        if turn:
            text = f"{broken}: going on from step {state.step}, of the checkpoint before"
            warnings.warn(text, DataWarning, stacklevel=2)
        return state, memory
    return None


def load_checkpoint(path: Path, model: nn.Module, optimizer: Optimizer) -> Loaded:
    """Fill model and optimiser; the state at which to continue, and the learner's memory.

    Raises:
        RunError: The file is damaged or belongs to another network.
    """
    try:
        check_seal(path)
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            state = _checked(TrainingState(*parse_json(file.metadata()["position"])))
        weights = _below("model.", tensors)
        wrong = first_not_finite(weights)
        if wrong is not None:
            raise ValueError(f"weight {wrong!r} is NaN or infinite")
        model.load_state_dict(weights)
        _load_optimizer(optimizer, _below("optimizer.", tensors))
    except BROKEN as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise RunError(
            f"{path}: cannot be continued ({reason}); delete this file, and --resume begins the "
            "stage anew"
        ) from error
    return state, _below("memory.", tensors)


def _checked(state: TrainingState) -> TrainingState:
    """ValueError for what is no place in a training."""
    whole = type(state.step) is int and type(state.best_step) is int
    if not whole or not 0 <= state.step < MOST_STEPS or type(state.best_score) not in (int, float):
        raise ValueError(f"it says step {state.step!r:.40}, best {state.best_step!r:.40}")
    return state


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
