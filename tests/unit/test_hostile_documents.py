"""JSON and YAML that a stranger made to hurt: a value or a ValueError, soon, in little memory."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hintseg.data.dataset import read_settings
from hintseg.documents.from_json import parse_json
from hintseg.documents.from_yaml import MOST_DEPTH, MOST_TEXT, parse_yaml
from hintseg.engine.run import Run, read_config
from hintseg.errors import ConfigError, DataError, RunError
from hintseg.files import read_bytes, read_json, read_text
from hintseg.formats.classes import read_classes
from hintseg.formats.yolo import _yaml
from hintseg.methods.settings import parse_overrides

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from fuzz_inputs import alias_bomb, merge_bomb

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
BOMBS = {
    "references": alias_bomb(9),
    "merge keys": merge_bomb(9),
    "a value that contains itself": "classes: &a [*a]",
    "brackets": "[" * 100_000,
    "dashes": "- " * 10_000,
    "a number of bases": "x: 1" + ":1" * 100_000,  # each part multiplies a longer number by 60
    "a long hexadecimal number": "x: 0x" + "f" * 5000,  # which Python refuses to print
    "a long number": "x: " + "9" * 5000,
    "a type that the value has not": "x: !!bool maybe",
    "a date that the calendar has not": "x: 2001-99-99",
    "a timestamp that is none": "x: !!timestamp soon",
    "code": "!!python/object/apply:os.system ['true']",
    "a key that is a list": "? [a]\n: b",
    "more than is read": "#" + "x" * MOST_TEXT,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_of_yaml_is_refused_in_one_short_line(text):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_yaml(text)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@given(PLAIN)
@settings(max_examples=60)
def test_sound_yaml_is_what_the_usual_parser_reads(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    assert repr(parse_yaml(text)) == repr(yaml.safe_load(text))


@given(st.text(alphabet="ab:-[]{},&*!?|>'\"\n #0x", max_size=60))
@settings(max_examples=200)
def test_any_text_is_a_value_or_a_value_error(text):
    try:
        found = parse_yaml(text)
    except ValueError:
        return
    assert repr(found) == repr(yaml.safe_load(text))


def test_references_of_a_sound_size_are_followed():
    assert parse_yaml("a: &a [x, y]\nb: [*a, *a]\nc: {<<: {d: 1}}") == {
        "a": ["x", "y"],
        "b": [["x", "y"], ["x", "y"]],
        "c": {"d": 1},
    }
    deep = "[" * (MOST_DEPTH - 1) + "]" * (MOST_DEPTH - 1)
    assert parse_yaml(deep) == json.loads(deep)


@pytest.mark.parametrize("bomb", ["references", "a type that the value has not", "code"])
def test_every_reader_of_yaml_refuses_bombs_by_our_own_errors(tmp_path, bomb):
    path = tmp_path / "classes.yaml"
    path.write_text(BOMBS[bomb])
    for read, error in (
        (read_settings, DataError),
        (read_config, ConfigError),
        (lambda p: read_classes(p, str(p)), DataError),
        (lambda p: _yaml(p, str(p)), DataError),
    ):
        with pytest.raises(error, match=r"classes\.yaml") as caught:
            read(path)
        assert len(str(caught.value)) < 1000
    with pytest.raises(ConfigError, match="--set") as caught:
        parse_overrides([f"train.lr={BOMBS[bomb]}"])
    assert len(str(caught.value)) < 1000


@given(PLAIN)
@settings(max_examples=60)
def test_json_comes_back(value):
    text = json.dumps(value)
    assert repr(parse_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "a number of thousands of digits"),
        ("{", "Expecting"),
        (b"\xff", "codec"),
    ],
)
def test_json_that_hurts_is_a_value_error(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize("text", ["NaN", "[1, Infinity]", '{"a": -Infinity}', "1e999", "-1e999"])
def test_numbers_that_json_does_not_know_are_refused_where_that_is_asked(text):
    parse_json(text)
    with pytest.raises(ValueError, match=r"no number of JSON|larger than any number"):
        parse_json(text, finite=True)


def test_devices_pipes_and_folders_are_no_files(tmp_path):
    """A link to /dev/zero has no end, a pipe may never begin."""
    zero, pipe = tmp_path / "zero.json", tmp_path / "pipe.json"
    zero.symlink_to("/dev/zero")
    os.mkfifo(pipe)
    for path in (zero, pipe):
        with pytest.raises(OSError, match="not a file"):
            read_text(path)
        with pytest.raises(RunError, match="not a file"):
            read_json(path)
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"123456789")
    assert read_bytes(path) == b"123456789"
    with pytest.raises(OSError, match="9 bytes; more than 8 are not read"):
        read_bytes(path, most=8)


def test_lines_that_no_training_logs_are_passed_over(tmp_path):
    lines = [
        '{"stage": "train", "step": 3, "loss": 1}',
        "[1]",
        "3",
        '{"step": "x"}',
        "{",
        "[" * 5000,
    ]
    lines += ['{"step": -1}', '{"stage": 3}', '{"step": 1e3}', '{"step": true}']
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    run = Run(tmp_path)
    assert run.read_log() == [{"stage": "train", "step": 3, "loss": 1}]
    run.rewind_log("train", 3)
    assert run.read_log() == []
