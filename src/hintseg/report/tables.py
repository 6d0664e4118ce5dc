"""What the commands print: readable tables on a terminal, plain text elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from hintseg.methods.job import Method


def print_evaluation(figures: Mapping[str, Any], console: Console | None = None) -> None:
    """Per-class IoU, then the means."""
    table = Table("class", "IoU %", box=None)
    for name, iou in figures["per_class"].items():
        table.add_row(name, "absent" if iou is None else f"{100 * iou:.1f}")
    console = console or Console()
    console.print(table)
    console.print(
        f"{figures['images']} images of split {figures['split']}: "
        f"mIoU {_percent(figures['miou'])}, pixel accuracy {_percent(figures['pixel_accuracy'])}, "
        f"mean accuracy {_percent(figures['mean_accuracy'])}",
        soft_wrap=True,
    )
    for width, band in figures["trimap"].items():
        console.print(
            f"within {width} px of a boundary: mIoU {_percent(band['miou'])}", soft_wrap=True
        )


def print_methods(methods: Iterable[Method], console: Console | None = None) -> None:
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


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} %"
