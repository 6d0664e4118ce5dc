"""Every block of code in the documents runs, or a comment before it says why it does not.

A page is one session in a folder that holds what the pages speak of: a data set `farm`, a finished
run `runs/farm`, its masks, photographs. `hintseg` runs in this process, with networks of seconds. A
training goes as far as its first step: settings and data are checked, its run is the finished one
(`tests/contracts` train every method). `pip`, `make` and scripts are looked up, not run.
"""

import json
import re
import shlex
import shutil
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from PIL import Image

import hintseg
from conftest import TINY, draw_data
from hintseg import cli, training
from hintseg.data.dataset import Dataset, open_dataset
from hintseg.methods.config import make_config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- not run: ([^>]+) -->\n+)?^( *)```(\S*)[^\n]*\n(.*?)^\2```", re.S | re.M
)
NOT_CODE = {"text", "{toctree}", "{include}", "{eval-rst}", "{math}", "{note}", "{warning}"}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SMALL = [f"--set=train.{key}={value}" for key, value in {**TINY, "steps": 2}.items()]


def blocks(page):
    """(language, code, reason why it is not run) of a page; code is indented as in its list."""
    for reason, indent, language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language not in NOT_CODE:
            yield language, re.sub(f"^{indent}", "", code, flags=re.M), reason


HERE = [page for page in PAGES if page.parent.name != "extending"]  # test_extending.py does those
RUN = [page for page in HERE if any(not reason for _, _, reason in blocks(page))]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """What the pages speak of; made once."""
    root = tmp_path_factory.mktemp("documents")
    farm = draw_data(root / "farm")
    for folder, ending in (("hints", "json"), ("masks", "png")):
        (farm / folder / f"herd.{ending}").rename(farm / folder / f"cow.{ending}")
    Image.open(farm / "images" / "herd.png").save(farm / "images" / "cow.jpg", quality=95)
    (farm / "images" / "herd.png").unlink()
    (farm / "splits" / "train.txt").write_text("field\ncow\nhill\nmeadow\n")
    settings = {"train": {**TINY, "steps": 2, "validate_images": 0}}
    hintseg.train(farm, root / "finished", settings=settings)
    shutil.copytree(root / "finished", root / "runs" / "farm")
    shutil.copy(farm / "images" / "cow.jpg", root)
    for name in ("photos", "new", "upload"):
        shutil.copytree(farm / "images", root / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for words in ("predict runs/farm photos --out masks --scores", *EXPORTS):
            command(words, patch)
    tasks = json.loads((root / "export.json").read_text())
    submitted = [{**task, "annotations": task.pop("predictions")} for task in tasks]
    (root / "export.json").write_text(json.dumps(submitted))
    with zipfile.ZipFile(root / "task.zip", "w") as file:
        file.write(root / "annotations.xml", "annotations.xml")
        for photograph in (root / "photos").iterdir():
            file.write(photograph, f"images/{photograph.name}")
    return root


EXPORTS = (
    "export coco farm --out instances.json",
    "export cvat farm --out annotations.xml",
    "export labelstudio farm --out export.json",
)


@pytest.fixture
def world(prepared, tmp_path, monkeypatch):
    """A copy of it, to work in."""
    shutil.copytree(prepared, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    monkeypatch.setattr(training, "train", settled)
    return tmp_path / "world"


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page, world, monkeypatch):
    for language, code, reason in blocks(page):
        if not reason:
            run_block(language, code, monkeypatch)


def run_block(language, code, monkeypatch):
    if language == "python":
        exec(compile(code, "a block of python", "exec"), {"__name__": "__example__"})
    elif language in ("yaml", "json", "toml"):
        check_data(language, code)
    elif language in ("", "sh"):
        for line in code.replace("\\\n", " ").splitlines():
            run_line(shlex.split(line, comments=True), monkeypatch)
    else:
        pytest.fail(f"a block in {language}: {code:.60}")


def check_data(language, code):
    """A file that is shown can be read; of a data set, by its reader."""
    content = {"yaml": yaml.safe_load, "json": json.loads, "toml": tomllib.loads}[language](code)
    assert content
    if language == "yaml" and not {"repos", "method"} & set(content):
        folder = Path("shown")
        shutil.copytree("farm", folder, dirs_exist_ok=True)
        document = {"classes": ["grass", "cow", "sky"], **content}
        (folder / "dataset.yaml").write_text(yaml.safe_dump(document))
        assert open_dataset(folder).classes


def run_line(words, monkeypatch):
    words = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S+", word)]  # of the environment
    if not words:
        return
    program, *rest = words
    if program == "hintseg":
        command(" ".join(map(shlex.quote, rest)), monkeypatch)
    elif program == "pip":
        assert rest[0] == "install"
        for extra in re.findall(r"\[([a-z,]+)\]", " ".join(rest)):
            assert set(extra.split(",")) <= set(EXTRAS["optional-dependencies"])
    elif program == "make":
        assert all(re.search(rf"^{target}:", MAKEFILE, re.M) for target in rest)
    elif program == "python":
        assert (ROOT / rest[0]).is_file()
    else:
        pytest.fail(f"{program}: neither run nor marked; write <!-- not run: why --> before it")


def command(line, monkeypatch):
    """Run `hintseg LINE` in this process; a training, comparison or server is made ready only."""
    words = shlex.split(line)
    name = words[0]
    out = Path(words[words.index("--out") + 1]) if "--out" in words else None
    if out is not None and out.exists() and name != "compare":
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    if name == "train":
        words += SMALL
    if "--at" in words:
        words[words.index("--at") + 1] = "20,10"
    if name == "compare":
        words += ["--dry-run", "--backbone", TINY["backbone"]]
    if name == "studio":
        monkeypatch.setattr("hintseg.studio.serving.serve", lambda data, **_: open_dataset(data))
    if name == "demo":
        monkeypatch.setattr("hintseg.demo.run_demo", lambda out, **_: out)
    done = cli.app(cli._with_preset(words), standalone_mode=False)
    assert not done, f"hintseg {line}: exit code {done}"


def settled(data, out, *, method=None, preset=None, config=None, settings=None, resume=False):
    """A training up to its first step: settings and data are checked; the run is a finished one."""
    dataset = data if isinstance(data, Dataset) else open_dataset(Path(data))
    chosen = method or training.DEFAULT_METHOD
    made = make_config(chosen, str(dataset.root), preset=preset, sections=settings or {})
    made.recipe.check(dataset, made.own)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree("finished", out)
    return training.TrainedRun(out)


def test_every_reason_is_a_sentence():
    for page in PAGES:
        for _, _, reason in blocks(page):
            assert not reason or len(reason.split()) > 3, page


def test_blocks_are_found():
    assert sum(1 for page in PAGES for _ in blocks(page)) > 40
    assert ROOT / "README.md" in RUN
