"""The charts of the page: bars with the spread of seeds, accuracy against effort and strokes."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hintseg.compare.choices import MASKS
from hintseg.compare.results import Results, Row
from hintseg.compare.tables import effort_of
from hintseg.report.charts import COLOURS, QUIET, Chart, safe, svg

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
    methods = dict.fromkeys(row.method for row in results.rows)
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(methods)}


def _bars(results: Results, colours: Mapping[str, str]) -> Chart:
    """The mean of every row, its seeds as dots, full supervision as a line."""
    rows, split = results.drawn, results.split
    figure, axes = _frame(height=0.9 + 0.27 * len(rows))
    for place, row in enumerate(reversed(rows)):
        scores = [100 * score for score in row.scores(split, "plain")]
        mean = sum(scores) / len(scores)
        around = [[mean - min(scores)], [max(scores) - mean]]
        axes.barh(place, mean, color=colours[row.method], height=0.7)
        axes.errorbar(mean, place, xerr=around, color="#1c2430", linewidth=1, capsize=3)
        axes.plot(scores, [place] * len(scores), **SEEDS)  # type: ignore[arg-type]
    axes.set_yticks(range(len(rows)), [safe(row.label) for row in reversed(rows)])
    if results.ceiling is not None:
        full = 100 * (results.mean(results.ceiling) or 0.0)
        axes.axvline(full, color="#5c6878", linewidth=1, linestyle="--")
    axes.set_xlabel(f"mIoU % on {split}, plain; whiskers: range over seeds")
    return Chart("Accuracy", svg(figure))


def _against_effort(
    results: Results, rates: Mapping[str, float], colours: Mapping[str, str]
) -> Chart | None:
    """Accuracy by the seconds that a person needs for an image."""
    found = [(row, effort_of(row, rates)) for row in results.drawn]
    known = [(row, effort) for row, effort in found if effort]
    if len({round(effort, 3) for _, effort in known}) < 2:
        return None
    figure, axes = _frame()
    for row, effort in known:
        mean = 100 * (results.mean(row) or 0.0)
        axes.plot(effort, mean, "o", color=colours[row.method])
        text = "masks" if row.hints.name == MASKS else row.hints.label
        axes.annotate(safe(text), (effort, mean), (4, 3), textcoords="offset points", fontsize=7)
    axes.set_xscale("log", subs=[2.0, 5.0])
    for axis_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis_formatter("{x:g}")
    axes.set_xlabel("seconds of annotation for an image")
    axes.set_ylabel("mIoU %")
    _legend(axes, {row.method: colours[row.method] for row, _ in known})
    return Chart("Accuracy against annotation time", svg(figure))


def _against_strokes(results: Results, colours: Mapping[str, str]) -> Chart | None:
    """Accuracy by the share of every stroke that is kept."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in results.drawn:
        if row.hints.is_drawn and "scribbles" in row.hints.kinds:
            groups.setdefault((row.method, row.hints.name), []).append(row)
    curves = {key: rows for key, rows in groups.items() if len(rows) > 1}
    if not curves:
        return None
    figure, axes = _frame()
    for (method, hints), rows in curves.items():
        ordered = sorted(rows, key=lambda row: row.hints.fraction)
        shares = [100 * row.hints.fraction for row in ordered]
        means = [100 * (results.mean(row) or 0.0) for row in ordered]
        around = [100 * (results.spread(row) or 0.0) for row in ordered]
        style = "-" if hints == "scribbles" else ":"
        label = safe(method if hints == "scribbles" else f"{method}, {hints}")
        axes.errorbar(
            shares, means, around, color=colours[method], linestyle=style, marker="o", label=label
        )
    axes.set_xlabel("% of every stroke kept; 0: a click at its middle")
    axes.set_ylabel("mIoU %")
    axes.legend(frameon=False, fontsize=8)
    return Chart("Accuracy against the share of strokes kept", svg(figure))


def _costs(
    results: Results, colours: Mapping[str, str], keys: Sequence[str], unit: float, title: str
) -> Chart | None:
    known = [(row, row.mean_record(*keys)) for row in results.drawn]
    costs = [(row, unit * value) for row, value in known if value is not None]
    if not costs:
        return None
    figure, axes = _frame(height=0.9 + 0.2 * len(costs))
    for place, (row, value) in enumerate(reversed(costs)):
        axes.barh(place, value, color=colours[row.method], height=0.7)
    axes.set_yticks(range(len(costs)), [safe(row.label) for row, _ in reversed(costs)])
    return Chart(title, svg(figure))


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
    axes.legend(frameon=False, fontsize=8)
