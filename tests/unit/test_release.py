"""The changelog and the version of the package are one story."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import hintseg

ROOT = Path(__file__).parents[2]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEADINGS = re.findall(r"^## (\S+) \((unreleased|\d{4}-\d{2}-\d{2})\)$", CHANGES, re.M)


def test_the_version_is_the_same_everywhere():
    """A version that the build reads from the package itself is the same by construction."""
    assert PROJECT.get("version", hintseg.__version__) == hintseg.__version__
    assert HEADINGS[0][0] == hintseg.__version__


def test_every_version_has_a_heading_with_its_date_and_only_the_newest_may_lack_one():
    assert len(HEADINGS) == len(re.findall(r"^## ", CHANGES, re.M))
    assert all(date != "unreleased" for _, date in HEADINGS[1:])
    numbers = [tuple(map(int, version.split("."))) for version, _ in HEADINGS]
    assert numbers == sorted(set(numbers), reverse=True)


def test_every_version_says_what_changed():
    for part in re.split(r"^## .*$", CHANGES, flags=re.M)[1:]:
        assert re.search(r"^- \S", part, re.M)


def test_a_tag_on_this_commit_is_that_of_a_dated_version():
    found = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    versions = [tag for tag in found.stdout.split() if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    if not versions:
        pytest.skip("no version is tagged here")
    assert versions == [f"v{hintseg.__version__}"]
    assert HEADINGS[0][1] != "unreleased"


@pytest.mark.parametrize(
    "file", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda f: f.name
)
def test_a_template_of_an_issue_is_valid_yaml_with_what_github_asks_for(file):
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if file.name != "config.yml":
        assert {"name", "description", "body"} <= set(content)
        identities = [field["id"] for field in content["body"]]
        assert len(set(identities)) == len(identities)


def test_what_the_hooks_run_is_there():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    for hook in hooks["repos"][0]["hooks"]:
        for word in hook["entry"].split():
            if word.endswith(".py"):
                assert (ROOT / word).is_file()
