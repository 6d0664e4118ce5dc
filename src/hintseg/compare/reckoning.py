"""How much work a cell is, counted in training steps of a plain network on one image.

Steps are counted stage by stage; what a stage costs beyond the network is by measurements on two
cores (docs/results.md), so that a cell may well take half as long again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hintseg.compare.choices import MIX, OWN, HintChoice
from hintseg.compare.plan import Cell, Plan
from hintseg.data.dataset import Dataset

PREDICTION = 1 / 3  # of a training step of one image: no backward pass
VARIANT_COST = {"plain": 1.0, "scales": 6.0, "crf": 3.0, "retrieval": 2.0}
STEP_COST = {"spml": 1.5, "regularized": 1.2, "sec": 1.3, "ldf": 1.5}
"""Of a training step, where it is more than that of a plain network."""

STRIDE = 16.0  # pixels for a cell of the activation maps, by which costs of localisers are known
LOCALISER_COST = {"cam": 1.0, "sc_cam": 1.0, "seam": 1.4, "rca": 1.4}
CLASSIFY_SHARE = 0.2  # of the steps, after seeds in doubt
SHARE = 0.4  # of the steps, of a classifier of tags and of what spreads its maps
REGIONS = 1.0  # of an image, in steps
AGREEMENT = 0.1  # of a round, for an image
MAPS = 2 / 3  # height by width of a photograph


def work_of(plan: Plan, cell: Cell, dataset: Dataset) -> float:
    """All that a cell does: seeds, training, evaluation."""
    return training_work(plan, cell, dataset) + evaluation_work(plan, dataset)


def training_work(plan: Plan, cell: Cell, dataset: Dataset) -> float:
    """Steps of all stages, and the passes over all train images between them."""
    config = plan.config(cell, "")
    train, own = config.train, config.own.model_dump()
    images = len(dataset.train_names())
    plain, seeded = float(train.steps * train.batch), needs_seeds(cell.hints, own)
    parts = [plain * STEP_COST.get(cell.method, 1.0)]
    if seeded:
        parts.append(_localising(own["localise"], train.steps, train.batch, images))
    if "first" in own:
        parts.append(float(own["first"]["steps"] * train.batch))
    if "fine_steps" in own:
        fine = own["fine_steps"]
        parts.append((train.steps if fine is None else fine) * train.batch * STEP_COST["ldf"])
    if "relabel" in own:
        parts.append(_relations(own, train.steps, train.batch, images, seeded=seeded))
    return sum(parts)


def evaluation_work(plan: Plan, dataset: Dataset) -> float:
    """Every image of every split, in every variant."""
    images = sum(len(dataset.names(split)) for split in plan.splits)
    return images * PREDICTION * sum(variant_cost(name) for name in plan.variants)


def variant_cost(name: str) -> float:
    """Of a prediction, in plain ones: parts of a variant come on top of each other.

    Example:
        >>> variant_cost("crf"), variant_cost("scales+crf")
        (3.0, 8.0)
    """
    return 1.0 + sum(VARIANT_COST[part] - 1.0 for part in name.split("+"))


def needs_seeds(hints: HintChoice, own: Mapping[str, Any]) -> bool:
    """Whether a method makes seeds of such hints: they name classes that they do not show."""
    localise = own.get("localise")
    if not localise or localise["steps"] == 0:
        return False
    if hints.name in (MIX, OWN):
        return True
    return hints.is_drawn and set(hints.kinds) <= {"tags", "boxes"}


def _localising(settings: Mapping[str, Any], steps: int, batch: int, images: int) -> float:
    """Of the classifier, of what spreads its maps, and of the maps of all images."""
    fine = max(1.0, STRIDE / float(settings["output_stride"]))  # only the last blocks are finer
    cost = LOCALISER_COST[settings["by"]] * fine
    rounds = 1 + (int(settings["sub"]["rounds"]) if settings["by"] == "sc_cam" else 0)
    own = SHARE * steps if settings["steps"] is None else float(settings["steps"])
    work = own * batch * cost * rounds
    expand = settings["expand"]
    if expand["by"] in ("affinity", "irn"):
        more = SHARE * steps if expand["steps"] is None else float(expand["steps"])
        work += more * batch
    views: Sequence[float] = settings["scales"]
    area = sum(float(view) ** 2 for view in views) * MAPS * (2 if settings["flip"] else 1)
    agreed = AGREEMENT * float(settings["agreement"]["rounds"])
    return work + images * (area * PREDICTION * fine + agreed)


def _relations(
    own: Mapping[str, Any], steps: int, batch: int, images: int, *, seeded: bool
) -> float:
    """What SPML does beside its embedding: regions, pseudo labels, classifier, prototypes."""
    classify = own["classify"]["steps"]
    if classify is None:
        classify = CLASSIFY_SHARE * steps if seeded else 0.0
    turns = len(own["relabel"]["rounds"])
    return images * (REGIONS + 2 * PREDICTION * (turns + 1)) + turns * float(classify) * batch
