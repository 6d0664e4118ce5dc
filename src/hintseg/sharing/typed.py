"""The typed functions of `predict`, `label` and `evaluate`; they translate, nothing more."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hintseg.console import say, stoppable
from hintseg.errors import ConfigError
from hintseg.progress import is_first_process
from hintseg.shares import WHOLE, Share, parse_share

if TYPE_CHECKING:
    from hintseg.predict.folders.inputs import Inputs
    from hintseg.predict.folders.label_folder import Outcome
    from hintseg.predict.predictor import Predictor

Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Devices = Annotated[int, typer.Option(help="processes here, one a device, that share the images")]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="only this share of the images, from 1/N to N/N"),
]
Scales = Annotated[str, typer.Option(help="size factors to average over, such as 0.75,1,1.25")]
Flip = Annotated[bool, typer.Option("--flip", help="average over mirror images too")]
By = Annotated[
    str,
    typer.Option(
        help="classifier; where the run has prototypes: retrieval, both (their mean), or best "
        "(which was better on val)"
    ),
]
Crf = Annotated[
    str | None,
    typer.Option(
        metavar="[PRESET]",
        help="refine by a dense CRF; psa, deeplab, irn, seam_retrain or sec_train",
    ),
]
Scores = Annotated[
    bool, typer.Option("--scores", help="also write how sure each pixel is: scores/, 255 is 1")
]
Threshold = Annotated[
    float | None,
    typer.Option(help="of a background and objects: saliency from which a pixel is an object"),
]
Normalise = Annotated[
    bool, typer.Option("--normalise", help="stretch each saliency map to 0 to 1 first")
]

AGAIN = "the same command does the rest"


def label(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    data: Annotated[Path, typer.Argument(help="data set folder (with dataset.yaml)")],
    out: Annotated[Path, typer.Option(help="folder for the label maps")],
    split: Annotated[str, typer.Option(help="split whose images are labelled")] = "train",
    by: Annotated[
        str | None,
        typer.Option(help="classifier, retrieval, both or best; default: as the run did"),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="0 to 1; less probable pixels stay unlabelled (255)")
    ] = 0.0,
    overlays: Annotated[bool, typer.Option("--overlays", help="also write pictures")] = False,
    scores: Scores = False,
    device: Device = "auto",
    devices: Devices = 1,
    shard: Shard = None,
) -> None:
    """Label every pixel of the images with hints: model and hints together; writes NAME.png.

    Walk and CRF are those of the run (spml.relabel).
    """
    from hintseg.data.dataset import open_dataset
    from hintseg.methods.config import label_options
    from hintseg.predict.folders.hinted import hinted_names, label_files
    from hintseg.predict.predictor import load

    share, on = _share(shard), device_of(device)
    predictor, dataset, options = load(run), open_dataset(data), label_options(run)
    work = partial(
        label_files,
        predictor,
        dataset,
        out,
        split=split,
        confidence=confidence,
        overlays=overlays,
        scores=scores,
        **{**options, **({} if by is None else {"by": by})},
    )
    outcome = _in_shares(predictor, work, on, devices, share)
    without = len(dataset.names(split)) - len(hinted_names(dataset, split))
    _report(outcome, out, f", {without} images without hints" if without else "")


def predict(
    run: Annotated[Path, typer.Argument(help="folder of a finished run, or an ONNX file of it")],
    images: Annotated[list[str], typer.Argument(help="folders, files or glob patterns")],
    out: Annotated[Path, typer.Option(help="folder for the label maps")],
    scales: Scales = "1",
    flip: Flip = False,
    overlays: Annotated[bool, typer.Option("--overlays", help="also write pictures")] = False,
    scores: Scores = False,
    tile: Annotated[int, typer.Option(help="side of the tiles of large images, in pixels")] = 1024,
    by: By = "classifier",
    crf: Crf = None,
    threshold: Threshold = None,
    normalise: Normalise = False,
    device: Device = "auto",
    devices: Devices = 1,
    shard: Shard = None,
) -> None:
    """Label every pixel of images; writes NAME.png with class indices and palette.

    A model of objects (method ldf) also gives saliency/NAME.png.
    """
    from hintseg.predict.onnx_model import is_onnx

    share = _share(shard)
    if is_onnx(run):
        if (scales, flip, tile, by, crf) != ("1", False, 1024, "classifier", None):
            raise ConfigError(f"{run}: --scales, --flip, --tile, --by and --crf ask for a run")
        _predict_by_onnx(run, images, out, overlays=overlays, device=device, share=share)
        return
    from hintseg.predict.folders.photographs import predict_files
    from hintseg.predict.options import PredictOptions
    from hintseg.predict.predictor import load

    on = device_of(device)
    predictor, inputs = load(run), _inputs(images)
    work = partial(
        predict_files,
        predictor,
        inputs.images,
        out,
        options=PredictOptions(numbers(scales, "--scales"), flip, by, crf, threshold, normalise),
        tile=tile,
        overlays=overlays,
        scores=scores,
    )
    _report(_in_shares(predictor, work, on, devices, share), out)


def evaluate(
    source: Annotated[Path, typer.Argument(help="folder of a run, or of predicted masks")],
    data: Annotated[Path, typer.Argument(help="data set folder (with dataset.yaml)")],
    split: Annotated[str, typer.Option(help="split to evaluate on")] = "val",
    json: Annotated[Path | None, typer.Option(help="write the figures to this file")] = None,
    trimap: Annotated[str, typer.Option(help="widths in pixels of bands along boundaries")] = "5",
    scales: Scales = "1",
    flip: Flip = False,
    by: By = "classifier",
    crf: Crf = None,
    saliency: Annotated[
        bool | None,
        typer.Option(
            "--saliency/--no-saliency",
            help="MAE, F, E, S of saliency maps too; default: for models of objects (method ldf)",
        ),
    ] = None,
    threshold: Threshold = None,
    normalise: Normalise = False,
    device: Device = "auto",
    devices: Devices = 1,
    shard: Shard = None,
    counts: Annotated[
        Path | None,
        typer.Option(help="folder of the counts of shares: --shard writes there; else added up"),
    ] = None,
) -> None:
    """MIoU from one confusion matrix over a split, per class, and near boundaries."""
    from hintseg.evaluation import examine
    from hintseg.files import refuse_unwritable, write_json
    from hintseg.launch import team
    from hintseg.predict.options import PredictOptions
    from hintseg.report.tables import print_evaluation
    from hintseg.sharing.working import evaluated

    if json is not None:
        refuse_unwritable(json)
    share, on = None if shard is None else parse_share(shard), device_of(device)
    examination = examine(
        source,
        data,
        split,
        PredictOptions(numbers(scales, "--scales"), flip, by, crf, threshold, normalise),
        trimaps=[int(width) for width in numbers(trimap, "--trimap")],
        saliency=saliency,
    )
    with stoppable(AGAIN), team(on, devices) as mates:
        if examination.predictor is not None:
            examination.predictor.move(mates.device)
        figures = evaluated(examination, mates, share, counts)
    if not is_first_process():
        return
    if isinstance(figures, Path):
        say(f"{figures}: counts of {share} of split {split}")
        return
    print_evaluation(figures)
    if json is not None:
        write_json(json, figures.record())


def _in_shares(
    predictor: "Predictor",
    work: Callable[..., "Outcome"],
    device: str,
    devices: int,
    share: Share,
) -> "Outcome":
    """What became of the images of a share, by so many processes."""
    from hintseg.launch import team
    from hintseg.sharing.working import labelled

    with stoppable(AGAIN), team(device, devices) as mates:
        predictor.move(mates.device)
        return labelled(lambda own: work(share=own), mates, share)


def _share(text: str | None) -> Share:
    return WHOLE if text is None else parse_share(text)


def _inputs(images: list[str]) -> "Inputs":
    """The images that were named; what lies beside them is said."""
    from hintseg.predict.folders.inputs import find_inputs

    inputs = find_inputs(images)
    for complaint in inputs.complaints if is_first_process() else ():
        say(f"hintseg: {complaint}", err=True)
    return inputs


def _predict_by_onnx(
    file: Path, images: list[str], out: Path, *, overlays: bool, device: str, share: Share
) -> None:
    """`predict` without torch."""
    from hintseg.predict.folders.onnx import predict_files
    from hintseg.predict.onnx_model import OnnxPredictor

    predictor, inputs = OnnxPredictor(file, device=device), _inputs(images)
    with stoppable(AGAIN):
        outcome = predict_files(predictor, inputs.images, out, overlays=overlays, share=share)
    _report(outcome, out)


def _report(outcome: "Outcome", out: Path, more: str = "") -> None:
    """Say what became of the images; exit code 1 if some could not be read."""
    if not is_first_process():
        return
    skipped = f", {len(outcome.skipped)} finished before" if outcome.skipped else ""
    say(f"{out}: {len(outcome.written)} label maps written{skipped}{more}")
    if outcome.failed:
        for message in outcome.failed.values():
            say(f"hintseg: {message}", err=True)
        raise typer.Exit(1)


def numbers(text: str, option: str) -> list[float]:
    """The numbers of an option's text; ConfigError if it has others."""
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ConfigError(f"{option} {text}: must be numbers separated by commas") from error


def device_of(name: str) -> str:
    """The device that a name means here; ConfigError if there is none."""
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {name}: choose auto, cpu or cuda")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError("--device cuda: no GPU is visible to torch; use --device auto")
    return "cuda" if there and name != "cpu" else "cpu"
