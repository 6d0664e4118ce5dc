"""Docstrings are plain text with indented formulas; Sphinx reads reStructuredText.

An indented paragraph is a literal block, `code` is literal, and no sign of a formula is markup.
"""

import re

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

SECTIONS = ("Args:", "Returns:", "Yields:", "Raises:", "Example:", "Examples:", "Attributes:")
CODE = re.compile(r"(`[^`]+`)")
MARKUP = re.compile(r"([*|_\\])")


def literal(text: str) -> str:
    """A line of prose in which only `code` is markup."""
    parts = CODE.split(text)
    return "".join(
        f"`{part}`" if CODE.fullmatch(part) else MARKUP.sub(r"\\\1", part) for part in parts
    )


def rewritten(lines: list[str]) -> list[str]:
    """The lines of a docstring, as reStructuredText with the sections of Google's style."""
    written: list[str] = []
    section, in_formula = "", False
    for line in lines:
        if line in SECTIONS:
            section, in_formula = line, False
        text = line.lstrip()
        indent = line[: len(line) - len(text)]
        starts = not section and bool(indent) and (not written or not written[-1].strip())
        if starts and not in_formula:
            written += ["::", ""]
        if line.strip():
            in_formula = not section and bool(indent) and (in_formula or starts)
        plain = in_formula or section.startswith("Example") or line in SECTIONS
        written.append(line if plain else indent + literal(text))
    return written


def process(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Before napoleon reads the sections."""
    lines[:] = rewritten(lines)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
