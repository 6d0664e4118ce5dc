"""The run folder: what one `train` writes (docs/data.md lists it)."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hintseg.documents.from_json import parse_json
from hintseg.documents.from_yaml import parse_yaml
from hintseg.engine.checkpoint import MOST_STEPS, previous
from hintseg.errors import ConfigError, DataError, HintSegError, RunError, WriteError
from hintseg.files import (
    append_line,
    read_json,
    read_text,
    remove_parts,
    write_json,
    write_text,
)
from hintseg.locks import held

AGAIN = "continue with the same command and --resume"
LOCK = ".lock"  # held while a training works in a run folder


@dataclass(frozen=True)
class Run:
    """Paths and records of a run folder."""

    root: Path

    @property
    def config_file(self) -> Path:
        """The complete settings."""
        return self.root / "config.yaml"

    @property
    def log_file(self) -> Path:
        """One JSON object per logged step and validation."""
        return self.root / "log.jsonl"

    @property
    def report_file(self) -> Path:
        """The report."""
        return self.root / "report.html"

    def checkpoint_file(self, stage: str) -> Path:
        """The state of an unfinished stage."""
        return self.root / "checkpoint" / f"{stage}.safetensors"

    @contextmanager
    def claimed(self, *, resume: bool) -> Iterator[None]:
        """The block alone works in this folder; what a killed process left half-written is removed.

        A new run whose training fails before it logged or saved leaves no folder.

        Raises:
            RunError: Another training is at work here; or a new run finds one.
        """
        with held(self.root / LOCK, "training", required=False):
            if not resume and self.config_file.exists():  # begun since it was looked at
                refuse_existing(self.root)
            remove_parts(self.root)
            try:
                yield
            except DataError as error:
                self.discard_if_untrained()
                is_kept = self.config_file.exists()
                raise DataError(f"{error}; then {AGAIN}" if is_kept else str(error)) from error
            except HintSegError:
                self.discard_if_untrained()
                raise

    def check_there(self) -> None:
        """Raise WriteError where the folder was removed: half a run is worse than none."""
        if not self.root.is_dir():
            raise WriteError(
                f"{self.root}: was removed while it was being written; train again, with another "
                "--out if somebody else cleans up there"
            )

    def stage_folder(self, stage: str) -> Path:
        """The artefacts of a stage."""
        return self.root / stage

    def is_done(self, stage: str) -> bool:
        """Whether a stage has finished: its manifest is written last."""
        return (self.stage_folder(stage) / "manifest.json").is_file()

    def finish(self, stage: str, content: Mapping[str, Any]) -> None:
        """Declare a stage finished."""
        self.check_there()
        write_json(self.stage_folder(stage) / "manifest.json", content)
        newest = self.checkpoint_file(stage)
        for file in (newest, previous(newest)):
            file.unlink(missing_ok=True)

    def stage_records(self) -> list[dict[str, Any]]:
        """The records of the finished stages, in the order in which they finished."""
        files = sorted(self.root.glob("*/manifest.json"), key=lambda file: file.stat().st_mtime_ns)
        return [read_json(file) for file in files]

    def sheets(self, log: Sequence[Mapping[str, Any]]) -> list[Path]:
        """Pictures that its stages have made for a person, in the order in which they were made.

        A stage is what stands in the log or is finished: other folders hold maps of all images.
        """
        logged = {line.get("stage") for line in log}
        found: list[tuple[int, Path]] = []
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            if folder.name in logged or self.is_done(folder.name):
                with suppress(OSError):  # one that vanishes meanwhile
                    found += [(file.stat().st_mtime_ns, file) for file in folder.glob("*.png")]
        return [file for _, file in sorted(found)]

    def record(self, content: Mapping[str, Any]) -> None:
        """Merge facts into run.json."""
        known = read_json(self.root / "run.json") if (self.root / "run.json").exists() else {}
        write_json(self.root / "run.json", {**known, **content})

    def discard_if_untrained(self) -> None:
        """Remove the folder of a run that failed before it logged or saved: it is of no use."""
        kept = ("*/manifest.json", "**/*.safetensors")
        if (
            self.root.is_dir()
            and not self.read_log()
            and not any(any(self.root.glob(pattern)) for pattern in kept)
        ):
            shutil.rmtree(self.root, ignore_errors=True)  # another rank may be at it

    def log(self, content: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        self.check_there()
        append_line(self.log_file, json.dumps(content))

    def read_log(self) -> list[dict[str, Any]]:
        """The lines of the log; a half-written last line is dropped."""
        if not self.log_file.exists():
            return []
        lines = []
        for line in self.log_file.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                content = parse_json(line)
                if _is_logged(content):
                    lines.append(content)
        return lines

    def rewind_log(self, stage: str, step: int) -> None:
        """Drop what a stage logged at `step` and later: those steps will be done again."""
        kept = [
            line
            for line in self.read_log()
            if line.get("stage") != stage or line.get("step", 0) < step
        ]
        write_text(self.log_file, "".join(json.dumps(line) + "\n" for line in kept))


def _is_logged(line: Any) -> bool:  # noqa: ANN401 - whatever a file holds
    """Whether a line of a log is one of those that `Run.log` writes."""
    if not isinstance(line, dict):
        return False
    step, stage = line.get("step", 0), line.get("stage", "")
    return isinstance(stage, str) and type(step) is int and 0 <= step < MOST_STEPS


def refuse_existing(root: Path) -> None:
    """Raise RunError if a new run cannot be written here: the folder has content, or is a file."""
    if root.exists() and (not root.is_dir() or any(p.name != LOCK for p in root.iterdir())):
        raise RunError(
            f"{root}: exists already; continue it with --resume, choose another --out, or delete it"
        )


def start_run(run: Run, config: Mapping[str, Any]) -> None:
    """Write the settings of a run, unless it is being continued."""
    if not run.config_file.exists():
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        write_text(run.config_file, text)


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        ConfigError: Missing or not a mapping.
    """
    try:
        content = parse_yaml(read_text(path))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(f"{path}: cannot be read as YAML ({reason})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of settings, got {content!r:.60}")
    return content
