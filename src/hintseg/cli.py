"""The command line: one typed function per command; it translates, nothing more."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from hintseg.compare.typed import compare
from hintseg.console import Commands, printed_warnings, say, stoppable
from hintseg.cores import use_cores
from hintseg.data.typed import simulate
from hintseg.errors import ConfigError, HintSegError
from hintseg.export.typed import export
from hintseg.plain import message
from hintseg.sharing.typed import Device, device_of, evaluate, label, numbers, predict
from hintseg.studio.typed import studio

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


app.command(epilog="Example: `hintseg label runs/farm data/farm --confidence 0.7 --out labels`")(
    label
)
app.command(epilog="Example: `hintseg predict runs/farm photos/ --flip --overlays --out masks`")(
    predict
)
app.command(epilog="Example: `hintseg evaluate runs/farm data/farm --split test --json test.json`")(
    evaluate
)


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

    place = numbers(at, "--at")
    if len(place) != 2:
        raise ConfigError(f"--at {at}: must be two numbers, such as --at 120,80")
    pixel = (place[0], place[1])
    predictor, dataset = load(run, device=device_of(device)), open_dataset(data)
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


app.command(epilog="Example: `hintseg studio data/farm`")(studio)


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
