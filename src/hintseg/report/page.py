"""A page from its template: text is escaped, whatever a class or a file is called."""

import math
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from hintseg.files import write_text
from hintseg.versions import version_of

AUTOESCAPE = True  # a test switches it off, to see that the policy of the page holds alone


def write_page(path: Path, template: str, **values: object) -> None:
    """Fill a template of `report/templates` and write it, atomically."""
    environment = Environment(
        loader=PackageLoader("hintseg.report"),
        autoescape=AUTOESCAPE,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(version=version_of("hintseg") or "", **values)
    # File names that are no UTF-8 reach Python as lone surrogates, which no file can hold.
    write_text(path, text.encode("utf-8", "replace").decode("utf-8"))


def percent(share: float | None, digits: int = 1) -> str:
    """A share as percent; a dash where there is none."""
    return "-" if share is None or math.isnan(share) else f"{100 * share:.{digits}f} %"
