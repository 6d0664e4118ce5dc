"""What a command asks for -> the cells of a comparison, with those that make no sense marked so."""

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hintseg.compare.choices import (
    DEFAULT_CRF,
    DEFAULT_VARIANTS,
    MASKS,
    HintChoice,
    checked_variants,
    hint_choices,
)
from hintseg.compare.plan import SPLITS, Cell, Plan, Sections, checked_settings, config_of, joined
from hintseg.data.dataset import Dataset, open_dataset
from hintseg.data.samples import load_weak
from hintseg.errors import ConfigError, DataError, DataWarning
from hintseg.evaluation import names_with_masks
from hintseg.methods.config import Config
from hintseg.methods.localise.stage import images_needing_seeds
from hintseg.methods.seeded.recipe import seeded_stages
from hintseg.methods.settings import merge
from hintseg.predict.options import PredictOptions

PROBED = 12  # train images by which it is found out what a method can use


@dataclass(frozen=True, slots=True)
class Request:
    """What a command says; what it leaves out is as in the folder, or as usual."""

    data: str
    methods: Sequence[str] = ()
    hints: Sequence[str] = ()
    fractions: Sequence[float] = ()
    seeds: Sequence[int] = ()
    settings: Sections = field(default_factory=dict)
    below: Sections = field(default_factory=dict)  # of a file; `settings` go over them
    variants: Sequence[str] = ()
    splits: Sequence[str] = ()
    crf: str | None = None


def make_plan(request: Request, old: Plan | None, where: str) -> Plan:
    """The plan of a new comparison, or that of the folder with what is new in the command.

    Raises:
        HintSegError: Something cannot be compared: an unknown name, no masks to evaluate on, other
            settings than those of the folder.
    """
    request = request if old is None else _filled(request, old)
    choices = hint_choices(request.hints, request.fractions or (1.0,))
    if not request.methods:
        raise ConfigError("--methods: none given; `hintseg methods` lists them")
    if any(seed < 0 for seed in request.seeds):
        raise ConfigError(f"--seeds: must be 0 or more, got {min(request.seeds)}")
    settings = checked_settings(_settings(request), request.methods)
    dataset = open_dataset(request.data)
    plan = Plan(
        data=str(dataset.root.resolve()),
        digest=dataset.digest,
        cells=tuple(_cells(dataset, request, choices, settings)),
        settings=settings,
        variants=tuple(checked_variants(request.variants or DEFAULT_VARIANTS)),
        splits=judged_splits(dataset, request.splits),
        crf=request.crf or DEFAULT_CRF,
    )
    PredictOptions(crf=plan.crf)
    return plan if old is None else joined(old, plan, where)


def judged_splits(dataset: Dataset, wanted: Sequence[str]) -> tuple[str, ...]:
    """Splits to evaluate on, by default test, and val where there is one.

    Raises:
        DataError: A split is missing or empty, or an image of it has no mask.
    """
    if not wanted:
        wanted = [split for split in SPLITS if split == "test" or dataset.has_split(split)]
    for split in wanted:
        names_with_masks(dataset, split)
    return tuple(dict.fromkeys(wanted))


def _settings(request: Request) -> Sections:
    """Settings of the file that concern these methods, without its seed; over them the others."""
    wanted = ("train", *request.methods)
    below = {key: dict(values) for key, values in request.below.items() if key in wanted}
    below.get("train", {}).pop("seed", None)
    return merge(below, request.settings)


def _filled(request: Request, old: Plan) -> Request:
    """Lists that the command leaves out are those of the folder."""
    cells = old.cells
    methods = request.methods or list(dict.fromkeys(cell.method for cell in cells))
    request = replace(request, methods=methods)
    hints = dict.fromkeys(cell.hints.name for cell in cells if cell.hints.name != MASKS)
    return replace(
        request,
        hints=request.hints or list(hints),
        fractions=request.fractions or list(dict.fromkeys(cell.hints.fraction for cell in cells)),
        seeds=request.seeds or list(dict.fromkeys(cell.seed for cell in cells)),
        settings=_settings(request) or old.settings,
        below={},
        variants=request.variants or old.variants,
        splits=request.splits or old.splits,
        crf=request.crf or old.crf,
    )


def _cells(
    dataset: Dataset, request: Request, choices: Sequence[HintChoice], settings: Sections
) -> Iterator[Cell]:
    """Seed by seed, so that the first ones tell something of all methods early.

    A method that looks at no hint is trained once for each seed.
    """
    methods, seeds = dict.fromkeys(request.methods), dict.fromkeys(request.seeds or (0,))
    verdicts = probed(dataset, list(methods), choices, settings)
    for seed in seeds:
        seen: set[str] = set()
        for choice in choices:
            for method in methods:
                uses_hints, reason = verdicts[method, choice.name]
                hints = choice if uses_hints else HintChoice(MASKS)
                cell = Cell(method, hints, seed, reason)
                if cell.name not in seen:
                    seen.add(cell.name)
                    yield cell


def probed(
    dataset: Dataset, methods: Sequence[str], choices: Sequence[HintChoice], settings: Sections
) -> Mapping[tuple[str, str], tuple[bool, str]]:
    """For every method and kind of hint: does it look at hints, and why it cannot use these.

    Found out by the methods themselves, on a few train images.
    """
    verdicts = {}
    for choice in {choice.name: choice for choice in choices}.values():
        with _some_images(dataset, choice) as some:
            for method in methods:
                verdicts[method, choice.name] = _verdict(some, method, settings)
    return verdicts


@contextmanager
def _some_images(dataset: Dataset, choice: HintChoice) -> Iterator[Dataset]:
    """A few train images with these hints; all of them, where they are the data set's own."""
    if not choice.is_drawn:
        yield dataset
        return
    masked = [name for name in dataset.train_names() if dataset.has_mask(name)]
    few = tuple(masked[:: max(1, len(masked) // PROBED)][:PROBED])
    with tempfile.TemporaryDirectory(prefix="hintseg-") as folder:
        part = replace(dataset, splits={"train": few}) if few else dataset
        choice.draw(part, Path(folder) / "some", seed=0)
        yield open_dataset(Path(folder) / "some")


def _verdict(dataset: Dataset, method: str, settings: Sections) -> tuple[bool, str]:
    config = config_of(settings, method, "", seed=0)
    recipe, uses_hints = config.recipe, True
    try:
        uses_hints = bool(recipe.sees(dataset, config.own).hinted)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            recipe.check(dataset, config.own)
    except (ConfigError, DataError) as error:
        return uses_hints, str(error).replace(f"{dataset.root}/", "").replace("hints: ", "", 1)
    return uses_hints, _nothing_left(dataset, config)


def _nothing_left(dataset: Dataset, config: Config) -> str:
    """Why a method that makes seeds has none to make of these hints: it would be `partial`."""
    train = config.train
    weak = partial(load_weak, dataset, size=train.size, brush=train.brush)
    if config.recipe.stages is not seeded_stages or images_needing_seeds(dataset, weak):
        return ""
    return (
        "differs from partial by its seeds for classes that hints name but do not show; these "
        "hints show all, so that it would be partial once more"
    )
