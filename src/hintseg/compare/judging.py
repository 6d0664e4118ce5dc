"""A trained cell -> its figures on every split, in every variant, and what bootstraps need."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from hintseg.bootstrap import ImageCounts, image_counts
from hintseg.compare.choices import variant_options
from hintseg.compare.folder import CellFolder
from hintseg.compare.plan import Plan
from hintseg.data.dataset import Dataset
from hintseg.errors import RunError
from hintseg.evaluation import names_with_masks, predicted_pairs, summarize
from hintseg.files import replacing, write_json
from hintseg.images.label_maps import write_label_map
from hintseg.metrics import Evaluation, evaluate_pairs
from hintseg.predict.predictor import Predictor
from hintseg.seals import SealError, check_seal, sealed
from hintseg.shares import evenly
from hintseg.structures import LabelMap

TRIMAP = 5  # pixels from a boundary
SHOWN = 6  # images of the page


def judge(files: CellFolder, plan: Plan, dataset: Dataset, predictor: Predictor) -> None:
    """Evaluate all that has no figures yet."""
    for split in plan.splits:
        for variant in plan.variants:
            if not files.figures_file(split, variant).is_file():
                _judge(files, plan, dataset, predictor, split, variant)


def _judge(
    files: CellFolder,
    plan: Plan,
    dataset: Dataset,
    predictor: Predictor,
    split: str,
    variant: str,
) -> None:
    options, file = variant_options(variant, plan.crf), files.figures_file(split, variant)
    try:
        predictor.check(options)
    except RunError as error:  # a method without prototypes: there is no such figure
        write_json(file, {"missing": str(error)})
        return
    names = names_with_masks(dataset, split)
    pairs = predicted_pairs(predictor, dataset, names, options=options)
    if variant == "plain" and split == plan.splits[0]:
        pairs = _kept(pairs, shown_names(dataset, split), files.pictures, len(dataset.classes))
    began = time.perf_counter()
    evaluation = evaluate_pairs(pairs, len(dataset.classes), trimaps=[TRIMAP])
    seconds = round(time.perf_counter() - began, 2)
    save_counts(files.counts_file(split, variant), evaluation)
    record = summarize(evaluation, dataset.classes).record()
    how = {
        "split": split,
        "by": options.by,
        "scales": list(options.scales),
        "flip": options.flip,
        "crf": options.crf or False,
        "seconds": seconds,
    }
    write_json(file, {**record, **how})


def shown_names(dataset: Dataset, split: str) -> list[str]:
    """The images whose predictions the page shows."""
    return evenly(dataset.names(split), SHOWN)


def _kept(
    pairs: Iterator[tuple[str, LabelMap, LabelMap]],
    names: Sequence[str],
    folder: Path,
    classes: int,
) -> Iterator[tuple[str, LabelMap, LabelMap]]:
    """The same, with the predictions of some images written on the way."""
    for name, predicted, truth in pairs:
        if name in names:
            write_label_map(folder / f"{name}.png", predicted, classes=classes)
        yield name, predicted, truth


def save_counts(file: Path, evaluation: Evaluation) -> None:
    """Keep the counts of every image."""
    stacked = image_counts(evaluation)
    with replacing(file) as temporary:
        sealed(
            temporary,
            lambda metadata: save_file({"counts": stacked}, temporary, metadata=metadata),
            {"images": "\n".join(evaluation.images)},
        )


def read_counts(file: Path) -> ImageCounts:
    """The counts of all images of a split.

    Raises:
        RunError: Missing or damaged.
    """
    try:
        check_seal(file)
        counts: ImageCounts = load_file(file)["counts"]
    except (OSError, SafetensorError, SealError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RunError(
            f"{file}: cannot be read ({reason}); delete the folder {file.parent}, and the same "
            "command evaluates again"
        ) from error
    if counts.ndim != 3 or counts.shape[1] != 3 or counts.dtype != np.int64:
        raise RunError(f"{file}: holds no counts; delete it and run the comparison again")
    return counts
