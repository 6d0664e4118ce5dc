"""Each reader gets some dozens of damaged files: a result or a HintSegError, nothing else.

`python benchmarks/fuzz.py` does the same for as long as one likes.
"""

import random
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from fuzz import attempt
from fuzz_targets import hostile, targets

SLOW = {"check": 2, "studio": 2, "model": 8, "comparison": 3, "records of a run": 2}
SLOW |= {"weights": 3, "predictions": 6, "dataset.yaml": 8, "config.yaml": 3}
SLOW |= {"photograph": 12, "TIFF": 12, "label map": 12}
FOUND = targets()


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """The sound files of each reader, made once."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("valid") / "files"
            FOUND[name].make(made[name])
        return made[name]

    return of


@pytest.mark.parametrize("name", FOUND)
def test_a_damaged_file_is_read_or_refused(name, valid):
    target = FOUND[name]
    for number in range(SLOW.get(name, 6 if name.startswith("import") else 40)):
        rng = random.Random(f"{name} {number}")

        def fill(folder, rng=rng):
            hostile(target, valid(name), folder, rng)

        outcome, text = attempt(target, fill)
        assert outcome != "find", f"#{number}: {text}"


@pytest.mark.parametrize("name", FOUND)
def test_the_sound_files_are_read(name, valid):
    """Else the test above would only see refusals."""

    def fill(folder):
        shutil.copytree(valid(name), folder)

    outcome, text = attempt(FOUND[name], fill)
    assert outcome == "read", text
