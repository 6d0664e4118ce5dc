"""What the words of the command `compare` mean: a new comparison, its rest, one cell, a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hintseg.compare.cell import do_cell
from hintseg.compare.collecting import collect
from hintseg.compare.comparing import compare, planned, previewed
from hintseg.compare.effort import checked_rates
from hintseg.compare.estimate import estimate, in_words
from hintseg.compare.folder import CompareFolder
from hintseg.compare.grid import Request
from hintseg.compare.plan import PLAN_FILE, Plan, Sections, read_plan
from hintseg.compare.running import Say
from hintseg.compare.verifying import verify
from hintseg.errors import ConfigError
from hintseg.methods.config import read_sections
from hintseg.methods.settings import merge, parse_overrides


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be done, in place of everything."""

    cell: str | None = None  # of --cell
    verified: str | None = None  # of --verify
    dry_run: bool = False
    collect: bool = False
    verify: bool = False

    def __post_init__(self) -> None:
        wanted = [self.cell is not None, self.dry_run, self.collect, self.verify]
        if sum(wanted) > 1:
            raise ConfigError("--cell, --dry-run, --collect and --verify: give one of them")
        if self.verified is not None and not self.verify:
            raise ConfigError(
                f"{self.verified}: a second name is a cell to --verify; give one folder"
            )


def run(
    request: Request,
    out: Path | None,
    chosen: Chosen,
    *,
    jobs: int,
    seconds: Mapping[str, float],
    say: Say,
) -> bool:
    """Do what the command says; whether nothing failed.

    Raises:
        HintSegError: It cannot be done.
    """
    root = _root(request, out)
    if chosen.dry_run:
        _list(root, previewed(request, root), jobs, say)
        return True
    if chosen.cell is not None:
        # A cell of a plan that stands takes it as it is: hundreds may start at once.
        as_it_is = (root / PLAN_FILE).is_file() and request == Request(request.data)
        plan = read_plan(root) if as_it_is else planned(request, root)
        say(f"{do_cell(root, plan.find(chosen.cell).name).name}: finished")
        return True
    if chosen.verify:
        return verify(root, read_plan(root), chosen.verified, say=say)
    if chosen.collect:
        say(f"{collect(root, read_plan(root), seconds=seconds)}: written")
        return True
    good = compare(request, root, jobs=jobs, seconds=seconds, say=say)
    say(f"{root / 'report.html'}: the page; table.md, table.csv and table.json beside it")
    return good


def settings_of(given: Mapping[str, Any], pairs: Sequence[str]) -> Sections:
    """Settings with options of their own, over them those of --set."""
    return merge({"train": dict(given)} if given else {}, parse_overrides(pairs))


def words(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str, option: str) -> list[float]:
    """Numbers between commas.

    Raises:
        ConfigError: Something else.
    """
    try:
        return [float(part) for part in words(text)]
    except ValueError as error:
        raise ConfigError(f"{option} {text}: must be numbers separated by commas") from error


def integers(text: str, option: str) -> list[int]:
    """Whole numbers between commas; errors as `numbers`."""
    found = numbers(text, option)
    if any(not number.is_integer() for number in found):
        raise ConfigError(f"{option} {text}: must be whole numbers separated by commas")
    return [int(number) for number in found]


def sections_of(config: Path | None) -> Sections:
    """Settings of a file; of none."""
    return {} if config is None else read_sections(config)[1]


def rates_of(text: str) -> dict[str, float]:
    """`tag=1,box=34.5` as {"tag": 1.0, "box": 34.5}.

    Raises:
        ConfigError: No such kind of work, or no number.
    """
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        kind, _, number = pair.partition("=")
        try:
            found[kind.strip()] = float(number)
        except ValueError as error:
            raise ConfigError(f"--seconds {pair}: write kind=seconds, such as box=7") from error
    checked_rates(found)
    return found


def _root(request: Request, out: Path | None) -> Path:
    if out is not None:
        return out
    if (Path(request.data) / PLAN_FILE).is_file():
        return Path(request.data)
    raise ConfigError(
        f"{request.data}: holds no comparison ({PLAN_FILE}); to begin one give --methods, --hints "
        "and --out"
    )


def _list(root: Path, plan: Plan, jobs: int, say: Say) -> None:
    """Every cell with its number, its state and its time."""
    folder, seconds = CompareFolder(root), estimate(root, plan)
    for number, cell in enumerate(plan.cells, 1):
        state = folder.state(plan, cell)
        more = {
            "skipped": f": {cell.reason}",
            "failed": f": {folder.cell(cell).error()}; will be tried again",
        }.get(state, "")
        time = f", about {in_words(seconds[cell.name])}" if cell.name in seconds else ""
        say(f"{number:4} {cell.name}: {state}{more}{time}")
    total = in_words(sum(seconds.values()) / max(1, min(jobs, len(seconds) or 1)))
    say(
        f"{len(seconds)} of {len(plan.cells)} cells to do, about {total} with --jobs {jobs} if "
        f"there is a core for each{_basis(folder, plan)}"
    )


def _basis(folder: CompareFolder, plan: Plan) -> str:
    """Where the times come from."""
    done = sum(folder.is_done(plan, cell) for cell in plan.todo)
    if done:
        return f"; by what {done} cells took here"
    return "; by one step of the network and the steps of every stage, so within half or double"
