"""Values that travel, and the errors they raise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hintseg.errors import (
    ConfigError,
    DataError,
    HintSegError,
    MissingExtraError,
    RunError,
    UnknownNameError,
    WriteError,
)
from hintseg.plain import has_control, is_text
from hintseg.structures import MOST_CLASSES, UNLABELLED, VOID, Batch, ClassSet, Hints, Shape


def make_batch(size=2):
    return Batch(
        names=tuple(f"n{index}" for index in range(size)),
        images=torch.zeros(size, 3, 4, 6, dtype=torch.uint8),
        labels=torch.zeros(size, 4, 6, dtype=torch.int64),
        tags=torch.ones(size, 3, dtype=torch.bool),
        absent=torch.zeros(size, 3, dtype=torch.bool),
        maps={"regions": torch.zeros(size, 4, 6, dtype=torch.int64)},
    )


def test_unlabelled_and_void_are_two_values_and_no_class():
    assert len({UNLABELLED, VOID}) == 2
    assert max(UNLABELLED, VOID) < 0


def is_name(text):
    return bool(text.strip()) and is_text(text) and not has_control(text)


@given(names=st.lists(st.text(min_size=1).filter(is_name), min_size=1, unique=True))
def test_the_index_of_a_class_is_its_place(names):
    classes = ClassSet(tuple(names))
    assert len(classes) == len(names)
    assert [classes.index(name) for name in names] == list(range(len(names)))
    assert classes.foreground == tuple(range(len(names)))


def test_the_background_is_not_foreground():
    assert ClassSet(("sky", "cow", "cat"), background=1).foreground == (0, 2)
    assert ClassSet(("sky",), background=0).foreground == ()


@pytest.mark.parametrize(
    ("names", "background", "message"),
    [
        ((), None, "at least one class"),
        (("cow", "cat", "cow"), None, "'cow' is listed twice"),
        (("cow", "  "), None, "a name is blank"),
        (("cow", ""), None, "a name is blank"),
        (("cow",), 1, "no class has index 1"),
        (("cow",), -1, "no class has index -1"),
        (tuple(map(str, range(MOST_CLASSES + 1))), None, "at most 32767"),
    ],
)
def test_classes_that_cannot_be_are_refused(names, background, message):
    with pytest.raises(ConfigError, match=message):
        ClassSet(names, background)


def test_as_many_classes_as_label_maps_can_hold_are_made_quickly():
    assert len(ClassSet(tuple(map(str, range(MOST_CLASSES))))) == MOST_CLASSES
    assert np.iinfo(np.int16).max == MOST_CLASSES


def test_an_unknown_class_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no class named 'cwo'; did you mean 'cow'"):
        ClassSet(("cow", "sky")).index("cwo")


def test_an_unknown_name_far_from_all_lists_them_or_the_five_nearest():
    message = str(UnknownNameError("network", "!", ["b", "a", "c"]))
    assert message == "no network named '!'; choose from a, b, c"
    known = [f"net{index:03}" for index in range(99)]
    message = str(UnknownNameError("network", "7", known, listing="hintseg networks"))
    assert message.startswith("no network named '7'; the nearest of 99 are net0")
    assert message.count("net0") == 5
    assert message.endswith("(all: hintseg networks)")


def test_all_errors_of_a_user_have_one_root():
    for kind in (DataError, ConfigError, UnknownNameError, RunError, WriteError, MissingExtraError):
        assert issubclass(kind, HintSegError)
    assert issubclass(UnknownNameError, ConfigError)


def test_a_missing_extra_says_what_to_install():
    error = MissingExtraError("onnx", extra="export", purpose="ONNX export")
    assert str(error) == "ONNX export needs onnx: pip install 'hintseg[export]'"


def test_tags_are_what_was_ticked_drawn_and_painted():
    partial = np.array([[UNLABELLED, 4], [4, 0]], dtype=np.int16)
    shapes = (Shape("point", 2, ((0.0, 0.0),)), Shape("box", 3, ((0.0, 0.0), (1.0, 1.0))))
    assert Hints(shapes, frozenset({1}), partial).tags == {0, 1, 2, 3, 4}
    assert Hints().tags == frozenset()
    assert all(type(tag) is int for tag in Hints(partial=partial).tags)


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        (Hints(), False),
        (Hints(extra={"foreign": 1}), False),
        (Hints(flags=frozenset({0})), True),
        (Hints(shapes=(Shape("point", 0, ((0.0, 0.0),)),)), True),
        (Hints(partial=np.full((1, 1), UNLABELLED)), True),
    ],
)
def test_hints_are_true_if_a_person_gave_any(hints, expected):
    assert bool(hints) is expected


def test_foreign_keys_do_not_make_shapes_differ():
    assert Shape("point", 0, ((0.0, 0.0),), {"a": 1}) == Shape("point", 0, ((0.0, 0.0),))


def test_a_batch_is_as_long_as_its_names_and_can_be_made_of_its_fields():
    batch = make_batch(3)
    assert len(batch) == 3
    again = Batch(*batch.fields())
    *parts, maps = batch.fields()
    assert all(a is b for a, b in zip(parts, again.fields(), strict=False))
    assert all(again.maps[name] is values for name, values in maps.items())


def test_a_batch_goes_to_a_device_whole():
    moved = make_batch().to(torch.device("meta"))
    assert moved.names == ("n0", "n1")
    *tensors, maps = moved.fields()[1:]
    assert maps["regions"].device.type == "meta"
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert [tensor.dtype for tensor in tensors] == [
        tensor.dtype for tensor in make_batch().fields()[1:-1]
    ]


def test_structures_cannot_be_changed():
    with pytest.raises(AttributeError):
        ClassSet(("cow",)).names = ("cat",)
    with pytest.raises(AttributeError):
        make_batch().names = ()
