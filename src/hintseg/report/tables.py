"""What the commands print: readable tables on a terminal, plain text elsewhere."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hintseg.plain import message, one_line

if TYPE_CHECKING:  # a table of methods needs neither torch nor images
    from hintseg.data.check.checking import CheckResult
    from hintseg.evaluation import Figures
    from hintseg.formats.importing import ImportResult
    from hintseg.methods.method import Method

SHOWN_PLACES = 2


def print_check(result: "CheckResult", console: Console | None = None) -> None:
    """Counts, then every problem with its file and remedy."""
    console = console or Console()
    if result.dataset is not None:
        console.print(_hint_table(result, console))
        splits = ", ".join(f"{n} {s.images}" for n, s in result.splits.items()) or "no splits"
        _say(
            console,
            f"{len(result.images)} images ({splits}); {result.hinted} with hints, "
            f"{result.masked} with masks; {_labelled(result)}",
        )
        intensity = result.dataset.reading.intensity
        if intensity is not None:
            black, white = (f"{value:g}" for value in intensity)
            console.print(f"intensity: {black} is black, {white} is white", soft_wrap=True)
        if result.unhinted_train:
            console.print(f"{result.unhinted_train} train images without hints", soft_wrap=True)
    for problem in result.problems:
        style = "red" if problem.severity == "error" else "yellow"
        label = Text(f"{problem.severity}: ", style=style)
        console.print(label.append(message(f"{problem}"), style="default"), soft_wrap=True)
    if not result.problems:
        console.print("no problems")


def _hint_table(result: "CheckResult", console: Console) -> Table:
    """Hints by class and kind; kinds that do not occur have no column."""
    assert result.dataset is not None
    return _count_table(result.counts, result.dataset.classes.names, console)


def _count_table(
    counts: Mapping[str, Sequence[int]], names: Sequence[str], console: Console
) -> Table:
    kinds = {kind: numbers for kind, numbers in counts.items() if any(numbers)}
    table = Table("class", box=None)
    for kind in kinds:
        table.add_column(kind, justify="right")
    for index, name in enumerate(names):
        table.add_row(
            _shown(name, console), *(str(numbers[index] or "-") for numbers in kinds.values())
        )
    return table


def print_import(result: "ImportResult", console: Console | None = None) -> None:
    """What was taken by class and kind, then what was left and changed, with some places."""
    console = console or Console()
    names = result.classes.names
    kinds = dict.fromkeys(kind for kind, _ in sorted(result.counts))
    counts = {
        kind: [result.counts.get((kind, index), 0) for index in range(len(names))] for kind in kinds
    }
    console.print(_count_table(counts, names, console))
    splits = ", ".join(f"{name} {number}" for name, number in result.splits.items())
    masks = f", {result.masks} with masks" if result.masks else ""
    _say(
        console,
        f"{result.root}: {result.images} images ({splits or 'no splits'}), {result.hinted} with "
        f"hints{masks}",
    )
    for word, style, reasons in (
        ("left", "yellow", result.left),
        ("changed", "cyan", result.changed),
    ):
        for reason, places in reasons.items():
            label = Text(f"{word}: ", style=style)
            text = f"{len(places)} x {reason} ({_places(places)})"
            console.print(label.append(message(text), style="default"), soft_wrap=True)
    if not result.left:
        console.print("nothing was left")
    elif any(len(places) > SHOWN_PLACES for places in result.left.values()):
        _say(console, f"every place: {result.root / 'import.json'}")


def _places(places: Sequence[str]) -> str:
    more = len(places) - SHOWN_PLACES
    return "; ".join(places[:SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")


def print_evaluation(figures: "Figures", console: Console | None = None) -> None:
    """Per-class IoU, then the means."""
    console = console or Console()
    table = Table("class", "IoU %", box=None)
    for name, iou in figures.per_class.items():
        shown = "absent" if iou is None else f"{100 * iou:.1f}"
        wrong = " (in no mask)" if iou == 0 and name in figures.absent_classes else ""
        table.add_row(_shown(name, console), shown + wrong)
    console.print(table)
    _say(
        console,
        f"{figures.images} images of split {figures.split}{_made_by(figures)}: "
        f"mIoU {_percent(figures.miou)}, pixel accuracy {_percent(figures.pixel_accuracy)}, "
        f"mean accuracy {_percent(figures.mean_accuracy)}; "
        f"{_percent(figures.void)} of the mask pixels are void",
    )
    for warning in figures.warnings:
        label = Text("warning: ", style="yellow")
        console.print(label.append(message(warning), style="default"), soft_wrap=True)
    for width, band in figures.trimap.items():
        console.print(
            f"within {width} px of a boundary: mIoU {_percent(band['miou'])}", soft_wrap=True
        )

    if figures.saliency is not None:
        line = _saliency_line(figures.saliency, normalised=bool(figures.normalised))
        console.print(line, soft_wrap=True)


def named_figures(saliency: Mapping[str, float]) -> dict[str, float]:
    """The measures of saliency maps by the names that papers have for them."""
    names = {"mae": "MAE", "s": "S", "weighted_f": "weighted F"}
    for measure in ("f", "e"):
        for kind in ("max", "mean", "adaptive"):
            names[f"{kind}_{measure}"] = f"{kind} {measure.upper()}"
    return {text: saliency[name] for name, text in names.items()}


def _saliency_line(figures: Mapping[str, float], *, normalised: bool) -> str:
    shown = ", ".join(f"{name} {value:.3f}" for name, value in named_figures(figures).items())
    return f"saliency maps{', normalised' if normalised else ''}: {shown}"


def _made_by(figures: "Figures") -> str:
    """How the labels were found, where it is not the plain way."""
    refined = f", dense CRF ({figures.crf})" if figures.crf else ""
    if figures.prototypes is None:
        return refined
    how = "retrieval" if figures.by == "retrieval" else "classifier and retrieval"
    return f", by {how} among segments labelled by {figures.prototypes}{refined}"


COMBINATIONS = (
    "[bold]Seeds of tags and boxes[/bold]  of every method with a stage localise; any combine:",
    "    maps:    --set localise.by=cam | seam | sc_cam | rca",
    "    spread:  --set localise.expand.by=none | affinity | irn | embedding",
    "    agree:   --set localise.agreement.rounds=N; not with localise.background=saliency",
    "    refine:  --set localise.crf=null | PRESET",
    "    train:   --method cam and relatives (cross-entropy) | spml | sec | regularized",
)


def print_methods(methods: Iterable["Method"], console: Console | None = None) -> None:
    """One block per method."""
    console = console or Console()
    for method in methods:
        console.print(f"[bold]{method.name}[/bold]  {method.summary}", highlight=False)
        facts = {
            "takes": method.takes,
            "stages": " -> ".join(method.stage_names),
            "presets": ", ".join(method.presets) or "none",
            "paper": method.paper,
        }
        for name, text in facts.items():
            console.print(f"    {name + ':':9}{text}", highlight=False, soft_wrap=True)
    for line in COMBINATIONS:
        console.print(line, highlight=False, soft_wrap=True)


def _labelled(result: "CheckResult") -> str:
    if math.isnan(result.labelled):
        return "no pixel labelled by hints"
    return f"{100 * result.labelled:.1f} % of the pixels of hinted images labelled"


def _say(console: Console, text: str) -> None:
    """A line with names in it, in which brackets are no markup."""
    console.print(Text(message(text)), soft_wrap=True)


def _shown(name: str, console: Console) -> Text:
    """A name in letters that the console has, so that columns stay columns."""
    return Text(
        one_line(name).encode(console.encoding, "backslashreplace").decode(console.encoding)
    )


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} %"
