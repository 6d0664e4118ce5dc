"""What a network sees while it is trained, for a person to look at."""

from pathlib import Path

from torch import nn

from hintseg.images.label_maps import overlay
from hintseg.methods.contact_sheet import Row, drawn_hints, sheet_row, write_sheet
from hintseg.methods.job import Job
from hintseg.methods.validating import predictor_of
from hintseg.predict.predictor import Predictor
from hintseg.shares import evenly

SEEN = "seen.png"
SEEN_IMAGES = 4
LOOKED_AT = 1000  # images among which those with hints are looked for


def show_what_is_seen(job: Job, model: nn.Module, folder: Path) -> None:
    """Write `seen.png`: images of the train split with their hints, and what is predicted there."""
    names = evenly(job.dataset.train_names(), LOOKED_AT)
    hinted = [name for name in names if job.dataset.has_hints(name)]
    shown = evenly(hinted or names, SEEN_IMAGES)
    predictor = predictor_of(job, model)
    write_sheet(folder / SEEN, [_row(job, predictor, name) for name in shown])


def _row(job: Job, predictor: Predictor, name: str) -> Row:
    sample = job.hinted(name)
    labels = predictor.predict(sample.image).labels
    return sheet_row([(name, drawn_hints(sample)), ("seen by now", overlay(sample.image, labels))])
