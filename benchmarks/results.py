"""Write the tables of comparisons into a document.

    python benchmarks/results.py COMPARISON... --into docs/results.md

COMPARISON are folders of `hintseg compare`, any number of them. Their tables, and apart from them
what papers report, come between the lines `<!-- compare: begin -->` and `<!-- compare: end -->`;
the rest stays as it is.
"""

import argparse
import sys
from pathlib import Path

from hintseg.compare.document import write_into
from hintseg.errors import HintSegError


def main() -> None:
    """Read the folders, write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--into", type=Path, required=True)
    options = parser.parse_args()
    try:
        write_into(options.into, options.folders)
    except HintSegError as error:
        sys.exit(f"results: {error}")


if __name__ == "__main__":
    main()
