"""LabelMe files: what the real tool writes opens, ours open in it, every slip is named."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hintseg.errors import DataError
from hintseg.hints import labelme
from hintseg.hints.figures import write_bitmap
from hintseg.hints.labelme import (
    labelme_problems,
    labelme_warnings,
    read_labelme,
    write_labelme,
)
from hintseg.hints.raster import rasterize
from hintseg.structures import ClassSet, Hints, Shape

DOT = write_bitmap(np.array([[True, False]]))
CLASSES = ClassSet(("background", "cow", "grass"), 0)
SIZE = (213, 320)

# Byte for byte as LabelMe 5.4 writes it: two spaces, no final newline, umlauts as they are.
GOLDEN = """{
  "version": "5.4.1",
  "flags": {
    "cow": true,
    "blurred": false
  },
  "shapes": [
    {
      "label": "cow",
      "points": [
        [
          10.0,
          20.25
        ],
        [
          110.5,
          90.0
        ]
      ],
      "group_id": null,
      "description": "",
      "shape_type": "rectangle",
      "flags": {},
      "mask": null
    },
    {
      "label": "grass",
      "points": [
        [
          12.347826086956523,
          150.0
        ],
        [
          80.0,
          160.0
        ],
        [
          300.0,
          199.5
        ]
      ],
      "group_id": 3,
      "description": "Wiese, größtenteils",
      "shape_type": "linestrip",
      "flags": {
        "occluded": true
      },
      "mask": null
    },
    {
      "label": "cow",
      "points": [
        [
          50.0,
          50.0
        ]
      ],
      "group_id": null,
      "description": null,
      "shape_type": "point",
      "flags": {},
      "mask": null
    },
    {
      "label": "grass",
      "points": [
        [
          1.0,
          2.0
        ],
        [
          3.0,
          4.0
        ]
      ],
      "group_id": null,
      "description": "",
      "shape_type": "line",
      "flags": {},
      "mask": null
    },
    {
      "label": "background",
      "points": [
        [
          200.0,
          10.0
        ],
        [
          250.0,
          10.0
        ],
        [
          225.0,
          60.0
        ]
      ],
      "group_id": null,
      "description": "",
      "shape_type": "polygon",
      "flags": {},
      "mask": null
    }
  ],
  "imagePath": "../images/cow.jpg",
  "imageData": null,
  "imageHeight": 213,
  "imageWidth": 320
}"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cow.json"


def entry(**changes):
    return {"label": "cow", "points": [[1, 2], [30, 40]], "shape_type": "linestrip"} | changes


def save(path, *shapes, **top):
    path.write_text(json.dumps({"shapes": list(shapes)} | top))
    return path


def first_problem(path):
    with pytest.raises(DataError) as caught:
        read_labelme(path, CLASSES)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message) < 600
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# ---- reading and writing


def test_a_file_of_labelme_5_comes_back_byte_for_byte(path):
    path.write_text(GOLDEN, encoding="utf-8")
    hints, size = read_labelme(path, CLASSES)
    write_labelme(path, hints, CLASSES, image_path="../images/cow.jpg", size=size)
    assert path.read_text(encoding="utf-8") == GOLDEN
    assert labelme_problems(path, CLASSES, SIZE) == []


def test_a_file_of_labelme_5_is_read_as_drawn(path):
    path.write_text(GOLDEN, encoding="utf-8")
    hints, size = read_labelme(path, CLASSES)
    assert size == SIZE
    assert [shape.kind for shape in hints.shapes] == [
        "box",
        "scribble",
        "point",
        "scribble",
        "polygon",
    ]
    assert [shape.label for shape in hints.shapes] == [1, 2, 1, 2, 0]
    assert hints.flags == {1}
    assert hints.shapes[2].points == ((49.5, 49.5),)


def test_a_file_of_labelme_4_opens(path):
    """It has no description and no mask, embeds the image, and may leave out the shape type."""
    shape = {"label": "cow", "points": [[0, 0], [9, 0], [9, 9]], "group_id": None, "flags": {}}
    save(path, shape, version="4.5.6", flags={}, imagePath="cow.jpg", imageData="aGk=",
         imageHeight=213, imageWidth=320)  # fmt: skip
    hints, size = read_labelme(path, CLASSES)
    assert hints.shapes[0].kind == "polygon"
    assert size == SIZE
    assert "imageData" not in hints.extra


def test_a_rectangle_around_the_whole_image_covers_all_pixels(path):
    save(path, entry(points=[[0, 0], [10, 10]], shape_type="rectangle"))
    assert read_labelme(path, CLASSES)[0].shapes[0].points == ((-0.5, -0.5), (9.5, 9.5))


def test_a_rectangle_may_come_by_all_four_corners(path):
    save(path, entry(points=[[30, 5], [30, 9], [10, 9], [10, 5]], shape_type="rectangle"))
    assert read_labelme(path, CLASSES)[0].shapes[0].points == ((9.5, 4.5), (29.5, 8.5))


def test_what_is_written_has_all_keys_of_labelme_in_its_order(path):
    hints = Hints((Shape("scribble", 1, ((0.0, 0.0), (5.0, 5.0))),), frozenset({2}))
    write_labelme(path, hints, CLASSES, image_path="cow.jpg", size=(7, 9))
    content = json.loads(path.read_text())
    assert list(content) == [
        "version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth",
    ]  # fmt: skip
    assert content["flags"] == {"grass": True}
    assert content["imageData"] is None
    assert (content["imageHeight"], content["imageWidth"]) == (7, 9)
    assert content["shapes"] == [
        {
            "label": "cow",
            "points": [[0.5, 0.5], [5.5, 5.5]],
            "group_id": None,
            "description": "",
            "shape_type": "linestrip",
            "flags": {},
            "mask": None,
        }
    ]


def test_foreign_keys_survive_a_round_trip(path):
    shape = entry(score=0.5, attributes={"who": ["a", None]})
    save(path, shape, reviewed_by="Änne", version="6.0", flags={"cow": False, "night": False})
    hints, _ = read_labelme(path, CLASSES)
    write_labelme(path, hints, CLASSES, image_path="x.jpg", size=SIZE)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["reviewed_by"] == "Änne"
    assert content["version"] == "6.0"
    assert content["flags"] == {"cow": False, "night": False}
    assert content["shapes"][0]["score"] == 0.5
    assert content["shapes"][0]["attributes"] == {"who": ["a", None]}


def test_tags_decide_which_flags_are_written_as_true(path):
    save(path, flags={"cow": True, "grass": False, "night": False})
    hints, _ = read_labelme(path, CLASSES)
    changed = replace(hints, flags=frozenset({2}))
    write_labelme(path, changed, CLASSES, image_path="x.jpg", size=SIZE)
    assert json.loads(path.read_text())["flags"] == {"cow": False, "grass": True, "night": False}


def test_half_a_surrogate_pair_survives_a_round_trip(path):
    path.write_text('{"shapes": [], "note": "\\ud800"}')
    hints, _ = read_labelme(path, CLASSES)
    write_labelme(path, hints, CLASSES, image_path="x.jpg", size=SIZE)
    assert read_labelme(path, CLASSES)[0].extra["note"] == "\ud800"


def test_a_byte_order_mark_is_no_problem(path):
    path.write_bytes(b"\xef\xbb\xbf" + b'{"shapes": []}')
    assert not read_labelme(path, CLASSES)[0]


def test_nothing_half_written_stays_behind(path):
    write_labelme(path, Hints(), CLASSES, image_path="x.jpg", size=SIZE)
    assert list(path.parent.iterdir()) == [path]


def test_foreign_keys_that_json_cannot_hold_are_refused(path):
    hints = Hints(extra={"odd": object()})
    with pytest.raises(DataError, match="foreign keys cannot be written"):
        write_labelme(path, hints, CLASSES, image_path="x.jpg", size=SIZE)
    assert not path.exists()


coordinates = st.floats(-1e6, 1e6)
points = st.tuples(coordinates, coordinates)
# Shapes as plain tuples: beartype draws random numbers when it checks a real one.
shapes = st.one_of(
    st.tuples(st.just("point"), st.integers(0, 2), st.tuples(points)),
    st.tuples(st.just("scribble"), st.integers(0, 2), st.lists(points, min_size=2, max_size=9)),
    st.tuples(st.just("polygon"), st.integers(0, 2), st.lists(points, min_size=3, max_size=9)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(shapes, max_size=5), st.frozensets(st.integers(0, 2)))
def test_any_hints_come_back_as_they_were(tmp_path, drawn, flags):
    path = tmp_path / "any.json"
    drawn = tuple(Shape(kind, label, tuple(line)) for kind, label, line in drawn)
    write_labelme(path, Hints(drawn, flags), CLASSES, image_path="x.jpg", size=SIZE)
    back, size = read_labelme(path, CLASSES)
    assert size == SIZE
    assert back.flags == flags
    assert [(s.kind, s.label) for s in back.shapes] == [(s.kind, s.label) for s in drawn]
    for got, want in zip(back.shapes, drawn, strict=True):
        np.testing.assert_allclose(got.points, want.points, rtol=0, atol=1e-9)


# ---- slips


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "cwo"}, r"shapes\[0\].label: no class named 'cwo'; did you mean 'cow'\?"),
        ({"label": 7}, r"shapes\[0\].label: must be the name of a class, got 7"),
        ({"label": "x" * 10**6}, r"shapes\[0\].label: no class named 'xxx"),
        ({"label": "\ud800"}, r"no class named '\\ud800'"),
        ({"points": [[1, 2]]}, r"\[0\].points: a scribble needs 2 points or more, got 1"),
        ({"points": []}, "a scribble needs 2 points or more, got 0"),
        ({"points": None}, r"points: must be a list of \[x, y\], got None"),
        ({"points": [[1, 2], [3]]}, r"points\[1\]: must be two finite numbers \[x, y\], got \[3\]"),
        ({"points": [[1, 2], [3, float("nan")]]}, r"points\[1\]: .* got \[3, nan\]"),
        ({"points": [[1, 2], [float("inf"), 3]]}, r"points\[1\]: .* got \[inf, 3\]"),
        ({"points": [["1", 2], [3, 4]]}, r"points\[0\]: .* got \['1', 2\]"),
        ({"points": [[True, 2], [3, 4]]}, r"points\[0\]: .* got \[True, 2\]"),
        ({"points": [[10**400, 2], [3, 4]]}, r"points\[0\]: must be two finite numbers"),
        ({"points": [[1e8, 2], [3, 4]]}, r"points\[0\]: must be two finite numbers"),
        ({"shape_type": "polygon"}, "a polygon needs 3 points or more, got 2"),
        ({"shape_type": "point"}, "a point needs exactly 1 point, got 2"),
        ({"shape_type": "rectangle", "points": [[1, 2]]}, "a box needs 2 opposite corners, got 1"),
        (
            {"shape_type": "rectangle", "points": [[3, 1], [3, 9]]},
            "an empty box, 0 wide and 8 high; draw it again or remove it",
        ),
        ({"shape_type": "cuboid"}, "'cuboid' cannot be used as a hint; use point, line"),
        ({"shape_type": "circle", "points": [[1, 2]]}, "a circle needs its centre and a point on"),
        ({"shape_type": "circle", "points": [[1, 2], [1, 2]]}, "a circle needs its centre and a"),
        ({"shape_type": "rotation"}, "a polygon needs 3 points or more, got 2"),
        ({"shape_type": "points", "points": []}, r"shapes\[0\].points: holds no point"),
        ({"shape_type": "mask", "points": [[1, 2]]}, "a mask needs 2 opposite corners, got 1"),
        (
            {"shape_type": "mask"},
            r"points: mask: holds no bitmap \(a PNG in base64\)",
        ),
        ({"shape_type": "mask", "mask": "aGk="}, "mask: is no PNG in base64, or a damaged one"),
        ({"shape_type": "mask", "mask": DOT}, "the bitmap has 2 x 1 pixels, its box 30 x 39; draw"),
        ({"shape_type": ["point"]}, r"\['point'\] cannot be used as a hint; use point, line"),
    ],
)
def test_each_slip_in_a_shape_is_named_with_its_remedy(path, changes, message):
    save(path, entry(**changes))
    with pytest.raises(DataError, match=message):
        read_labelme(path, CLASSES)
    assert first_problem(path)


def test_a_shape_without_a_label_is_named(path):
    save(path, entry(), {"points": [[1, 1]], "shape_type": "point"})
    assert first_problem(path) == "shapes[1]: has no label; give it the name of a class"


def test_a_shape_that_is_no_object_is_named(path):
    assert first_problem(save(path, 5)).startswith("shapes[0]: must be an object")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON, or cut short"),
        (b"hello", "not JSON, or cut short"),
        (GOLDEN.encode()[:700], "not JSON, or cut short (line "),
        (b"\xff\xfe{}", "UTF-16 text; save it as UTF-8"),
        ('{"a": "ü"}'.encode("latin-1"), "not UTF-8 text (byte 7)"),
        (b"[1, 2]", "not a LabelMe file: an object with 'shapes' is needed, got [1, 2]"),
        (b"{}", "not a LabelMe file: it has no 'shapes'"),
        (b'{"shapes": {"a": 1}}', "shapes: must be a list, got {'a': 1}"),
        (b'{"shapes": null}', "shapes: must be a list, got None"),
        (b'{"shapes": [], "flags": [1]}', "flags: must be {name: true or false}, got [1]"),
        (b'{"shapes": [], "flags": {"cow": 1}}', "flags['cow']: must be true or false, got 1"),
        (b'{"shapes": [], "flags": {"cwo": true}}', "flags: no class named 'cwo'; did you mean"),
        (b'{"shapes": [], "imageHeight": "9"}', "imageHeight: must be a whole number of pixels"),
        (b'{"shapes": [], "imageWidth": NaN}', "imageWidth: must be a whole number of pixels"),
        (b'{"shapes": [], "imageWidth": 0}', "imageWidth: must be a whole number of pixels, got 0"),
        (
            b'{"shapes": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            "nested too deeply",
        ),
        (b'{"shapes": ' + b"9" * 5000 + b"}", "a number of thousands of digits"),
    ],
    ids=range(17),
)
def test_each_slip_of_a_whole_file_is_named_with_its_remedy(path, content, message):
    path.write_bytes(content)
    assert first_problem(path).startswith(message)
    assert labelme_problems(path, CLASSES, SIZE)[0].startswith(f"{path}: {message}")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert first_problem(tmp_path / "no.json") == "no such file"
    assert first_problem(tmp_path).startswith("cannot be read")


def test_all_problems_of_a_file_come_at_once(path):
    save(
        path,
        entry(label="cwo", points=[[1, 2]]),
        entry(),
        entry(points=[[1, 2], ["a", 3], [4, None]]),
        entry(points=[[400, 300], [500, 310]]),
        flags={"gras": True},
        imageHeight=320,
        imageWidth=213,
    )
    problems = [p.removeprefix(f"{path}: ") for p in labelme_problems(path, CLASSES, SIZE)]
    for place in ("shapes[0].label: ", "shapes[0].points: ", "shapes[2].points[1]: ",
                  "shapes[2].points[2]: ", "shapes[3].points: lies wholly outside",
                  "flags: no class named 'gras'", "imageHeight, imageWidth: "):  # fmt: skip
        assert sum(problem.startswith(place) for problem in problems) == 1, place
    assert len(problems) == 7
    assert any("is it turned?" in problem for problem in problems)


def test_the_first_problem_is_the_one_that_reading_raises(path):
    save(path, entry(), entry(label="cwo"), entry(points=[[1, 1]]))
    assert labelme_problems(path, CLASSES, SIZE)[0] == f"{path}: {first_problem(path)}"


@pytest.mark.parametrize(
    ("shape_type", "points", "sound"),
    [
        ("point", [[320.5, 213.5]], True),  # half a pixel outside: a click on the very edge
        ("point", [[320.6, 100]], False),
        ("point", [[-0.6, 100]], False),
        ("linestrip", [[10, 10], [10, 214]], True),
        ("linestrip", [[0, 0], [320, 213]], True),
        ("rectangle", [[-20, 10], [-5, 20]], False),
        ("rectangle", [[0, 0], [320, 213]], True),
        ("polygon", [[0, 300], [10, 300], [5, 290]], False),
    ],
)
def test_what_lies_wholly_outside_is_a_problem_but_can_be_read(path, shape_type, points, sound):
    save(path, entry(shape_type=shape_type, points=points))
    assert len(read_labelme(path, CLASSES)[0].shapes) == 1
    assert (labelme_problems(path, CLASSES, SIZE) == []) is sound


# ---- damage


def read_or_data_error(path):
    problems = labelme_problems(path, CLASSES, SIZE)
    refused = None
    try:
        read_labelme(path, CLASSES)
    except DataError as error:
        refused = str(error)
    assert refused is None or problems[0] == refused


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.integers(0, len(GOLDEN.encode())), st.binary(max_size=3))
def test_a_file_cut_short_raises_nothing_but_data_error(tmp_path, length, tail):
    path = tmp_path / "cut.json"
    path.write_bytes(GOLDEN.encode()[:length] + tail)
    read_or_data_error(path)


KEYS = st.text(max_size=3)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**400, -1, "cow", "point", "rectangle", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


def places(value, prefix=()):
    """Paths to all values inside a JSON value, itself included."""
    yield prefix
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from places(inner, (*prefix, key))


PLACES = list(places(json.loads(GOLDEN)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=3))
def test_a_file_with_any_value_replaced_raises_nothing_but_data_error(tmp_path, damages):
    content = {"root": json.loads(GOLDEN)}
    for place, value in damages:
        *way, last = ("root", *place)
        part = content
        try:
            for key in way:
                part = part[key]
            part[last] = value
        except (TypeError, LookupError):  # an earlier damage took the place away
            continue
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(content["root"]))
    read_or_data_error(path)


# ---- figures of other tools


def drawn(path, *shapes, out_size=None, **top):
    hints, _ = read_labelme(save(path, *shapes, **top), CLASSES)
    return rasterize(hints, SIZE, CLASSES, out_size=out_size).labels


@pytest.mark.parametrize("edge", [[60.5, 50.0], [52.25, 51.0], [50.0, 130.7]])
def test_a_circle_is_the_disc(path, edge):
    centre = np.array([50.0, 50.0])
    labels = drawn(path, entry(shape_type="circle", points=[centre.tolist(), edge]))
    y, x = np.indices(SIZE) + 0.5  # LabelMe's frame
    apart = np.hypot(x - centre[0], y - centre[1]) - np.hypot(*(centre - edge))
    assert (labels[apart < -0.02] == 1).all()
    assert (labels[apart > 0.02] < 0).all()


def bitmap():
    return np.random.default_rng(0).random((7, 9)) > 0.5


def test_a_mask_is_its_pixels(path):
    shape = entry(shape_type="mask", points=[[20, 30], [28, 36]], mask=write_bitmap(bitmap()))
    expected = np.full(SIZE, -1)
    expected[30:37, 20:29][bitmap()] = 1
    assert np.array_equal(drawn(path, shape), expected)
    hints, _ = read_labelme(path, CLASSES)
    assert (hints.shapes[0].kind, hints.tags) == ("mask", {1})
    half = drawn(path, shape, out_size=(107, 160))
    assert (half >= 0).sum() >= bitmap().sum() / 4


@pytest.mark.parametrize("corner", [[-4, -3], [314, 210]])
def test_a_mask_is_cut_at_the_edge_of_the_image(path, corner):
    x, y = corner
    points = [corner, [x + 8, y + 6]]
    shape = entry(shape_type="mask", points=points, mask=write_bitmap(bitmap()))
    whole = np.full((SIZE[0] + 20, SIZE[1] + 20), -1)
    whole[y + 10 : y + 17, x + 10 : x + 19][bitmap()] = 1
    assert np.array_equal(drawn(path, shape), whole[10:-10, 10:-10])
    assert labelme_problems(path, CLASSES, SIZE) == []
    assert "1 shape reaches beyond" in labelme_warnings(path, CLASSES, SIZE)[0]


@pytest.mark.parametrize("shape_type", ["rotation", "oriented_rectangle", "rectangle"])
def test_a_turned_rectangle_is_a_polygon(path, shape_type):
    points = [[50, 40], [70, 60], [60, 70], [40, 50]]
    found = drawn(path, entry(shape_type=shape_type, points=points))
    assert np.array_equal(found, drawn(path, entry(shape_type="polygon", points=points)))
    assert (found == 1).sum() > 300


def test_an_upright_rectangle_of_four_points_is_a_box(path):
    points = [[50, 40], [70, 40], [70, 60], [50, 60]]
    hints, _ = read_labelme(save(path, entry(shape_type="rectangle", points=points)), CLASSES)
    assert (hints.shapes[0].kind, len(hints.shapes[0].points)) == ("box", 2)


def test_several_clicks_are_points_and_those_that_mean_not_this_are_left_out(path):
    points = [[10, 10], [20, 20], [30, 30]]
    save(path, entry(shape_type="points", points=points, point_labels=[1, 0, 1]))
    shapes = read_labelme(path, CLASSES)[0].shapes
    assert [(s.kind, s.points) for s in shapes] == [
        ("point", ((9.5, 9.5),)),
        ("point", ((29.5, 29.5),)),
    ]


def test_foreign_figures_are_written_as_they_were_read(path):
    mask = write_bitmap(bitmap())
    shapes = [
        entry(shape_type="circle", points=[[50, 50], [60, 50]], group_id=7),
        entry(shape_type="mask", points=[[20, 30], [28, 36]], mask=mask),
        entry(shape_type="rotation", points=[[50, 40], [70, 60], [60, 70], [40, 50]]),
    ]
    hints, _ = read_labelme(save(path, *shapes), CLASSES)
    write_labelme(path, hints, CLASSES, image_path="x.jpg", size=SIZE)
    for before, after in zip(shapes, json.loads(path.read_text())["shapes"], strict=True):
        assert before.items() <= after.items()


# ---- what is told without being wrong


def test_shapes_that_stick_out_are_counted(path):
    inside = entry()
    out = entry(shape_type="polygon", points=[[310, 200], [325, 200], [325, 220]])
    save(path, inside, out, entry(shape_type="rectangle", points=[[-3, -3], [50, 50]]))
    assert labelme_problems(path, CLASSES, SIZE) == []
    assert labelme_warnings(path, CLASSES, SIZE) == [
        f"{path}: 2 shapes reach beyond the image; what lies outside is cut off"
    ]
    assert labelme_warnings(save(path, inside), CLASSES, SIZE) == []


def test_a_flag_of_another_purpose_says_nothing_and_is_told(path):
    save(path, entry(), flags={"blurry": True, "night": False, "grass": True})
    assert read_labelme(path, CLASSES)[0].flags == {2}
    assert labelme_problems(path, CLASSES, SIZE) == []
    assert labelme_warnings(path, CLASSES, SIZE) == [
        f"{path}: flags: 'blurry' ticked, but no class; such a flag says nothing (a tag is a flag "
        "with the name of a class)"
    ]


@pytest.mark.parametrize("name", ["Cow", "GRASS", "gras"])
def test_a_flag_that_is_nearly_a_class_is_a_mistake(path, name):
    assert "did you mean" in first_problem(save(path, flags={name: True}))


def test_another_size_says_what_the_image_was_taken_for(path):
    save(path, entry(), imageHeight=240, imageWidth=320)
    told = labelme_problems(path, CLASSES, (320, 5), image="cow.tif")
    assert "drawn on 240 x 320 pixels, cow.tif was read as 320 x 5; put back" in told[0]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_the_text_of_a_file_is_that_of_json_with_an_indent_of_2(value):
    assert labelme._text(value) == json.dumps(value, ensure_ascii=False, indent=2)
