"""What the figures allow one to say, in sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hintseg.bootstrap import LEVEL, Difference, difference
from hintseg.compare.choices import MASKS, HintChoice
from hintseg.compare.results import Results, Row

SURE = "larger than seeds and test images explain"
FEW = 30  # images, below which a bootstrap says little


def sentences(results: Results) -> list[str]:
    """For every kind of hints: which method is best and by how much; then what variants add."""
    return [*_methods(results), *_rest(results)]


def summary(results: Results) -> list[str]:
    """The same without what `pairs_of` has: who is best, and what cannot be told from it."""
    return [*_best(results), *_rest(results)]


def _rest(results: Results) -> list[str]:
    return [*_twins(results), *_ceiling(results), *_variants(results), *_caveats(results)]


def verdict(found: Difference) -> str:
    """How far a difference can be believed.

    >>> verdict(Difference(0.05, 0.03, 0.07, (0.04, 0.06)))
    'larger than seeds and test images explain'
    >>> verdict(Difference(0.05, -0.01, 0.07, (0.04, 0.06)))
    'not certain: other test images might say the opposite'
    >>> verdict(Difference(0.05, 0.03, 0.07, (0.05,)))
    'one seed only: not known whether another would say the same'
    """
    if not found.beyond_images:
        return "not certain: other test images might say the opposite"
    if len(found.by_seed) < 2:
        return "one seed only: not known whether another would say the same"
    if found.within_seeds:
        return "within the spread of seeds"
    return SURE


def compared(results: Results, one: Row, other: Row, variant: str = "plain") -> Difference | None:
    """The difference of two rows over the seeds that both have; None without such."""
    theirs = other.seeds(results.split, variant)
    seeds = [seed for seed in one.seeds(results.split, variant) if seed in theirs]
    if not seeds:
        return None
    return difference(results.counts(one, variant, seeds), results.counts(other, variant, seeds))


def points(found: Difference) -> str:
    """A difference with its interval, in points of mIoU.

    >>> points(Difference(0.052, 0.031, 0.07, (0.05,)))
    '+5.2 points (95 %: +3.1 to +7.0)'
    """
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.mean:+.1f} points ({100 * LEVEL:.0f} %: {low:+.1f} to {high:+.1f})"


def _best(results: Results) -> Iterator[str]:
    for rows in _by_hints(results):
        if len(rows) < 2:
            continue
        pairs = list(_pairs(results, rows))
        sure = [pair.other.method for pair in pairs if pair.verdict == SURE]
        open_ = [pair.other.method for pair in pairs if pair.verdict != SURE]
        told = f"{_start(rows[0].hints)} {rows[0].method} has the highest mean, "
        told += _percent(results, rows[0])
        told += f"; better than {', '.join(sure)}" if sure else ""
        told += f"; not to be told from {', '.join(open_)}" if open_ else ""
        yield f"{told}."


@dataclass(frozen=True, slots=True)
class Pair:
    """The best method on some hints against another."""

    hints: HintChoice
    best: Row
    other: Row
    found: Difference

    @property
    def verdict(self) -> str:
        """How far the difference can be believed."""
        return verdict(self.found)


def pairs_of(results: Results) -> list[Pair]:
    """On every kind of hints, the method with the highest mean against each other one."""
    return [pair for rows in _by_hints(results) for pair in _pairs(results, rows)]


def _by_hints(results: Results) -> Iterator[list[Row]]:
    for hints in dict.fromkeys(row.hints for row in results.drawn):
        if hints.name != MASKS:
            rows = [row for row in results.drawn if row.hints == hints]
            yield sorted(rows, key=lambda row: -(results.mean(row) or 0.0))


def _pairs(results: Results, rows: Sequence[Row]) -> Iterator[Pair]:
    """Rows of one kind of hints, the best one first."""
    for row in rows[1:]:
        found = compared(results, rows[0], row)
        if found is not None:
            yield Pair(row.hints, rows[0], row, found)


def _methods(results: Results) -> Iterator[str]:
    """The best of every kind of hints, and over which others by how much; one verdict a line."""
    for rows in _by_hints(results):
        best, start = rows[0], _start(rows[0].hints)
        if len(rows) < 2:
            continue
        yield f"{start} {best.method} has the highest mean, {_percent(results, best)}."
        groups: dict[str, list[str]] = {}
        for pair in _pairs(results, rows):
            by = f"{pair.other.method} {points(pair.found)}"
            groups.setdefault(pair.verdict, []).append(by)
        for said, others in groups.items():
            yield f"{start} {best.method} against {', '.join(others)}: {said}."


def _twins(results: Results) -> Iterator[str]:
    """Rows that are one training by several names."""
    for rows in _by_hints(results):
        by_weights: dict[tuple[str, ...], list[str]] = {}
        for row in rows:
            weights = tuple(str(one.record.get("model_sha256", "")) for one in row.done)
            by_weights.setdefault(weights, []).append(row.method)
        for same in by_weights.values():
            if len(same) > 1:
                yield (
                    f"{_start(rows[0].hints)} {' and '.join(same)} gave the same weights: they "
                    "differ only where seeds have to be made, and count as one method here."
                )


def _start(hints: HintChoice) -> str:
    return f"With {hints.label},"


def _percent(results: Results, row: Row) -> str:
    mean, spread, share = results.mean(row), results.spread(row), results.share(row)
    text = f"{100 * (mean or 0.0):.1f} % mIoU"
    text += "" if spread is None else f" (seeds: ± {100 * spread:.1f})"
    return text if share is None else f"{text}, {100 * share:.0f} % of full supervision"


def _ceiling(results: Results) -> Iterator[str]:
    full = results.ceiling
    rows = [row for row in results.drawn if row.hints.name != MASKS]
    if full is None or not rows:
        return
    best = max(rows, key=lambda row: results.mean(row) or 0.0)
    found = compared(results, best, full)
    if found is not None:
        pair = f"{best.label}, against {full.label}"
        yield f"The best without dense masks, {pair}: {points(found)}; {verdict(found)}."


def _variants(results: Results) -> Iterator[str]:
    for variant in results.plan.variants:
        if variant == "plain":
            continue
        gains = []
        for row in results.drawn:
            with_it, without = results.mean(row, variant), results.mean(row)
            if with_it is not None and without is not None:
                gains.append(100 * (with_it - without))
        if gains:
            mean = sum(gains) / len(gains)
            yield (
                f"Variant {variant} changes the mean by {mean:+.1f} points over "
                f"{_rows(len(gains))} ({min(gains):+.1f} to {max(gains):+.1f})."
            )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _caveats(results: Results) -> Iterator[str]:
    done = [result for result in results.cells if result.state == "done"]
    images = done[0].figures[results.split, "plain"].get("images", FEW) if done else FEW
    if images < FEW:
        yield f"Split {results.split} has {images} images only: intervals of so few are too narrow."
    sources = {result.record.get("source") for result in done}
    if len(sources) > 1:
        yield f"Cells were made by {len(sources)} different states of the code; see table.json."
    waiting = sum(result.state == "to do" for result in results.cells)
    if waiting:
        yield f"Not done yet: {waiting} of {len(results.cells)} cells."
    if done and max(len(row.done) for row in results.rows) < 2:
        yield "One seed only: how much seeds differ is not known, and no row can be called better."
