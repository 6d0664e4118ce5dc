"""Cells that are done -> table.md, table.csv, table.json and report.html."""

from collections.abc import Mapping
from pathlib import Path

from hintseg.compare.page import write_compare_page
from hintseg.compare.plan import Plan
from hintseg.compare.results import read_results
from hintseg.compare.tables import comma_separated, markdown, record
from hintseg.files import write_json, write_text


def collect(root: Path, plan: Plan, *, seconds: Mapping[str, float]) -> Path:
    """Write the tables and the page of a comparison, done or not; the page.

    Args:
        root: Its folder.
        plan: Its plan.
        seconds: A person's own seconds by kind of work, over the published ones.
    """
    results = read_results(root, plan)
    write_text(root / "table.md", markdown(results, seconds))
    write_text(root / "table.csv", comma_separated(results, seconds))
    write_json(root / "table.json", record(results, seconds))
    page = root / "report.html"
    write_compare_page(page, results, seconds)
    return page
