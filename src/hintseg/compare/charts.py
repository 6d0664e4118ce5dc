"""The charts of the page: bars with the spread of seeds, accuracy against effort and strokes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hintseg.compare.choices import MASKS
from hintseg.compare.results import Results, Row
from hintseg.compare.tables import effort_of
from hintseg.report.charts import COLOURS, QUIET, Chart, safe, svg

MANY = (*COLOURS, "#c43c8a", "#7a9a01", "#5b9bd5", "#d9a400", "#111827", "#a9744f", "#7fbf7b")
MARKS = "osD^vPX*"  # of kinds of hints
BESIDE: Any = {"frameon": False, "fontsize": 8, "loc": "outside right upper"}
FULL: Any = {"color": "#5c6878", "linewidth": 1, "linestyle": "--"}
SEEDS = {"color": "#1c2430", "linewidth": 0, "marker": "o", "markersize": 3, "alpha": 0.6}


def charts(results: Results, rates: Mapping[str, float]) -> list[Chart]:
    """All that there is something to draw for."""
    if not results.drawn:
        return []
    colours = _colours(results)
    drawn = [
        _bars(results, colours),
        _against_effort(results, rates, colours),
        _against_strokes(results, colours),
        _costs(results, colours, ("seconds",), 1 / 60, "Training, minutes"),
        _costs(results, colours, ("memory", "peak_mb"), 1.0, "Memory of the process at most, MB"),
        _costs(results, colours, ("memory", "gpu_peak_mb"), 1.0, "Memory of the GPU at most, MB"),
    ]
    return [chart for chart in drawn if chart is not None]


def _colours(results: Results) -> dict[str, str]:
    """A colour for each method that has figures; no two alike, as long as there are enough."""
    methods = dict.fromkeys(row.method for row in results.drawn)
    return {name: MANY[place % len(MANY)] for place, name in enumerate(methods)}


def _bars(results: Results, colours: Mapping[str, str]) -> Chart:
    """The mean of every row, its seeds as dots, full supervision as a line."""
    rows, split = list(reversed(results.drawn)), results.split
    places = _places(rows)
    figure, axes = _frame(height=0.9 + 0.25 * places[-1])
    for place, row in zip(places, rows, strict=True):
        scores = [100 * score for score in row.scores(split, "plain")]
        mean = sum(scores) / len(scores)
        around = [[mean - min(scores)], [max(scores) - mean]]
        axes.barh(place, mean, color=colours[row.method], height=0.7)
        axes.errorbar(mean, place, xerr=around, color="#1c2430", linewidth=1, capsize=3)
        axes.plot(scores, [place] * len(scores), **SEEDS)  # type: ignore[arg-type]
    axes.set_yticks(places, [safe(row.label) for row in rows])
    axes.set_ylim(-0.6, places[-1] + 0.6)
    if results.ceiling is not None:
        full = 100 * (results.mean(results.ceiling) or 0.0)
        axes.axvline(full, **FULL)
    axes.set_xlabel(f"mIoU % on {split}, plain; whiskers: range over seeds")
    return Chart("Accuracy", svg(figure))


def _against_effort(
    results: Results, rates: Mapping[str, float], colours: Mapping[str, str]
) -> Chart | None:
    """Accuracy by the seconds that a person needs for an image.

    Shortened strokes have a chart of their own: nobody has timed them.
    """
    whole = [row for row in results.drawn if row.hints.fraction == 1]
    found = [(row, effort_of(row, rates)) for row in whole]
    known = [(row, effort) for row, effort in found if effort]
    if len({round(effort, 3) for _, effort in known}) < 2:
        return None
    kinds = dict.fromkeys(row.hints for row, _ in known)
    marks = {hints: MARKS[place % len(MARKS)] for place, hints in enumerate(kinds)}
    figure, axes = _frame(height=4.0)
    highest: dict[tuple[float, str], float] = {}
    for row, effort in known:
        mean = 100 * (results.mean(row) or 0.0)
        around = 100 * (results.spread(row) or 0.0)
        colour, mark = colours[row.method], marks[row.hints]
        axes.errorbar(effort, mean, around, color=colour, marker=mark, markersize=5, linewidth=0.8)
        top = highest.setdefault((effort, _of_hints(row)), mean)
        highest[effort, _of_hints(row)] = max(top, mean)
    _name_columns(axes, highest)
    axes.set_xscale("log", subs=[2.0, 5.0])
    for axis_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis_formatter("{x:g}")
    axes.set_xlabel("seconds of annotation for an image; whiskers: half the range over seeds")
    axes.set_ylabel("mIoU %")
    _legend(axes, {row.method: colours[row.method] for row, _ in known})
    return Chart("Accuracy against annotation time", svg(figure))


def _name_columns(axes: Axes, highest: Mapping[tuple[float, str], float]) -> None:
    """The kinds of hints, each over its points; those of one place share a label."""
    at_one_place: dict[float, dict[str, float]] = {}
    for (effort, name), mean in highest.items():
        at_one_place.setdefault(round(effort, 1), {})[name] = mean
    for effort, names in at_one_place.items():
        text = safe("\n".join(names))
        place = (effort, max(names.values()))
        axes.annotate(text, place, (0, 9), textcoords="offset points", ha="center", fontsize=7)
    axes.margins(x=0.08, y=0.16)


def _of_hints(row: Row) -> str:
    return "masks" if row.hints.name == MASKS else row.hints.label


def _against_strokes(results: Results, colours: Mapping[str, str]) -> Chart | None:
    """Accuracy by the share of every stroke that is kept."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in results.drawn:
        if row.hints.is_drawn and "scribbles" in row.hints.kinds:
            groups.setdefault((row.method, row.hints.name), []).append(row)
    curves = {key: rows for key, rows in groups.items() if len(rows) > 1}
    if not curves:
        return None
    figure, axes = _frame(height=4.0)
    for place, ((method, hints), rows) in enumerate(curves.items()):
        ordered = sorted(rows, key=lambda row: row.hints.fraction)
        shares = [100 * row.hints.fraction for row in ordered]
        means = [100 * (results.mean(row) or 0.0) for row in ordered]
        around = [100 * (results.spread(row) or 0.0) for row in ordered]
        style = "-" if hints == "scribbles" else ":"
        label = safe(method if hints == "scribbles" else f"{method}, {hints}")
        shifted = [share + 0.5 * place - 0.25 * len(curves) for share in shares]
        axes.errorbar(
            shifted, means, around, color=colours[method], linestyle=style, marker="o", label=label
        )
    axes.set_xlabel("% of every stroke kept; 0: a click at its middle")
    axes.set_ylabel("mIoU %")
    _line_of_masks(results, axes)
    figure.legend(**BESIDE)
    return Chart("Accuracy against the share of strokes kept", svg(figure))


def _line_of_masks(results: Results, axes: Axes) -> None:
    """What dense masks give, as a line."""
    if results.ceiling is not None:
        full = 100 * (results.mean(results.ceiling) or 0.0)
        axes.axhline(full, label=safe(results.ceiling.label), **FULL)


def _costs(
    results: Results, colours: Mapping[str, str], keys: Sequence[str], unit: float, title: str
) -> Chart | None:
    known = [(row, row.mean_record(*keys)) for row in results.drawn]
    costs = [(row, unit * value) for row, value in known if value is not None]
    if not costs:
        return None
    costs.reverse()
    places = _places([row for row, _ in costs])
    figure, axes = _frame(height=0.9 + 0.2 * places[-1])
    for place, (row, value) in zip(places, costs, strict=True):
        axes.barh(place, value, color=colours[row.method], height=0.7)
    axes.set_yticks(places, [safe(row.label) for row, _ in costs])
    axes.set_ylim(-0.6, places[-1] + 0.6)
    return Chart(title, svg(figure))


def _places(rows: Sequence[Row]) -> list[float]:
    """Heights of bars, with a gap between kinds of hints."""
    places, at = list[float](), 0.0
    for before, row in zip([None, *rows], rows, strict=False):
        at += 0.0 if before is None else 1.0 if before.hints == row.hints else 1.6
        places.append(at)
    return places


def _frame(height: float = 3.4) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(QUIET):
        figure = Figure(figsize=(5.6, height), layout="constrained")
        axes = figure.add_subplot()
    axes.grid(color="#e3e7ed", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(axes: Axes, colours: Mapping[str, str]) -> None:
    for method, colour in colours.items():
        axes.plot([], [], "o", color=colour, label=safe(method))
    axes.get_figure(root=True).legend(**BESIDE)  # type: ignore[union-attr]
