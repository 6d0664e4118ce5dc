"""Training in a process of its own, which outlives a window and the server.

`hintseg train` learns from a copy of the hints, so that a person can go on drawing meanwhile and an
interrupted training continues exactly.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from hintseg.data.dataset import DATASET_FILE, Dataset, DatasetFile, dump_settings, read_settings
from hintseg.engine.run import Run, read_config
from hintseg.errors import ConfigError, DataError, HintSegError, RunError
from hintseg.files import read_json, relative_to, write_json, write_text, writing
from hintseg.models.saved import DESCRIPTION, WEIGHTS

FOLDER = "studio"  # inside the data set: runs, copies of hints
NICENESS = 5  # the person at the browser comes first
LOG_EVERY, PICTURE_EVERY = 5, 25  # steps
WATCHED = (f"train.log_every={LOG_EVERY}", f"train.picture_every={PICTURE_EVERY}")
LOSSES = 200  # points of a curve that the browser gets
FARTHEST = 1e300
METHOD, STEPS = re.compile(r"[a-z_]{1,40}"), re.compile(r"[0-9]{1,7}")
SET, NOTHING = re.compile("|".join(map(re.escape, WATCHED))), re.compile(r"(?!)")
LAST_WORDS = 3  # lines of what a failed training said

State = Literal["none", "running", "stopping", "stopped", "failed", "finished"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the newest training is."""

    state: State
    run: str = ""
    stage: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    miou: float | None = None
    seconds_left: float | None = None
    message: str = ""
    images: int = 0
    pictures: tuple[tuple[str, int], ...] = ()  # files of the run, when written (ms); newest first

    def record(self) -> dict[str, Any]:
        """As a browser gets it."""
        return {name: getattr(self, name) for name in self.__slots__}


class Trainer:
    """Starts, watches, stops and continues trainings of one data set."""

    def __init__(self, root: Path, train_options: Sequence[str] = ()) -> None:
        self.folder, self._options = root / FOLDER, tuple(train_options)
        self._process: subprocess.Popen | None = None
        self._lock, self._stopping = Lock(), False

    def start(self, dataset: Dataset, *, method: str, steps: int) -> None:
        """Begin a training on the hints as they are now.

        Raises:
            ConfigError: One is running.
            DataError: No image has hints.
        """
        with self._lock:
            self._refuse_two()
            number = 1 + max(self._numbers(), default=0)
            images = copy_hints(dataset, self._data(number))
            record = {"run": number, "images": images}
            options = ["--method", method, "--steps", str(steps)]
            options += [word for value in WATCHED for word in ("--set", value)]
            options += self._options
            self._launch(number, options, record)

    def resume(self) -> None:
        """Continue the newest training; ConfigError where it runs or is finished."""
        with self._lock:
            self._refuse_two()
            record = self._record()
            if not record or is_finished(self.run(record["run"])):
                raise ConfigError("no interrupted training to continue; start a new one")
            self._launch(record["run"], [*record.get("options", ()), "--resume"], record)

    def stop(self) -> None:
        """Ask the training to save its state and end."""
        with self._lock:
            pid = self._alive()
            if pid is not None:
                self._stopping = True
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def newest_finished(self) -> Path | None:
        """The run whose model is the best there is: the last one that finished."""
        done = [run for run in map(self.run, sorted(self._numbers())) if is_finished(run)]
        return done[-1] if done else None

    def progress(self) -> Progress:
        """How far the newest training is; also right after the server was started anew."""
        record = self._record()
        if not record:
            return Progress("none")
        run, alive = Run(self.run(record["run"])), self._alive() is not None
        log = run.read_log()
        lines = [line for line in log if "step" in line and _is_finite(line.get("loss"))]
        judged = [line["val"].get("miou") for line in log if isinstance(line.get("val"), dict)]
        scored = [score for score in judged if _is_finite(score)]
        last = lines[-1] if lines else {}
        steps = _steps_of(run)
        speed, step = last.get("steps_per_second"), last.get("step", -1) + 1
        rate = speed if _is_finite(speed) else 0
        state = self._state(run.root, alive=alive)
        every = max(1, len(lines) // LOSSES)
        return Progress(
            state=state,
            run=run.root.name,
            stage=last.get("stage", ""),
            step=step,
            steps=steps,
            loss=last.get("loss"),
            losses=tuple((line["step"], line["loss"]) for line in lines[::every]),
            miou=max(scored, default=None),
            seconds_left=round((steps - step) / rate, 1) if rate and alive else None,
            message=self._last_words(record["run"]) if state == "failed" else "",
            images=record.get("images", 0),
            pictures=pictures_of(run, log),
        )

    def run(self, number: int) -> Path:
        """The folder of a run."""
        return self.folder / "runs" / str(number)

    def _data(self, number: int) -> Path:
        return self.folder / "data" / str(number)

    def _said(self, number: int) -> Path:
        return self.folder / "data" / f"{number}.txt"

    def _numbers(self) -> list[int]:
        found = [*self.folder.glob("runs/*"), *self.folder.glob("data/*")]
        return [int(path.name) for path in found if path.name.isdigit()]

    def _record(self) -> dict[str, Any]:
        """What is known of the newest training; a data set may come from anywhere, and this in it.

        Raises:
            RunError: It is none that `_launch` has written.
        """
        path = self.folder / "training.json"
        record = read_json(path) if path.exists() else {}
        if record and not self._is_own(record):
            raise RunError(f"{path}: not written by the studio; delete it")
        return record

    def _is_own(self, record: Mapping[str, Any]) -> bool:
        """Whether a record can be our own: its words become those of a command."""
        numbers = [record.get(key, 1) for key in ("run", "images", "pid")]
        options = record.get("options", [])
        if not all(type(n) is int and n >= 1 for n in numbers) or not isinstance(options, list):
            return False
        words = [str(word) for word in options]
        own = words[len(words) - len(self._options) :] if self._options else []
        head = words[: len(words) - len(own)]
        pairs = list(zip(head[::2], head[1::2], strict=False))
        known = {"--method": METHOD, "--steps": STEPS, "--set": SET}
        sound = all(known.get(key, NOTHING).fullmatch(value) for key, value in pairs)
        return "run" in record and sound and len(head) % 2 == 0 and tuple(own) == self._options

    def _refuse_two(self) -> None:
        if self._alive() is not None:
            raise ConfigError("a training is running; stop it first")

    def _launch(self, number: int, options: Sequence[str], record: dict[str, Any]) -> None:
        words = ["train", str(self._data(number)), "--out", str(self.run(number)), *options]
        kept = [word for word in options if word != "--resume"]
        said = self._said(number)
        with writing(said), said.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hintseg", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the server
            )
        self._stopping = False
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        content = {**record, "options": kept, "pid": self._process.pid, "began": time.time()}
        write_json(self.folder / "training.json", content)

    def _alive(self) -> int | None:
        """The process of the newest training, ours or that of a server before; None: it ended."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        record = self._record()
        pid = record.get("pid")
        return pid if isinstance(pid, int) and _is_training(pid, self.run(record["run"])) else None

    def _state(self, run: Path, *, alive: bool) -> State:
        if alive:
            return "stopping" if self._stopping else "running"
        if is_finished(run):
            return "finished"
        if any(run.glob("checkpoint/*")):
            return "stopped"
        return "stopped" if self._stopping else "failed"

    def _last_words(self, number: int) -> str:
        try:
            text = self._said(number).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-LAST_WORDS:])


def pictures_of(run: Run, log: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, int], ...]:
    """The sheets of the stages of a run, with when each was written in milliseconds; newest first.

    A sheet that is not whole yet is none: files are moved into their place.
    """
    found: list[tuple[str, int]] = []
    for file in reversed(run.sheets(log)):
        with suppress(OSError):
            if is_own(file, run.root):
                name = file.relative_to(run.root).as_posix()
                found.append((name, file.stat().st_mtime_ns // 10**6))
    return tuple(found)


def is_own(file: Path, run: Path) -> bool:
    """Whether a file of a run is there and in it: a link could lead anywhere."""
    return file.is_file() and file.resolve().is_relative_to(run.resolve())


def is_finished(run: Path) -> bool:
    """Whether a run has its model and its report: the training is over."""
    return all((run / name).is_file() for name in (DESCRIPTION, WEIGHTS, "report.html"))


def copy_hints(dataset: Dataset, out: Path) -> int:
    """Write a data set of the same images with the hints as they are now.

    Returns the number of images with hints.

    Raises:
        DataError: There is none.
    """
    hinted = [name for name in dataset.train_names() if dataset.has_hints(name)]
    if not hinted:
        raise DataError("no image has a hint yet: draw some, then train")
    for name in dataset.images:
        for source in (dataset.json_file(name), dataset.partial_file(name)):
            if source is not None:
                target = out / "hints" / f"{name}{source.suffix.lower()}"
                with writing(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
    settings = read_settings(dataset.root / DATASET_FILE)
    for split, names in dataset.splits.items():
        write_text(out / "splits" / f"{split}.txt", "".join(f"{name}\n" for name in names))
    copied: dict[str, Any] = {
        "images": relative_to(dataset.images_folder, out),
        "hints": "hints",
        "masks": relative_to(dataset.masks_folder, out),
        "splits": {split: f"splits/{split}.txt" for split in dataset.splits},
    }
    dump_settings(out / DATASET_FILE, DatasetFile(**{**settings.model_dump(), **copied}))
    return len(hinted)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < FARTHEST  # NaN is not


def _steps_of(run: Run) -> int:
    try:
        return int(read_config(run.config_file)["train"]["steps"])
    except (HintSegError, KeyError, TypeError, ValueError):
        return 0  # it has not begun


def _is_training(pid: int, run: Path) -> bool:
    """Whether a process is the training of a run: numbers of processes are used again."""
    words = Path(f"/proc/{pid}/cmdline")
    with suppress(OSError):
        return str(run).encode() in words.read_bytes().split(b"\0")
    return False
