"""Files and classes with names that were made to hurt: terminals, folders and pages."""

import io
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from rich.console import Console

from conftest import CLASSES
from hintseg.cli import main
from hintseg.data.check.checking import check
from hintseg.data.dataset import open_dataset
from hintseg.data.simulated import simulate_dataset
from hintseg.errors import ConfigError, DataError, UnknownNameError
from hintseg.formats.importing import import_dataset
from hintseg.images.files import scan_images
from hintseg.plain import has_control, is_file_name, message, one_line, plain
from hintseg.progress import progress
from hintseg.report.tables import print_check, print_import
from hintseg.structures import ClassSet

ESCAPE = "\x1b[2J\x1b[31mgone"
ODD = ("a\nb", "a\rb", f"a{ESCAPE}", "a\x9b31m", "a\x07", "a\x08", "a\u2028b", "a\u202egnp.exe")


def raw(text):
    """What of a text a terminal would take for orders."""
    return [letter for letter in text if has_control(letter) and letter != "\n"]


@given(st.text())
@settings(max_examples=200)
def test_plain_text_has_no_orders_and_loses_nothing_else(text):
    assert not raw(plain(text).replace("\t", ""))
    assert not has_control(one_line(text))
    if not has_control(text):
        assert plain(text) == one_line(text) == text


def test_a_message_is_as_long_as_a_person_reads():
    assert len(message("x" * 10**6)) <= 4000
    assert len(str(UnknownNameError("class", "x" * 10**6, ("cow",)))) < 500


@pytest.mark.parametrize("name", [*ODD[:7], "a\ud800"])
def test_no_class_has_a_control_character(name):
    with pytest.raises(ConfigError, match="holds a control character; take it out"):
        ClassSet(("cow", name))


def test_letters_of_all_scripts_are_names():
    ClassSet(("Kuh", "牛", "गाय", "بقرة", "\u0641\u200c\u0647", "👩\u200d🌾"))


@pytest.mark.parametrize("name", [*ODD, "..", "../x", "a/b", "c:x", "\\\\h\\x", "", " ", "x" * 300])
def test_what_could_lead_elsewhere_is_no_file_name(name):
    assert not is_file_name(name)


@pytest.mark.parametrize("name", ["a\nb", f"a{ESCAPE}", "a\x07"])
def test_an_image_of_such_a_name_is_passed_over_and_named_in_plain_letters(data_folder, name):
    (data_folder / "images" / "field.png").rename(data_folder / "images" / f"{name}.png")
    found = scan_images(data_folder / "images")
    assert len(found.images) == 7
    (complaint,) = found.complaints()
    assert "the name holds control characters; rename it" in complaint
    assert not has_control(complaint)


def test_check_prints_names_as_plain_text(data_folder):
    """A split called as markup, a hint file of no image, a label of escape sequences."""
    hints = data_folder / "hints"
    (hints / f"x{ESCAPE}.json").write_text("{}")
    (data_folder / "images" / f"y{ESCAPE}.png").write_bytes(b"")
    document = json.loads((hints / "herd.json").read_text())
    document["shapes"][0]["label"] = ESCAPE
    document["imagePath"] = f"{ESCAPE}.png"
    (hints / "herd.json").write_text(json.dumps(document))
    settings_ = (data_folder / "dataset.yaml").read_text().replace("  val:", '  "[red]v":')
    (data_folder / "dataset.yaml").write_text(settings_)
    for terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=200)
        print_check(check(data_folder), console)
        said = console.file.getvalue()
        assert not raw(said)
        assert "[red]v" in said
        assert "x1b[2J" in said


def test_the_command_line_prints_names_as_plain_text(data_folder, monkeypatch, capfd):
    (data_folder / f"x{ESCAPE}").mkdir()
    for words in (
        ["train", str(data_folder / f"x{ESCAPE}"), "--out", str(data_folder / "run")],
        ["predict", str(data_folder), f"{data_folder}/x{ESCAPE}", "--out", "x"],
        ["check", str(data_folder), "--out", str(data_folder / "check.html")],
    ):
        monkeypatch.setattr(sys, "argv", ["hintseg", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = "".join(capfd.readouterr()) + str(ended.value)
        assert not raw(said), words


def test_the_bar_shows_names_without_markup(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("work [/x]", 2) as advance:
        advance("[/nothing] [bold]")
        advance(f"a{ESCAPE}")
    assert "\x1b[31mgone" not in stream.getvalue()


def test_import_prints_and_keeps_plain_names(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    PillowImage.new("RGB", (20, 10)).save(source / "a.png")
    image = {"id": 1, "file_name": "a.png", "height": 10, "width": 20}
    content = {
        "images": [image, {"id": 2, "file_name": f"none{ESCAPE}.png"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]},
            {"image_id": 1, "category_id": 2, "bbox": [1, 1, 5, 5]},
        ],
        "categories": [{"id": 1, "name": f"cow\n{ESCAPE}"}, {"id": 2, "name": "g\ud800[/x]"}],
    }
    (source / f"a{ESCAPE}.json").write_text(json.dumps(content))
    result = import_dataset("coco", source, tmp_path / "out")
    assert len(result.classes) == 2
    assert not any(has_control(name) for name in result.classes)
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    print_import(result, console)
    assert not raw(console.file.getvalue())
    assert open_dataset(tmp_path / "out").hints("a").shapes


@pytest.mark.parametrize("split", ["../../evil", "/evil", "a/b", "a\\b", "c:a", ".x", "a\nb"])
def test_a_split_is_never_a_path(data_folder, tmp_path, split):
    """`simulate` and the studio write splits/SPLIT.txt."""
    text = (data_folder / "dataset.yaml").read_text()
    (data_folder / "dataset.yaml").write_text(text.replace("  val:", f"  {json.dumps(split)}:"))
    with pytest.raises(DataError, match=r"splits: .* names a file in places") as caught:
        simulate_dataset(open_dataset(data_folder), tmp_path / "deep" / "out", kinds=["points"])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*evil*"))


def test_a_terminal_gets_no_order_from_a_program_of_its_own(data_folder):
    """The same once in a process, as a person starts it."""
    (data_folder / "hints" / f"x{ESCAPE}.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "hintseg", "check", str(data_folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1)
    assert not raw(done.stdout + done.stderr)
    assert CLASSES[0] in done.stdout
