"""One entry of a LabelMe file: what it becomes, and what is said where it is wrong."""

import pytest

from hintseg.hints.labelme_shapes import shapes_of
from hintseg.structures import ClassSet

CLASSES = ClassSet(("grass", "cow"))


def read(entry):
    problems = []
    return shapes_of(entry, CLASSES, problems.append), problems


def entry(kind, points, **more):
    return {"label": "cow", "shape_type": kind, "points": points, **more}


@pytest.mark.parametrize(
    ("shape_type", "points", "kind"),
    [
        ("point", [[3, 4]], "point"),
        ("line", [[0, 0], [5, 5]], "scribble"),
        ("linestrip", [[0, 0], [5, 5], [9, 2]], "scribble"),
        ("rectangle", [[1, 1], [6, 7]], "box"),
        ("polygon", [[0, 0], [5, 0], [5, 5]], "polygon"),
        ("circle", [[5, 5], [8, 5]], "polygon"),
        (None, [[0, 0], [5, 0], [5, 5]], "polygon"),
    ],
)
def test_each_type_is_a_kind_in_our_frame(shape_type, points, kind):
    (shape,), problems = read(entry(shape_type, points))
    assert not problems
    assert (shape.kind, shape.label) == (kind, 1)
    if shape_type not in (
        "circle",
    ):  # LabelMe counts from the corner of a pixel, we from its centre
        assert shape.points == tuple((x - 0.5, y - 0.5) for x, y in points)


def test_several_clicks_are_several_points_without_those_that_say_no():
    shapes, problems = read(entry("points", [[1, 1], [2, 2], [3, 3]], point_labels=[1, 0, 1]))
    assert not problems
    assert [shape.points for shape in shapes] == [((0.5, 0.5),), ((2.5, 2.5),)]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("cow", "must be an object with label and points"),
        ({"points": [[1, 1]], "shape_type": "point"}, "has no label"),
        (entry("point", [[1, 1]]) | {"label": 7}, ".label: must be the name of a class"),
        (entry("point", [[1, 1]]) | {"label": "cwo"}, "did you mean 'cow'"),
        (entry("spline", [[1, 1]]), "cannot be used as a hint; use point"),
        (entry("point", "x"), ".points: must be a list"),
        (entry("point", [[1, True]]), ".points[0]: must be two finite numbers"),
        (entry("point", [[1, 1e9]]), ".points[0]: must be two finite numbers"),
        (entry("polygon", [[1, 1], [2, 2]]), "a polygon needs 3 points or more"),
        (entry("rectangle", [[1, 1], [1, 5]]), "an empty box"),
        (entry("circle", [[1, 1], [1, 1]]), "a circle needs its centre and a point on it"),
        (entry("mask", [[1, 1], [2, 2]], mask="no picture"), "mask: "),
    ],
)
def test_what_is_wrong_is_said_once_and_gives_no_shape(broken, said):
    shapes, problems = read(broken)
    assert shapes == ()
    assert len(problems) == 1
    assert said in problems[0]


def test_every_wrong_coordinate_is_named():
    _, problems = read(entry("linestrip", [[1, 1], [None, 2], [3, 3], [4]]))
    assert [problem.split(":")[0] for problem in problems] == [".points[1]", ".points[3]"]


def test_foreign_keys_stay_with_the_shape():
    (shape,), _ = read(entry("point", [[1, 1]], group_id=4, flags={}))
    assert shape.extra == {"group_id": 4, "flags": {}}
