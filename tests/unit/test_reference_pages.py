"""The generated pages of the documentation say what the code says."""

import re
import runpy
from pathlib import Path

import pytest

from hintseg.methods import OWN

DOCS = Path(__file__).parents[2] / "docs"
PUBLIC = (Path(__file__).parents[1] / "public_names.txt").read_text(encoding="utf-8").split()
REFERENCE = runpy.run_path(str(DOCS / "_site" / "reference.py"))


def test_no_page_is_stale():
    assert not list(REFERENCE["stale"]()), "run `make reference`"


def test_a_changed_page_is_found_and_written_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(REFERENCE["main"].__globals__, "FOLDER", tmp_path)
    assert REFERENCE["main"](["--check"]) == 1
    assert "make reference" in capsys.readouterr().out
    assert REFERENCE["main"]([]) == 0
    assert REFERENCE["main"](["--check"]) == 0
    (tmp_path / "settings.md").write_text("something else")
    assert list(REFERENCE["stale"]()) == ["settings.md"]


def test_every_setting_of_every_method_is_on_its_page():
    page = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    for method in OWN:
        for name, field in method.recipe().settings.model_fields.items():
            assert re.search(rf"`{method.name}\.{name}[.`]", page), f"{method.name}.{name}: {field}"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_library_reference(name):
    home, _, own = name.rpartition(".")
    page = (DOCS / "reference" / "api" / f"{home.split('.')[-1]}.md").read_text(encoding="utf-8")
    whole = f".. automodule:: {home}\n   :members:" in page
    assert whole or re.search(rf":: {home}\.{own}$", page, re.M)
