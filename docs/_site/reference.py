"""Write the pages of every command and every setting from the code.

python docs/_site/reference.py           # writes docs/reference/{commands,settings}.md
python docs/_site/reference.py --check   # exit code 1 where a page is not what the code says
"""

import sys
from pathlib import Path

SITE = Path(__file__).parent
sys.path[:0] = [str(SITE.parents[1] / "src"), str(SITE)]

from of_commands import commands_page  # noqa: E402 - of this checkout
from of_settings import settings_page  # noqa: E402

PAGES = {"commands.md": commands_page, "settings.md": settings_page}
FOLDER = SITE.parent / "reference"


def stale() -> dict[str, str]:
    """Pages that are not what the code says, and what they should be."""
    wanted = {name: page() for name, page in PAGES.items()}
    return {
        name: text
        for name, text in wanted.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != text
    }


def main(words: list[str]) -> int:
    """Write the pages, or with `--check` say which are stale."""
    old = stale()
    for name, text in old.items():
        if "--check" in words:
            print(f"docs/reference/{name}: not what the code says; run `make reference`")
        else:
            (FOLDER / name).write_text(text, encoding="utf-8")
    return 1 if old and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
