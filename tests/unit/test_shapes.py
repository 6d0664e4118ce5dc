"""What makes a drawn shape sound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hintseg.hints.shapes import (
    SLACK,
    box_corners,
    count_problem,
    empty_box_problem,
    extent,
    is_outside,
    reaches_out,
)
from hintseg.structures import Shape

numbers = st.floats(-50, 50, allow_nan=False)
points = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6).map(tuple)


@given(drawn=points)
def test_the_extent_holds_every_point_and_touches_four(drawn):
    area = extent(drawn)
    assert all(area.left <= x <= area.right and area.top <= y <= area.bottom for x, y in drawn)
    assert {x for x, _ in drawn} >= {area.left, area.right}
    assert {y for _, y in drawn} >= {area.top, area.bottom}


@pytest.mark.parametrize(
    ("kind", "sound"),
    [("point", {1}), ("scribble", {2, 3, 9}), ("polygon", {3, 9}), ("box", {2})],
)
def test_every_kind_has_its_number_of_points(kind, sound):
    found = {count for count in (0, 1, 2, 3, 9) if count_problem(kind, count) is None}
    assert found == sound


@given(left=numbers, top=numbers, width=st.floats(0.5, 9), height=st.floats(0.5, 9))
def test_four_corners_of_a_box_in_any_order_are_two(left, top, width, height):
    right, bottom = left + width, top + height
    corners = (left, top), (right, top), (right, bottom), (left, bottom)
    assert box_corners(corners) == ((left, top), (right, bottom))
    assert box_corners(corners[::-1]) == ((left, top), (right, bottom))


def test_a_turned_box_keeps_its_four_points():
    turned = ((0.0, 2.0), (2.0, 0.0), (4.0, 2.0), (2.0, 4.0))
    assert box_corners(turned) == turned


def test_a_box_without_area_is_told():
    assert empty_box_problem(((1.0, 1.0), (3.0, 4.0))) is None
    assert "0 wide and 3 high" in empty_box_problem(((1.0, 1.0), (1.0, 4.0)))


@pytest.mark.parametrize(
    ("place", "outside"),
    [((0.0, 0.0), False), ((-0.5 - SLACK, 3.0), False), ((-1.1, 3.0), True), ((10.1, 3.0), True)],
)
def test_a_point_within_the_slack_is_on_the_image(place, outside):
    assert is_outside(Shape("point", 0, (place,)), (5, 10)) is outside


def test_a_stroke_that_leaves_the_image_reaches_out_and_one_beside_it_does_not():
    assert reaches_out(Shape("scribble", 0, ((3.0, 3.0), (30.0, 3.0))), (5, 10))
    assert not reaches_out(Shape("scribble", 0, ((3.0, 3.0), (8.0, 3.0))), (5, 10))
    assert not reaches_out(Shape("scribble", 0, ((20.0, 3.0), (30.0, 3.0))), (5, 10))
