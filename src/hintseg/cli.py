"""The command line: one typed function per command; it translates, nothing more."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hintseg.compare.typed import compare
from hintseg.console import Commands, printed_warnings, say, stoppable
from hintseg.cores import use_cores
from hintseg.data.typed import simulate
from hintseg.errors import ConfigError, HintSegError
from hintseg.export.typed import export
from hintseg.plain import message
from hintseg.studio.typed import studio

if TYPE_CHECKING:
    from hintseg.predict.folders.inputs import Inputs
    from hintseg.predict.folders.label_folder import Outcome

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learn to label every pixel from a few cheap hints: tags, boxes, points, scribbles.",
)

app.add_typer(export, name="export", help="Write label maps, or a model, for another tool.")

Data = Annotated[Path, typer.Argument(help="data set folder (with dataset.yaml)")]
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
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Seed = Annotated[int, typer.Option(min=0, help="decides everything random")]


@app.command(epilog="Example: `hintseg demo --out demo`")
def demo(
    out: Annotated[
        Path, typer.Option(help="folder for the data set, the run and the pictures")
    ] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Train, predict, evaluate and report on built-in photo scenes: CPU, minutes."""
    from hintseg.demo import run_demo

    run_demo(out, seed=seed, say=say)


@app.command(epilog="Example: `hintseg check data/farm`")
def check(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="contact sheet; default DATA/check.html")] = None,
) -> None:
    """Count and draw the hints; list every problem with its file. Exit code 1 on errors."""
    from hintseg.data.check.checking import check as check_data
    from hintseg.report.check_page import write_check_page
    from hintseg.report.tables import print_check

    result = check_data(data)
    print_check(result)
    if data.is_dir():
        page = out or data / "check.html"
        write_check_page(result, page)
        say(f"pictures: {page}")
    if result.errors:
        raise typer.Exit(1)


@app.command(
    "import",
    epilog="Example: `hintseg import coco instances.json --images photos --out data/farm`",
)
def import_(
    format_: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="coco, voc, yolo, cvat, labelstudio, labelme, via, tags, masks, s4, napari, "
            "ilastik, densepose or saliency",
        ),
    ],
    source: Annotated[Path, typer.Argument(help="file, folder or ZIP file of the other tool")],
    out: Annotated[Path, typer.Option(help="data set folder to write")],
    images: Annotated[
        Path | None, typer.Option(help="folder of the images; default: with the source")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="a,b,c or a file, in the order of their index; a=x|y: called x or y"),
    ] = None,
    only: Annotated[str, typer.Option(help="what to take, such as scribbles,masks")] = "",
    link: Annotated[
        bool, typer.Option("--link/--copy", help="link to the images, or copy them")
    ] = False,
) -> None:
    """Make a data set of what another tool has written; says what it took and what it left."""
    from hintseg.formats.importing import import_dataset
    from hintseg.report.tables import print_import

    with stoppable("nothing was written"):
        result = import_dataset(
            format_,
            source,
            out,
            images=images,
            classes=classes,
            kinds=[kind.strip() for kind in only.split(",") if kind.strip()],
            placing="link" if link else "copy",
        )
    print_import(result)


app.command(epilog="Example: `hintseg simulate data/farm --hints points --out data/farm-points`")(
    simulate
)


@app.command(
    epilog="Example: `hintseg train data/farm --method partial --steps 500 --out runs/farm`"
)
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="run folder to write")],
    method: Annotated[str | None, typer.Option(help="see `hintseg methods`")] = None,
    backbone: Annotated[str | None, typer.Option(help="timm network")] = None,
    steps: Annotated[int | None, typer.Option(help="optimiser steps")] = None,
    size: Annotated[
        int | None, typer.Option(help="longer side of every image; default: as it is")
    ] = None,
    crop: Annotated[int | None, typer.Option(help="side of the training crops")] = None,
    batch: Annotated[int | None, typer.Option(help="images a step, over all devices")] = None,
    seed: Annotated[int | None, typer.Option(help="decides everything random")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    devices: Annotated[int | None, typer.Option(help="number of devices")] = None,
    precision: Annotated[str | None, typer.Option(help="32, bf16 or 16")] = None,
    preset: Annotated[str | None, typer.Option(help="named settings of the method")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="a paper at full scale (docs/reproduce.md)")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="config.yaml of another run")] = None,
    cue: Annotated[
        Path | None,
        typer.Option(
            help="run of method ldf: its saliency tells methods with seeds the background"
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="any setting: train.lr=0.001; repeatable")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue an interrupted run")] = False,
) -> None:
    """Train a method on a data set; writes a run folder with the model and a report."""
    from hintseg.methods.settings import merge, parse_overrides
    from hintseg.progress import is_first_process
    from hintseg.recipes.reading import Sections, by_recipe
    from hintseg.training import DEFAULT_METHOD
    from hintseg.training import train as train_run

    named = {
        "backbone": backbone,
        "steps": steps,
        "size": size,
        "crop": crop,
        "batch": batch,
        "seed": seed,
        "device": device,
        "devices": devices,
        "precision": precision,
    }
    given = {key: value for key, value in named.items() if value is not None}
    by_cue = {} if cue is None else {method or DEFAULT_METHOD: {"localise": {"cue": str(cue)}}}
    settings: Sections = merge({"train": given}, by_cue, parse_overrides(set_ or []))
    if recipe is not None:
        method, preset, settings = by_recipe(recipe, method, preset, settings)
    with stoppable("continue with the same command and --resume"):
        run = train_run(
            data, out, method=method, preset=preset, config=config, settings=settings, resume=resume
        )
    if is_first_process():
        say(f"{run}: finished; report: {run.report}")


@app.command(epilog="Example: `hintseg label runs/farm data/farm --confidence 0.7 --out labels`")
def label(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    data: Data,
    out: Annotated[Path, typer.Option(help="folder for the label maps")],
    split: Annotated[str, typer.Option(help="split whose images are labelled")] = "train",
    by: Annotated[
        str | None, typer.Option(help="classifier, retrieval or both; default: as the run did")
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="0 to 1; less probable pixels stay unlabelled (255)")
    ] = 0.0,
    overlays: Annotated[bool, typer.Option("--overlays", help="also write pictures")] = False,
    scores: Scores = False,
    device: Device = "auto",
) -> None:
    """Label every pixel of the images with hints: model and hints together; writes NAME.png.

    Walk and CRF are those of the run (spml.relabel).
    """
    from hintseg.data.dataset import open_dataset
    from hintseg.methods.config import label_options
    from hintseg.predict.folders.hinted import label_files
    from hintseg.predict.predictor import load

    predictor, dataset = load(run, device=_device(device)), open_dataset(data)
    options = label_options(run)
    with stoppable("the same command does the rest"):
        outcome = label_files(
            predictor,
            dataset,
            out,
            split=split,
            confidence=confidence,
            overlays=overlays,
            scores=scores,
            **{**options, **({} if by is None else {"by": by})},
        )
    done = len(outcome.written) + len(outcome.skipped) + len(outcome.failed)
    without = len(dataset.names(split)) - done
    _report(outcome, out, f", {without} images without hints" if without else "")


@app.command(epilog="Example: `hintseg predict runs/farm photos/ --flip --overlays --out masks`")
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
) -> None:
    """Label every pixel of images; writes NAME.png with class indices and palette.

    A model of objects (method ldf) also gives saliency/NAME.png.
    """
    from hintseg.predict.onnx_model import is_onnx

    if is_onnx(run):
        if (scales, flip, tile, by, crf) != ("1", False, 1024, "classifier", None):
            raise ConfigError(f"{run}: --scales, --flip, --tile, --by and --crf ask for a run")
        _predict_by_onnx(run, images, out, overlays=overlays, device=device)
        return
    from hintseg.predict.folders.photographs import predict_files
    from hintseg.predict.options import PredictOptions
    from hintseg.predict.predictor import load

    predictor, inputs = load(run, device=_device(device)), _inputs(images)
    options = PredictOptions(_numbers(scales, "--scales"), flip, by, crf, threshold, normalise)
    with stoppable("the same command does the rest"):
        outcome = predict_files(
            predictor,
            inputs.images,
            out,
            options=options,
            tile=tile,
            overlays=overlays,
            scores=scores,
        )
    _report(outcome, out)


@app.command(epilog="Example: `hintseg evaluate runs/farm data/farm --split test --json test.json`")
def evaluate(
    source: Annotated[Path, typer.Argument(help="folder of a run, or of predicted masks")],
    data: Data,
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
) -> None:
    """MIoU from one confusion matrix over a split, per class, and near boundaries."""
    from hintseg.evaluation import evaluate as evaluate_run
    from hintseg.files import refuse_unwritable, write_json
    from hintseg.report.tables import print_evaluation

    if json is not None:
        refuse_unwritable(json)
    figures = evaluate_run(
        source,
        data,
        split=split,
        scales=_numbers(scales, "--scales"),
        flip=flip,
        by=by,
        crf=crf,
        trimaps=[int(width) for width in _numbers(trimap, "--trimap")],
        saliency=saliency,
        threshold=threshold,
        normalise=normalise,
        device=_device(device),
    )
    print_evaluation(figures)
    if json is not None:
        write_json(json, figures.record())


@app.command(
    epilog="Example: `hintseg retrieve runs/farm data/farm --image cow7 --at 120,80 --out cow.html`"
)
def retrieve(
    run: Annotated[Path, typer.Argument(help="folder of a finished run")],
    data: Data,
    image: Annotated[str, typer.Option(help="name of an image of the data set")],
    at: Annotated[str, typer.Option(help="pixel X,Y of it; 0,0 is the top left one")],
    out: Annotated[Path, typer.Option(help="page to write (HTML)")],
    top: Annotated[int, typer.Option(help="number of segments to find")] = 10,
    device: Device = "auto",
) -> None:
    """Find the segments of a data set nearest to the one under a pixel; writes a page."""
    from hintseg.data.dataset import open_dataset
    from hintseg.predict.predictor import load
    from hintseg.predict.retrieval.similar import similar_segments
    from hintseg.report.retrieve_page import write_retrieve_page

    place = _numbers(at, "--at")
    if len(place) != 2:
        raise ConfigError(f"--at {at}: must be two numbers, such as --at 120,80")
    pixel = (place[0], place[1])
    predictor, dataset = load(run, device=_device(device)), open_dataset(data)
    result = similar_segments(predictor, dataset, image, pixel, top=top)
    write_retrieve_page(out, result, dataset, predictor.classes, pixel)
    say(f"{out}: {len(result.found)} segments of {result.images} other images")
    if result.failed:
        for message in result.failed.values():
            say(f"hintseg: {message}", err=True)
        raise typer.Exit(1)


app.command(
    epilog="Example: `hintseg compare data/farm --methods full,partial,spml --hints "
    "points,scribbles --seeds 0,1,2 --steps 500 --out runs/compared`"
)(compare)


@app.command(epilog="Example: `hintseg methods`")
def methods() -> None:
    """Every method: what hints it takes, its stages, its paper."""
    from hintseg.methods import METHODS
    from hintseg.report.tables import print_methods

    print_methods(METHODS.values())


def _inputs(images: list[str]) -> "Inputs":
    """The images that were named; what lies beside them is said."""
    from hintseg.predict.folders.inputs import find_inputs

    inputs = find_inputs(images)
    for complaint in inputs.complaints:
        say(f"hintseg: {complaint}", err=True)
    return inputs


def _predict_by_onnx(
    file: Path, images: list[str], out: Path, *, overlays: bool, device: str
) -> None:
    """`predict` without torch."""
    from hintseg.predict.folders.onnx import predict_files
    from hintseg.predict.onnx_model import OnnxPredictor

    predictor, inputs = OnnxPredictor(file, device=device), _inputs(images)
    with stoppable("the same command does the rest"):
        outcome = predict_files(predictor, inputs.images, out, overlays=overlays)
    _report(outcome, out)


app.command(epilog="Example: `hintseg studio data/farm`")(studio)


def _report(outcome: "Outcome", out: Path, more: str = "") -> None:
    """Say what became of the images; exit code 1 if some could not be read."""
    skipped = f", {len(outcome.skipped)} finished before" if outcome.skipped else ""
    say(f"{out}: {len(outcome.written)} label maps written{skipped}{more}")
    if outcome.failed:
        for message in outcome.failed.values():
            say(f"hintseg: {message}", err=True)
        raise typer.Exit(1)


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ConfigError(f"{option} {text}: must be numbers separated by commas") from error


def _device(name: str) -> str:
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {name}: choose auto, cpu or cuda")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError("--device cuda: no GPU is visible to torch; use --device auto")
    return "cuda" if there and name != "cpu" else "cpu"


def _with_preset(words: list[str]) -> list[str]:
    """`--crf` may stand alone: it takes the next word only if that looks like a preset."""
    if "--crf" not in words:
        return words
    from hintseg.refine.crf import DEFAULT_PRESET

    given = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        is_preset = following.isidentifier() and not Path(following).exists()
        given.append(f"--crf={DEFAULT_PRESET}" if word == "--crf" and not is_preset else word)
    return given


def main() -> None:
    """Entry point: a user's mistake is one or two lines and exit code 1, never a traceback."""
    use_cores()
    for stream in (sys.stdout, sys.stderr):  # a name may have letters that the console has not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with printed_warnings():
            app(_with_preset(sys.argv[1:]))
    except HintSegError as error:
        sys.exit(f"hintseg: {message(str(error))}")
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"hintseg: {message(f'{where}{error.strerror or error}')}")


if __name__ == "__main__":
    main()
