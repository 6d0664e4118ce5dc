"""One cell: hints, training, figures and record, in a process of its own."""

import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hintseg.compare import provenance
from hintseg.compare.choices import variant_words
from hintseg.compare.effort import count_work
from hintseg.compare.folder import CellFolder, CompareFolder
from hintseg.compare.hashing import hints_hash, training_key
from hintseg.compare.judging import judge
from hintseg.compare.plan import Cell, Plan, read_plan, setting_words
from hintseg.data.dataset import DATASET_FILE, Dataset, open_dataset, read_settings
from hintseg.errors import HintSegError, RunError, WriteError
from hintseg.files import append_line, read_json, write_json
from hintseg.locks import held
from hintseg.memory import memory_named
from hintseg.predict.predictor import load
from hintseg.training import train

PARENT = "HINTSEG_COMPARE_PARENT"
"""Environment variable: number of the process with which a cell ends, so that none is orphaned."""

WAIT = 60.0  # seconds for another process to finish with the data set, or with its last step
REMEDY = "use a smaller --batch or --crop, or fewer --jobs"


@dataclass(frozen=True, slots=True)
class Work:
    """A cell that is being done."""

    root: Path
    plan: Plan
    cell: Cell

    @property
    def files(self) -> CellFolder:
        """Where it is kept."""
        return CompareFolder(self.root).cell(self.cell)

    @property
    def data(self) -> Path:
        """What it learns from."""
        return CompareFolder(self.root).data(self.plan, self.cell.hints, self.cell.seed)


def do_cell(root: Path, name: str) -> Cell:
    """Do a cell of a comparison, or what is left of it.

    Raises:
        HintSegError: It failed; its folder keeps the reason.
    """
    plan = read_plan(root)
    cell = plan.find(name)
    if cell.reason:
        raise RunError(f"{cell.name}: makes no sense: {cell.reason}")
    work = Work(root, plan, cell)
    _end_with_parent()
    with held(work.files.lock_file, f"working on cell {cell.name}", wait=WAIT):
        work.files.error_file.unlink(missing_ok=True)
        with _failure_kept(work.files), out_of_memory_named():
            _do(work)
    return cell


def _do(work: Work) -> None:
    dataset = work.plan.dataset()
    hinted = _hinted(work, dataset)
    record = _trained(work, hinted)
    predictor = load(work.files.run, device=record["device"])
    judge(work.files, work.plan, dataset, predictor)


def _hinted(work: Work, dataset: Dataset) -> Dataset:
    """The data set with its hints, made by whichever cell comes first."""
    folder, hints = work.data, work.cell.hints
    if hints.is_drawn and not _is_drawn(folder, dataset):
        lock = folder.with_name(f"{folder.name}.lock")
        with held(lock, "drawing hints", wait=10 * WAIT):
            if not _is_drawn(folder, dataset):
                _remove_half(folder)
                hints.draw(dataset, folder, seed=work.cell.seed)
    return open_dataset(folder)


def _is_drawn(folder: Path, dataset: Dataset) -> bool:
    """Whether it is complete, and finds the photographs: not so when the comparison has moved."""
    file = folder / DATASET_FILE
    if not file.is_file():  # it is written last
        return False
    return (folder / read_settings(file).images).resolve() == dataset.images_folder.resolve()


def _remove_half(folder: Path) -> None:
    """What an interrupted simulation left."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _trained(work: Work, hinted: Dataset) -> dict[str, Any]:
    """Train, or read what was recorded when it was done."""
    files, known = work.files, work.files.record()
    config = work.plan.config(work.cell, str(hinted.root))
    hints = hints_hash(hinted, work.plan.digest)
    key = training_key(hints, config)
    if known.get("key") == key:
        return known
    _drop_stale(files.run, hinted)
    began = time.monotonic()  # the clock of the day may be set back meanwhile
    append_line(files.root / "attempts.txt", f"{time.time():.1f}")
    finished = False
    try:
        settings = {
            "train": config.train.model_dump(mode="json"),
            config.method.name: config.own.model_dump(mode="json"),
        }
        train(hinted, files.run, method=config.method.name, settings=settings, resume=True)
        finished = True
    finally:
        _spent(files, time.monotonic() - began)
    assert finished
    record = {**_facts(work, hinted), "hints_sha256": hints, "key": key}
    write_json(files.record_file, record)
    return record


def _drop_stale(run: Path, hinted: Dataset) -> None:
    """A training that was stopped before the comparison moved cannot go on: it begins anew."""
    file = run / "run.json"
    if file.is_file() and read_json(file).get("data", {}).get("sha256") != hinted.digest:
        shutil.rmtree(run)


def _spent(files: CellFolder, seconds: float) -> None:
    with suppress(WriteError):
        append_line(files.root / "seconds.txt", f"{seconds:.1f}")


def _facts(work: Work, hinted: Dataset) -> dict[str, Any]:
    """All that a figure has to carry."""
    plan, cell, files = work.plan, work.cell, work.files
    run = read_json(files.run / "run.json")
    seconds = [float(line) for line in (files.root / "seconds.txt").read_text().split()]
    attempts = len((files.root / "attempts.txt").read_text().split())
    return {
        "cell": cell.name,
        "method": cell.method,
        "hints": cell.hints.name,
        "fraction": cell.hints.fraction,
        "seed": cell.seed,
        "commands": commands_of(work),
        "commit": provenance.commit(),
        "source": provenance.source_hash(),
        "versions": provenance.versions(),
        "machine": provenance.machine(_gpu(plan)),
        "device": _device(plan),
        "init": run.get("init", {}),
        "steps": plan.config(cell, "").train.steps,
        "hints_used": run.get("hints", {}),
        "extra_supervision": run.get("extra_supervision", "none"),
        "work": count_work(hinted, cell.hints),
        "seconds": round(sum(seconds), 1),
        "seconds_complete": attempts == len(seconds),
        "memory": _memory(),
        "model_sha256": file_hash(files.run / "model.safetensors"),
    }


def commands_of(work: Work) -> list[str]:
    """The commands by which anyone repeats the cell."""
    plan, cell, run = work.plan, work.cell, work.files.run
    seed, data = str(cell.seed), str(work.data)
    settings = {key: plan.settings[key] for key in ("train", cell.method) if key in plan.settings}
    draw = ["simulate", plan.data, *cell.hints.options(), "--seed", seed, "--out", data]
    learn = ["train", data, "--method", cell.method, "--seed", seed, *setting_words(settings)]
    judged = [
        ["evaluate", str(run), plan.data, "--split", split, *variant_words(variant, plan.crf)]
        for split in plan.splits
        for variant in plan.variants
    ]
    lines = [[*learn, "--out", str(run)], *judged]
    lines = [draw, *lines] if cell.hints.is_drawn else lines
    return [shlex.join(["hintseg", *words]) for words in lines]


def _device(plan: Plan) -> str:
    import torch  # noqa: PLC0415

    chosen = plan.settings.get("train", {}).get("device", "auto")
    return "cuda" if chosen != "cpu" and torch.cuda.is_available() else "cpu"


def _gpu(plan: Plan) -> str | None:
    """The GPU's name, where there is one and the cell uses it."""
    import torch  # noqa: PLC0415

    return torch.cuda.get_device_name() if _device(plan) == "cuda" else None


def _memory() -> dict[str, float | None]:
    """The most that this process has had, in MB."""
    import torch  # noqa: PLC0415

    gpu = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None
    return {"peak_mb": _peak(), "gpu_peak_mb": None if gpu is None else round(gpu)}


def _peak() -> float | None:
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return float(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6))


def file_hash(path: Path) -> str:
    """Hash of a file's content."""
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _failure_kept(files: CellFolder) -> Iterator[None]:
    """Why a cell failed stands in its folder, even where no one looks at the terminal."""
    try:
        yield
    except Exception as error:
        text = str(error) if isinstance(error, HintSegError) else f"{error!r:.300}"
        with suppress(HintSegError):
            write_json(files.error_file, {"error": text})
        raise


@contextmanager
def out_of_memory_named() -> Iterator[None]:
    """Whatever a library calls it, a lack of memory is a RunError with a remedy."""
    with memory_named(REMEDY):
        yield


def _end_with_parent() -> None:
    """Stop, saving what there is, when the process that started this one is gone, killed or not.

    SIGTERM: a program in the background of a shell does not hear Ctrl-C's signal.
    """
    parent = os.environ.get(PARENT)
    if parent is None or sys.platform == "win32":
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
