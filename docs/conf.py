"""The documentation site: `make docs` writes it to build/docs, without the network."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE / "_site")]

import hintseg  # noqa: E402 - the checkout that is documented, not an installed one

project = "hintseg"
author = "the authors of hintseg"
project_copyright = author
version = release = hintseg.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstrings", "mathml"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_site"]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

highlight_language = "text"
pygments_style = "friendly"
pygments_dark_style = "github-dark"

html_theme = "furo"
html_title = f"hintseg {release}"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False


def complete(app: Sphinx, page: str, source: list[str]) -> None:
    """A page of docs/ that the navigation does not name stands in it all the same."""
    if page == "index":
        named = set(source[0].splitlines())
        others = sorted({file.stem for file in HERE.glob("*.md")} - named - {"index"})
        source[0] = source[0].replace("(all other pages)", "\n".join(others))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", complete)
