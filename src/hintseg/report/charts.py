"""Curves of a training log, drawn with matplotlib as SVG that a page can hold."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Line = dict[str, Any]  # of the log
Points = list[tuple[float, float]]  # (step, value)

INCHES = (4.6, 2.9)
SMOOTHED_FROM = 20  # points; fewer are shown as they are
COLOURS = ("#2563a8", "#c2571a", "#1d7a3c", "#8a3ffc", "#b3261e", "#00707a", "#8a5a00", "#5c6878")
QUIET: Any = {"svg.hashsalt": "hintseg", "font.size": 9, "axes.edgecolor": "#8894a5"}


@dataclass(frozen=True, slots=True)
class Chart:
    """A curve and what it shows."""

    title: str
    picture: str  # address for an `img`


def stage_charts(log: Sequence[Line]) -> dict[str, list[Chart]]:
    """Stage -> its curves of loss, validation and learning rate, as far as they were logged."""
    stages = dict.fromkeys(str(line.get("stage", "")) for line in log)
    drawn = {
        stage: _charts([line for line in log if str(line.get("stage", "")) == stage])
        for stage in stages
    }
    return {stage: charts for stage, charts in drawn.items() if charts}


def threshold_chart(curve: Mapping[str, Any]) -> Chart | None:
    """Mean IoU of the maps of a localiser by the threshold that cuts them; None without any."""
    if not curve:
        return None
    sides = {
        f"{source} tags": _percent(list(zip(curve["thresholds"], values, strict=True)))
        for source, values in curve["miou"].items()
    }
    title = f"Maps cut at a threshold: mIoU % on {curve['split']}"
    return _chart(title, sides, smooth=False, unit="threshold")


def distance_chart(errors: Float[np.ndarray, "2 reach"]) -> Chart:
    """Mean error of saliency maps by distance from the edge, outside and inside of objects."""
    sides = {}
    for name, values in zip(("background", "object"), errors, strict=True):
        sides[name] = [(k + 1.0, 100 * float(v)) for k, v in enumerate(values) if np.isfinite(v)]
    chart = _chart("Error % by distance from the edge", sides, smooth=False, unit="pixels")
    return chart or Chart("Error % by distance from the edge", "")


def _charts(lines: Sequence[Line]) -> list[Chart]:
    total = {"loss": _points(lines, ("loss",))}
    names = dict.fromkeys(name for line in lines for name in line.get("losses", {}))
    terms = {name: _points(lines, ("losses", name)) for name in names}
    scores = {
        "mIoU %": _percent(_points(lines, ("val", "miou"))),
        "pixel accuracy %": _percent(_points(lines, ("val", "pixel_accuracy"))),
    }
    rate = {"learning rate": _points(lines, ("lr",))}
    charts = [
        _chart("Loss", total),
        _chart("Terms of the loss", terms) if len(terms) > 1 else None,
        _chart("Validation", scores, dots=True),
        _chart("Learning rate", rate, smooth=False),
    ]
    return [chart for chart in charts if chart is not None]


def _points(lines: Sequence[Line], keys: tuple[str, ...]) -> Points:
    """(number of finished steps, value) of the lines that hold a finite number under these keys."""
    points = []
    for line in lines:
        value: Any = line
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, int | float) and np.isfinite(value):
            points.append((float(line.get("step", 0)) + 1.0, float(value)))
    return points


def _percent(points: Points) -> Points:
    return [(step, 100 * value) for step, value in points]


def _chart(
    title: str,
    series: Mapping[str, Points],
    *,
    dots: bool = False,
    smooth: bool = True,
    unit: str = "steps",
) -> Chart | None:
    """The curves in one frame; None where there is nothing to draw."""
    known = {name: points for name, points in series.items() if points}
    if not known:
        return None
    with matplotlib.rc_context(QUIET):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
        for colour, (name, points) in zip(_cycle(len(known)), known.items(), strict=True):
            _plot(axes, name, np.array(points), colour, dots=dots, smooth=smooth)
        _dress(axes, unit, legend=len(known) > 1)
        return Chart(title, svg(figure))


def _cycle(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _plot(
    axes: Axes,
    name: str,
    points: Float[np.ndarray, "points 2"],
    colour: str,
    *,
    dots: bool,
    smooth: bool,
) -> None:
    steps, values = points.T
    if smooth and not dots and len(points) >= SMOOTHED_FROM:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3)
        values = _running_mean(values, len(points) // 10)
    few = dots or len(points) < 3
    axes.plot(
        steps, values, color=colour, linewidth=1.6, marker="o" if few else "", label=safe(name)
    )


def _running_mean(values: Float[np.ndarray, " points"], reach: int) -> Float[np.ndarray, " points"]:
    """Mean over the values at most `reach` / 2 places away; fewer at the ends."""
    width = 2 * (reach // 2) + 1
    weights = np.convolve(np.ones_like(values), np.ones(width), mode="same")
    mean: Float[np.ndarray, " points"] = np.convolve(values, np.ones(width), mode="same") / weights
    return mean


def _dress(axes: Axes, unit: str, *, legend: bool) -> None:
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(color="#e3e7ed", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False)


def safe(text: str) -> str:
    """A text in which a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def svg(figure: Figure) -> str:
    """A drawing as the address of an `img`; the same drawing gives the same text."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
