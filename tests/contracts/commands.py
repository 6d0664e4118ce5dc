"""Every command with words that work, for the tests of faults; run in this process."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from conftest import draw_data
from hintseg import cli
from hintseg.studio.guard import OWN_HEADER, Door
from hintseg.studio.server import build_app
from hintseg.studio.session import Session

TINY = ["--backbone", "test_efficientnet", "--steps", "4", "--crop", "32", "--batch", "2"]
TINY += ["--device", "cpu"]
SETTINGS = ("weights=random", "dim=8", "width=16", "log_every=1", "checkpoint_every=1", "threads=1")
for pair in SETTINGS:
    TINY += ["--set", f"train.{pair}"]
FULL = ["--method", "full", *TINY, "--set", "train.validate_images=0"]
SPML = ["--method", "spml", *TINY, "--set", "spml.classify.steps=0"]
COMPARED = [
    "--methods",
    "partial",
    "--hints",
    "points",
    "--seeds",
    "0",
    *TINY,
    "--variants",
    "plain",
    "--splits",
    "val",
]

COMMANDS = {  # run folder and data set are read, `out` is written
    "train": ["train", "{data}", *FULL, "--out", "{out}/run"],
    "label": ["label", "{run}", "{data}", "--out", "{out}/labels", "--device", "cpu"],
    "predict": ["predict", "{run}", "{data}/images", "--out", "{out}/m", "--device", "cpu"],
    "evaluate": ["evaluate", "{run}", "{data}", "--json", "{out}/e.json", "--device", "cpu"],
    "retrieve": [
        *("retrieve", "{run}", "{data}", "--image", "pond", "--at", "9,9"),
        *("--out", "{out}/r.html", "--device", "cpu"),
    ],
    "compare": ["compare", "{data}", *COMPARED, "--cell", "1", "--out", "{out}/c"],
    "simulate": ["simulate", "{data}", "--hints", "points", "--out", "{out}/d"],
    "import": [
        *("import", "masks", "{data}/masks", "--images", "{data}/images"),
        *("--classes", "grass,cow,sky", "--out", "{out}/i"),
    ],
    "export masks": ["export", "masks", "{data}", "--out", "{out}/x"],
    "export coco": ["export", "coco", "{data}", "--out", "{out}/x.json"],
    "export onnx": ["export", "onnx", "{run}", "--out", "{out}/x.onnx", "--fixed", "32x32"],
    "check": ["check", "{data}", "--out", "{out}/c.html"],
}
BY_MODEL = ("label", "predict", "evaluate", "retrieve", "export onnx")


class World:
    """A data set, finished runs that a test may damage copies of, and a place to write to."""

    def __init__(self, root, monkeypatch, capsys):
        self.root, self._monkeypatch, self._capsys = root, monkeypatch, capsys
        self.data, self.out, self.run = root / "data", root / "out", root / "spml"

    def words(self, command):
        """The words of a command, or of a list."""
        words = COMMANDS[command] if isinstance(command, str) else command
        places = {"data": self.data, "run": self.run, "out": self.out}
        return [str(word).format(**places) for word in words]

    def __call__(self, command, *more):
        """Run a command: exit code and what it said on standard error, without warnings."""
        self._monkeypatch.setattr(sys, "argv", ["hintseg", *self.words(command), *map(str, more)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
            if isinstance(code, str):
                print(code, file=sys.stderr)  # as the interpreter does
                code = 1
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        self.warnings = [line for line in err.splitlines() if "hintseg: warning: " in line]
        return code, "\n".join(line for line in err.splitlines() if line not in self.warnings)

    def fails(self, command, *parts, more=()):
        """A command ends with exit code 1 and one line that has these parts."""
        code, said = self(command, *more)
        assert code == 1, said
        (line,) = said.splitlines()
        assert line.startswith("hintseg: ")
        for part in parts:
            assert part in line
        return line

    def studio(self):
        """The server of the studio, as a browser on this machine sees it."""
        session = Session(self.data, train_options=())
        headers = {OWN_HEADER: "1"}
        app = build_app(session, Door())
        return TestClient(app, base_url="http://127.0.0.1:8765", headers=headers)


def tree(folder):
    """Content of all files of a folder, without locks; what is not the same twice left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in (".lock", ".html") and path.name != ".lock":
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(_lasting(path)).hexdigest()
    return found


def _lasting(path):
    """The bytes of a file that do not depend on the time of the day or the speed."""
    if path.name in ("log.jsonl", "run.json", "manifest.json", "cell.json"):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines() if path.suffix == ".jsonl" else [text]
        kept = ("stage", "step", "loss", "losses", "init", "data", "hints", "model", "images")
        return json.dumps([{k: json.loads(x).get(k) for k in kept} for x in lines]).encode()
    return path.read_bytes()


def half_written(folder):
    """What a reader could take for a file that is whole, and is not: nothing, ever."""
    return [path for path in folder.rglob("*.part") if path.exists()]


def make_world(root):
    """What is made once: the data set, a run with prototypes."""
    draw_data(root / "data")
    words = ["train", root / "data", *SPML, "--out", root / "spml"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hintseg", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code


def can_mount():
    """Whether this process may mount a disk of its own."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and Path("/proc/mounts").exists()


def skip_unless(condition, reason):
    if not condition:
        pytest.skip(reason)
