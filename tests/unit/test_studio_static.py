"""The page that is installed is the build of the sources beside it."""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src" / "hintseg" / "studio" / "static"
SOURCES = ROOT / "studio"
TOP = ("index.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts")


def test_the_page_is_the_build_of_its_sources():
    if not SOURCES.is_dir():
        pytest.skip("the sources of the page are not here")
    inside = [
        p.relative_to(SOURCES).as_posix() for p in (SOURCES / "src").rglob("*") if p.is_file()
    ]
    digest = hashlib.sha256()
    for name in sorted([*TOP, *inside]):
        text = (SOURCES / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(name.encode() + b"\0" + text + b"\0")
    recorded = (STATIC / "sources.sha256").read_text().strip()
    assert digest.hexdigest() == recorded, "run `npm run build` in studio/ and commit the result"


def test_the_page_asks_no_other_server():
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    style = (STATIC / "assets" / "index.css").read_text(encoding="utf-8")
    assert "url(" not in style
