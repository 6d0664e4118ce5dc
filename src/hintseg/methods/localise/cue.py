"""Saliency of a run of objects (method ldf) as what says where the background is.

It was learned from masks, as a rule, so whoever uses it has more supervision than his hints: it is
recorded with what that run has learned from.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hintseg.data.dataset import Dataset
from hintseg.errors import ConfigError
from hintseg.files import read_json
from hintseg.methods.localise.settings import LocaliseSettings
from hintseg.methods.supervision import Supervision
from hintseg.predict.predictor import Predictor, load
from hintseg.structures import Sample

Cue = Callable[[Sample], Float[Tensor, "height width"]]


def background_cue(settings: LocaliseSettings, device: torch.device | str) -> Cue | None:
    """1 - saliency of the images of samples, 0 to 1; None without a run that gives it.

    Raises:
        RunError: The folder holds no trained model.
        ConfigError: Its model is not one of objects.
    """
    if settings.cue is None:
        return None
    predictor = _predictor(settings.cue, device)

    def find(sample: Sample) -> Tensor:
        return 1 - torch.from_numpy(predictor.predict(sample.image).saliency())

    return find


def cue_supervision(dataset: Dataset, settings: LocaliseSettings) -> list[str]:
    """What a cue adds to the hints, in words; errors as `background_cue`."""
    if settings.cue is None:
        return []
    _predictor(settings.cue, "cpu")
    if dataset.classes.background is None:
        raise ConfigError(
            f"localise.cue={settings.cue}: no class of {dataset.root} is the background, of which "
            "a cue speaks; leave it out"
        )
    return [f"saliency of {in_words(settings.cue)}"]


def in_words(run: str) -> str:
    """A run that another one learns from: its method, its data, and what it learned from itself."""
    record = Path(run) / "run.json"
    facts = read_json(record) if record.is_file() else {}
    learned = facts.get("extra_supervision", "not known")
    data = facts.get("data", {})
    of = "; ".join(learned) if isinstance(learned, list) else str(learned)
    return (
        f"the run {run} (method {facts.get('method', 'not known')}, data "
        f"{data.get('path', 'not known')} {str(data.get('sha256', ''))[:12]}, beyond hints: {of})"
    )


def hints_and_cue(dataset: Dataset, settings: LocaliseSettings) -> Supervision:
    """What a method with seeds learns from: hints, and a cue where there is one."""
    return Supervision(dataset.hinted_names(), cue_supervision(dataset, settings))


def _predictor(run: str, device: torch.device | str) -> Predictor:
    predictor = load(Path(run), device=device)
    if not predictor.is_salient:
        raise ConfigError(f"localise.cue={run}: is no run of method ldf; train one for it")
    return predictor
