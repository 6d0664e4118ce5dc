"""One command over many images by the processes of a team: each its share, one account of all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hintseg.counts import Counts, added, counts_from
from hintseg.distributed import gathered_texts
from hintseg.documents.from_json import parse_json
from hintseg.errors import ConfigError, HintSegError
from hintseg.evaluation import Examination, Figures
from hintseg.launch import Team
from hintseg.predict.folders.label_folder import Outcome
from hintseg.shares import WHOLE, Share
from hintseg.sharing.parts import made_of, read_part, total_of_parts, write_part


def labelled(work: Callable[[Share], Outcome], team: Team, share: Share) -> Outcome:
    """What became of the images of a share, each process of a team having done its part.

    Raises:
        HintSegError: What stopped this process, or another, once all have come to an end.
        SystemExit: In all but the first process, where one was stopped: one message is enough.
    """
    total = Outcome()
    for record in _together(lambda: work(team.share(share)).record(), team):
        total.take(record)
    return total


def evaluated(
    examination: Examination, team: Team, share: Share | None, folder: Path | None
) -> Figures | Path:
    """The figures of a split; of a share, the file of its counts.

    Args:
        examination: What is evaluated.
        team: The processes that do it; all get the result.
        share: Count the images of this share only, and write the counts to `folder`, unless they
            are there.
        folder: Without a share: add up the counts that are there.

    Raises:
        ConfigError: A share without a folder.
        DataError: The counts in the folder are not complete, or of something else.
        HintSegError, SystemExit: As `labelled`.
    """
    if share is None:
        if folder is not None:
            return examination.figures(total_of_parts(examination, folder))
        return examination.figures(_counted(examination, team, WHOLE))
    if folder is None:
        raise ConfigError(f"--shard {share}: say by --counts FOLDER where its counts go")
    made = made_of(examination, share.of(examination.names))
    counts = read_part(folder, share, made)
    if counts is None:
        counts = _counted(examination, team, share)
    return write_part(folder, share, made, counts)


def _counted(examination: Examination, team: Team, share: Share) -> Counts:
    names = team.share(share).of(examination.names)
    records = _together(lambda: examination.counts(names).record(), team)
    return added(map(counts_from, records))


def _together(work: Callable[[], dict[str, Any]], team: Team) -> list[dict[str, Any]]:
    """What the processes of a team have done, in order of rank; errors as of `labelled`."""
    own, stopped = {"error": ""}, None
    try:
        own = work()
    except HintSegError as error:
        stopped, own = error, {"error": str(error)}
    records = [parse_json(text) for text in gathered_texts(json.dumps(own), device=team.device)]
    errors = [record["error"] for record in records if "error" in record]
    if errors and team.rank:
        raise SystemExit(1)
    if stopped is not None:
        raise stopped
    if errors:
        raise HintSegError(errors[0])
    return records
