"""The pages on extending hintseg are worked through: what they show is written and used."""

import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from PIL import Image

import hintseg
import hintseg.formats
import hintseg.methods
from conftest import TINY
from hintseg import cli
from hintseg.formats import importing
from hintseg.images.label_maps import read_label_map
from hintseg.models import backbone

PAGES = Path(__file__).parents[2] / "docs" / "extending"
SMALL = [f"--set=train.{key}={value}" for key, value in {**TINY, "steps": 4}.items()]
FILE = re.compile(r"```(?:python|toml)\n# (\S+)\n(.*?)^```", re.S | re.M)


def files_of(page, folder):
    """Write the files that a page shows; their content by path."""
    shown = dict(FILE.findall((PAGES / page).read_text(encoding="utf-8")))
    for path, content in shown.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    return shown


def install(page, tmp_path, monkeypatch):
    """What pip would do: put the package on the path, and say which entry points it has."""
    shown = files_of(page, tmp_path / "package")
    monkeypatch.syspath_prepend(tmp_path / "package")
    groups = tomllib.loads(shown["pyproject.toml"])["project"]["entry-points"]
    return [
        EntryPoint(name, value, group)
        for group, points in groups.items()
        for name, value in points.items()
    ]


def commands_of(page):
    """The commands of a page, in order."""
    text = (PAGES / page).read_text(encoding="utf-8")
    lines = "".join(re.findall(r"```sh\n(.*?)```", text, re.S)).splitlines()
    return [line.removeprefix("hintseg ").split() for line in lines]


def do(words, *more):
    assert not cli.app([*words, *more], standalone_mode=False)


@pytest.fixture
def farm(data_folder, tmp_path, monkeypatch):
    """A folder to work in, with the data set `farm` and photographs."""
    data_folder.rename(tmp_path / "farm")
    (tmp_path / "photos").symlink_to(tmp_path / "farm" / "images")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_method_of_the_page_trains_and_predicts(farm, monkeypatch, capsys):
    (point,) = install("method.md", farm, monkeypatch)
    assert point.group == hintseg.methods.GROUP
    monkeypatch.setitem(hintseg.methods.METHODS, point.name, point.load())
    listing, training, prediction = commands_of("method.md")
    do(listing)
    assert "pimodel" in capsys.readouterr().out
    do(training, *SMALL)
    log = (farm / "runs" / "pi" / "log.jsonl").read_text()
    assert '"mirror"' in log
    assert '"labels"' in log
    do(prediction)
    assert read_label_map(farm / "masks" / "pond.png", classes=3, undeclared=-1).shape == (40, 56)


def test_the_format_of_the_page_imports(farm, monkeypatch, capsys):
    files_of("format.md", farm)
    path = [*hintseg.formats.__path__, str(farm / "src" / "hintseg" / "formats")]
    monkeypatch.setattr(hintseg.formats, "__path__", path)
    monkeypatch.setattr(importing, "FORMATS", (*importing.FORMATS, "clicks"))
    table = re.search(r"```text\n(.*?)```", (PAGES / "format.md").read_text(), re.S)[1]
    (farm / "clicks.csv").write_text(table + "IMG_0012.jpg,here,there,clover\n")
    (farm / "photos").unlink()
    (farm / "photos").mkdir()
    Image.new("RGB", (900, 500)).save(farm / "photos" / "IMG_0012.jpg")
    bring, look = commands_of("format.md")
    do(bring)
    said = capsys.readouterr().out
    assert "'here' is no number" in said
    assert hintseg.open_dataset(farm / "field").classes.names == ("clover", "grass")
    do(look)


def test_the_networks_of_the_page_train_and_predict(farm, monkeypatch):
    (point,) = install("backbone.md", farm, monkeypatch)
    assert point.group == backbone.GROUP
    monkeypatch.setattr(backbone, "entry_points", lambda *, group: [point])
    text = (PAGES / "backbone.md").read_text(encoding="utf-8")
    weights = re.search(r"```python\n(import timm\n.*?)```", text, re.S)[1]
    exec(compile(weights, "backbone.md", "exec"), {})
    small = [word for word in SMALL if "backbone" not in word and "weights" not in word]
    small = [*small, "--method", "partial"]
    _, mine, tiny, prediction = commands_of("backbone.md")  # the first is as the second
    do(mine, *small)
    assert "weights.safetensors" in (farm / "runs" / "mine" / "run.json").read_text()
    do(tiny, *small)
    do(prediction)
    assert read_label_map(farm / "masks" / "pond.png", classes=3, undeclared=-1).shape == (40, 56)
