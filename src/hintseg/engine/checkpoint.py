"""The state of an interrupted training: one safetensors file, replaced as a whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from hintseg.documents.from_json import parse_json
from hintseg.errors import RunError
from hintseg.files import replacing

MOST_STEPS = 2**53
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
        save_file(tensors, temporary, metadata={"position": place})


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer
) -> tuple[TrainingState, dict[str, Tensor]]:
    """Fill model and optimiser; the state at which to continue, and the learner's memory.

    Raises:
        RunError: The file is damaged or belongs to another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            state = _checked(TrainingState(*parse_json(file.metadata()["position"])))
        model.load_state_dict(_below("model.", tensors))
        _load_optimizer(optimizer, _below("optimizer.", tensors))
    except (
        OSError,
        SafetensorError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        reason = " ".join(str(error).split())[:160]
        raise RunError(
            f"{path}: cannot be continued ({reason}); delete the run folder and train again"
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
