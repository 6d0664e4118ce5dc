"""What README and examples say can be done."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import typer.main

from hintseg import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(cli.app).commands


def shown_commands():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for line in re.findall(r"^\s*(hintseg [a-z]+ .*)$|`(hintseg [a-z]+ [^`]*)`", text, re.M):
            yield "".join(line).split("#")[0].strip()


@pytest.mark.parametrize("line", sorted(set(shown_commands())))
def test_a_command_shown_in_the_documents_exists_with_its_options(line):
    name, *words = shlex.split(line)[1:]
    command = COMMANDS[name]
    for word in words:  # `hintseg export coco` is a command of a command
        command = getattr(command, "commands", {}).get(word, command)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.report
def test_the_python_of_the_readme_runs(data_folder, tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    (data_folder / "images" / "pond.png").rename(data_folder / "images" / "cow.png")
    (data_folder / "splits" / "val.txt").write_text("ridge\n")
    code = code.replace("cow.jpg", "cow.png").replace('"steps": 1000', '"steps": 2, "crop": 32')
    data_folder.rename(tmp_path / "farm")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "runs" / "farm" / "report.html").is_file()


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("train_from_hints.py", ["{data}", "{data}/images/pond.png", "2"]),
        ("compare_hints.py", ["{data}", "2"]),
    ],
)
def test_an_example_runs(data_folder, tmp_path, monkeypatch, capsys, example, words):
    monkeypatch.chdir(tmp_path)
    arguments = [word.replace("{data}", str(data_folder)) for word in words]
    monkeypatch.setattr(sys, "argv", [example, *arguments])
    runpy.run_path(str(ROOT / "examples" / example))
    assert "%" in capsys.readouterr().out


def test_every_file_that_the_documents_name_is_there():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
