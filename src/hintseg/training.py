"""One call from a data set to a finished run: settings, stages, model and report."""

import platform
from collections.abc import Mapping
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hintseg.cores import shared_cores
from hintseg.data.dataset import Dataset, open_dataset
from hintseg.distributed import peers_named
from hintseg.engine.run import AGAIN, Run, refuse_existing, start_run
from hintseg.engine.stages import run_stages
from hintseg.errors import ConfigError, RunError
from hintseg.files import read_json
from hintseg.launch import Precision, make_fabric, processes
from hintseg.memory import memory_named
from hintseg.methods.config import Config, make_config, read_sections
from hintseg.methods.job import Job
from hintseg.methods.settings import merge
from hintseg.methods.supervision import recorded
from hintseg.methods.validating import validation_names
from hintseg.models.saved import ModelDescription
from hintseg.predict.predictor import Predictor, load
from hintseg.versions import version_of

PRECISIONS: dict[str, Precision] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}
DEFAULT_METHOD = "spml"
LESS = (
    "begin anew with a smaller --batch, --crop or --size, or with --precision bf16 on a GPU; what "
    "was saved can still be continued where there is more memory (--resume)"
)


if TYPE_CHECKING:
    from lightning_fabric import Fabric

    _Path = Path
else:
    _Path = type(Path())  # the class of this system's paths


class TrainedRun(_Path):
    """The folder of a finished run, with its model and its report."""

    @property
    def path(self) -> Path:
        """The folder as a plain path."""
        return Path(self)

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    def predictor(self, *, device: torch.device | str = "cpu") -> Predictor:
        """The model, ready to predict."""
        return load(self, device=device)


def train(
    data: str | PathLike[str] | Dataset,
    out: str | PathLike[str],
    *,
    method: str | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    resume: bool = False,
) -> TrainedRun:
    """Train a method on a data set and write a run folder.

    Args:
        data: Data set folder (docs/data.md), or an open data set.
        out: Run folder to write.
        method: Name of a method (`hintseg methods`); default: the config's, else spml.
        preset: Named settings of the method.
        config: config.yaml of another run, over the preset.
        settings: Settings by section, over both: {"train": {"steps": 500}, "partial": {...}}.
        resume: Continue an interrupted run in `out` with its own settings; start if there is none.

    Returns:
        The run; it is taken wherever a path is: `hintseg.load(run)`, `run / "model.json"`.

    Raises:
        HintSegError: A setting, the data or the run folder cannot work.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(Path(data))
    root, sections = Path(out), settings or {}
    if resume and (root / "config.yaml").exists():
        chosen = _config_of(root, dataset)
        chosen.refuse_changes(method, sections, str(root))
        check_unchanged(root, dataset)
    else:
        named, below = read_sections(Path(config)) if config else (None, {})
        name = method or named or DEFAULT_METHOD
        mine = {key: below[key] for key in ("train", name) if key in below}  # not other methods'
        chosen = make_config(
            name, str(dataset.root.resolve()), preset=preset, sections=merge(mine, sections)
        )
        chosen.recipe.check(dataset, chosen.own)
        refuse_existing(root)
    with shared_cores(processes(chosen.train.devices)[0]):
        _work(chosen, chosen.recipe.view(dataset, chosen.own), Run(root), resume=resume)
    return TrainedRun(root)


def _work(config: Config, dataset: Dataset, run: Run, *, resume: bool) -> None:
    """Do the stages of the method, on every device."""
    settings = config.train
    devices, nodes = processes(settings.devices)
    if settings.batch % (devices * nodes):
        every = f"--devices {devices}" if nodes == 1 else f"{devices} devices on {nodes} nodes"
        raise ConfigError(f"train.batch={settings.batch} must be a multiple of {every}")
    fabric = make_fabric(
        settings.device, settings.devices, precision=PRECISIONS[settings.precision]
    )
    fabric.launch()
    alone = run.claimed(resume=resume) if fabric.is_global_zero else nullcontext()
    with alone, peers_named(AGAIN), memory_named(LESS):  # all ranks have made their checks
        _stages(config, dataset, run, fabric)


def _stages(config: Config, dataset: Dataset, run: Run, fabric: "Fabric") -> None:
    """Begin or continue the run, stage by stage, and report it."""
    settings = config.train
    if fabric.is_global_zero:
        start_run(run, config.dump())
        run.record(_facts(config, dataset))
    fabric.barrier()
    description = ModelDescription(
        classes=dataset.classes.names,
        background=dataset.classes.background,
        backbone=settings.backbone,
        output_stride=settings.output_stride,
        dim=settings.dim,
        width=settings.width,
        unit=config.recipe.unit,
        kind=config.recipe.kind,
        extra=config.recipe.extra(config.own),
        size=settings.size,
        zoom=settings.zoom or sum(settings.scale) / 2,
        reading=dataset.reading,
    )
    job = Job(dataset, run, fabric, settings, config.own, description)
    with torch.random.fork_rng():  # stages seed torch's generator; the caller's stays as it was
        stages = config.recipe.stages(job)
        run_stages(stages, run, writer=fabric.is_global_zero, barrier=fabric.barrier)
        if fabric.is_global_zero:
            from hintseg.report.run_page import report_run  # noqa: PLC0415 - by matplotlib

            report_run(run, dataset, load(run.root, device=fabric.device))


def _facts(config: Config, dataset: Dataset) -> dict[str, Any]:
    packages = ("hintseg", "torch", "torchvision", "timm", "lightning-fabric", "numpy")
    python = {"python": platform.python_version()}
    return {
        "versions": python | {package: version_of(package) for package in packages},
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "method": config.method.name,
        "seed": config.train.seed,
        "data": {"path": config.data, "sha256": dataset.digest},
        **recorded(
            config.recipe.sees(dataset, config.own),
            validation_names(dataset, config.train.validate_images),
            dataset,
            config.train,
        ),
    }


def _config_of(root: Path, dataset: Dataset) -> Config:
    name, sections = read_sections(root / "config.yaml")
    return make_config(name or DEFAULT_METHOD, str(dataset.root.resolve()), sections=sections)


def check_unchanged(root: Path, dataset: Dataset) -> None:
    """Raise RunError if labels, splits or classes are not those that the run began with."""
    if (root / "run.json").exists():
        known = read_json(root / "run.json").get("data", {}).get("sha256")
        if known not in (None, dataset.digest):
            raise RunError(
                f"{root}: {dataset.root} has changed since this run began (labels, splits or "
                "classes); train anew with another --out"
            )
