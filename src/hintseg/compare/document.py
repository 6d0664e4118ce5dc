"""Comparisons as a part of a document: our tables, and apart from them what was published."""

from collections.abc import Sequence
from pathlib import Path

from hintseg.compare.plan import read_plan
from hintseg.compare.results import Results, read_results
from hintseg.compare.tables import markdown
from hintseg.errors import DataError
from hintseg.files import read_text, write_text
from hintseg.recipes.reading import read_recipe, recipe_names

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"


def write_into(document: Path, folders: Sequence[Path]) -> None:
    """Put the tables of comparisons between the two marks of a document.

    Raises:
        DataError: The document is not there, or has no marks.
        RunError: A folder holds no comparison.
    """
    try:
        text = read_text(document)
    except (OSError, UnicodeError) as error:
        raise DataError(f"{document}: cannot be read ({error})") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise DataError(f"{document}: has no lines {BEGIN} and {END}; add them where tables belong")
    parts = [comparison_section(read_results(folder, read_plan(folder))) for folder in folders]
    inside = "\n".join([*parts, published_section()])
    write_text(document, f"{before}{BEGIN}\n{inside}{END}{after}")


def comparison_section(results: Results) -> str:
    """Heading, settings, table and sentences of one comparison."""
    plan = results.plan
    done = sum(result.state == "done" for result in results.cells)
    settings = ", ".join(f"{key} {value}" for key, value in plan.settings.get("train", {}).items())
    head = f"### {Path(plan.data).name}: {done} of {len(results.cells)} cells\n\n"
    return f"{head}Settings: {settings or 'the defaults'}.\n\n{markdown(results, {})}"


def published_section() -> str:
    """What papers report at full scale; nothing of it was run here."""
    lines = [
        "### Published, not run here",
        "",
        "By their papers, at full scale, on other data, with larger networks: not to be compared "
        "with the figures above. mIoU % where no other measure is named. Commands: "
        "[reproduce.md](reproduce.md).",
        "",
        "| recipe | paper | hints | published % | conditions |",
        "| --- | --- | --- | --- | --- |",
    ]
    for recipe in map(read_recipe, recipe_names()):
        about = recipe.about
        figures = ", ".join(f"{split} {value}" for split, value in about["published"].items())
        cells = (recipe.name, about["paper"], about["hints"], figures, about["conditions"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
