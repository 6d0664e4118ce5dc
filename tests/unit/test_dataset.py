"""A data set folder opens, or says in one or two lines what is wrong with it."""

import json
import shutil

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from hintseg.data.dataset import (
    DatasetFile,
    dump_settings,
    open_dataset,
    read_split,
)
from hintseg.errors import DataError
from hintseg.images.label_maps import NO_CLASS, write_label_map
from hintseg.structures import UNLABELLED, VOID

NAMES = ("field", "herd", "hill", "meadow", "pond", "ridge", "shed", "valley")


def describe(root, **changes):
    """Change keys of dataset.yaml; None removes one."""
    path = root / "dataset.yaml"
    content = {**yaml.safe_load(path.read_text()), **changes}
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return root


# A sound data set


def test_a_data_set_opens_with_its_classes_images_and_splits(dataset, data_folder):
    assert dataset.classes.names == ("grass", "cow", "sky")
    assert dataset.classes.background is None
    assert tuple(dataset.images) == NAMES
    assert dataset.images["herd"] == data_folder / "images" / "herd.png"
    assert dataset.names("val") == ("pond", "ridge")
    assert dataset.has_split("test")
    assert not dataset.has_split("dev")


def test_images_hints_and_masks_are_read(dataset):
    assert dataset.image("field").shape == (40, 56, 3)
    assert dataset.size("field") == (40, 56)
    hints = dataset.hints("field")
    assert {shape.kind for shape in hints.shapes} == {"scribble", "point", "box", "polygon"}
    assert hints.tags == {0, 1, 2}
    truth = dataset.truth("field")
    assert set(np.unique(truth)) == {0, 1, 2, VOID}
    assert np.array_equal(dataset.checked_truth("field"), truth)


def test_an_image_without_hints_has_empty_hints(dataset):
    assert not dataset.has_hints("pond")
    assert not dataset.hints("pond")


def test_a_partial_label_map_joins_the_drawn_hints(dataset, data_folder):
    partial = np.full((40, 56), VOID)
    partial[3, 5] = 1
    write_label_map(data_folder / "hints" / "pond.png", partial, classes=3)
    write_label_map(data_folder / "hints" / "field.png", partial, classes=3)
    assert dataset.has_hints("pond")
    assert dataset.hints("pond").tags == {1}
    both = dataset.hints("field")
    assert len(both.shapes) == 4
    assert both.partial[3, 5] == 1
    assert (np.delete(both.partial.ravel(), 3 * 56 + 5) == UNLABELLED).all()


def test_without_splits_train_is_every_image_with_hints(data_folder):
    dataset = open_dataset(describe(data_folder, splits=None))
    assert dataset.names("train") == ("field", "herd", "hill", "meadow")
    with pytest.raises(DataError, match=r"no split 'val' \(splits: none\); add it under splits:"):
        dataset.names("val")


def test_the_background_is_found_by_its_name(data_folder):
    assert open_dataset(describe(data_folder, background="sky")).classes.background == 2


def test_another_folder_may_hold_the_images(data_folder):
    (data_folder / "images").rename(data_folder.parent / "photos")
    dataset = open_dataset(describe(data_folder, images="../photos"))
    assert dataset.image("hill").shape == (40, 56, 3)
    absolute = open_dataset(describe(data_folder, images=str(data_folder.parent / "photos")))
    assert tuple(absolute.images) == NAMES


def test_what_is_written_of_a_data_set_is_read_again(tmp_path, data_folder):
    written = DatasetFile(
        classes=["Kuh", "草", "no", "1"],
        background="no",
        images=str(data_folder / "images"),
        splits={"train": "a b.txt"},
        tags_complete=False,
    )
    (tmp_path / "a b.txt").write_text("hill\n")
    dump_settings(tmp_path / "dataset.yaml", written)
    dataset = open_dataset(tmp_path)
    assert dataset.classes.names == ("Kuh", "草", "no", "1")
    assert dataset.classes.background == 2
    assert not dataset.tags_complete
    assert dataset.boxes_complete
    assert dataset.names("train") == ("hill",)


WRITTEN = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=9)


@given(names=st.lists(WRITTEN.filter(str.strip), min_size=1, max_size=4, unique=True))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_classes_of_any_name_come_back(names, data_folder):
    dump_settings(data_folder / "dataset.yaml", DatasetFile(classes=names))
    assert open_dataset(data_folder).classes.names == tuple(names)


# Images and splits


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ()),
        (b"\n \n\t\n", ()),
        (b"a\nb\n", ("a", "b")),
        (b"b\r\na\r\n", ("b", "a")),
        (b"\xef\xbb\xbfa\nb", ("a", "b")),
        (b"  a  \n\nb\na\nb\n", ("a", "b")),
        ("Kühe\n2 Kühe\n".encode(), ("Kühe", "2 Kühe")),
    ],
)
def test_a_split_is_one_stem_a_line_in_its_order(tmp_path, content, expected):
    (tmp_path / "a.txt").write_bytes(content)
    assert read_split(tmp_path / "a.txt", expected) == expected


def test_a_split_that_names_a_missing_image_says_which(dataset, data_folder):
    (data_folder / "splits" / "val.txt").write_text("pond\nlake\n")
    again = open_dataset(data_folder)
    with pytest.raises(DataError, match=r"no image 'lake' named by split 'val'; add the file or"):
        again.names("val")
    assert again.names("train") == dataset.names("train")


@pytest.mark.parametrize("line", ["pond.png", "images/pond.jpg", r"C:\data\pond.PNG", "./pond"])
def test_a_split_may_name_files_and_paths(data_folder, line):
    (data_folder / "splits" / "val.txt").write_text(f"{line}\n")
    assert open_dataset(data_folder).names("val") == ("pond",)


def test_an_unknown_split_is_answered_with_the_known_ones(dataset):
    with pytest.raises(DataError, match=r"no split 'dev' \(splits: train, val, test\)"):
        dataset.names("dev")


def test_an_unknown_image_is_an_error(dataset):
    with pytest.raises(DataError, match="data: no image 'lake'; add the file or remove the name"):
        dataset.image("lake")


# What does not fit together


@pytest.mark.parametrize("kind", ["hints", "masks"])
def test_a_label_map_of_another_size_is_an_error(dataset, data_folder, kind):
    write_label_map(data_folder / kind / "hill.png", np.zeros((56, 40), np.int16), classes=3)
    read = dataset.hints if kind == "hints" else dataset.truth
    with pytest.raises(DataError, match=rf"{kind}/hill\.png: 40 x 56 pixels, its image hill\."):
        read("hill")


def test_hints_drawn_on_another_size_are_an_error(dataset, data_folder):
    path = data_folder / "hints" / "hill.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "imageHeight": 80, "imageWidth": 112}))
    told = r"hill\.json: .* 80 x 112 pixels, hill\.png was read as 40 x 56"
    with pytest.raises(DataError, match=told):
        dataset.hints("hill")


def test_a_mask_of_the_photograph_before_it_is_turned_gets_the_right_remedy(data_folder):
    exif = PillowImage.Exif()
    exif[274] = 6
    image = np.zeros((40, 56, 3), np.uint8)
    (data_folder / "images/hill.png").unlink()
    PillowImage.fromarray(image).save(data_folder / "images" / "hill.jpg", exif=exif)
    write_label_map(data_folder / "masks/hill.png", np.zeros((40, 56), np.int16), classes=3)
    remedy = r"56 x 40 .* hill\.jpg was read as 40 x 56, .* 6 says; turn it by 90 degrees clockwise"
    with pytest.raises(DataError, match=remedy):
        open_dataset(data_folder).truth("hill")


def test_a_mask_with_an_unknown_class_is_an_error(dataset, data_folder):
    PillowImage.fromarray(np.full((40, 56), 3, np.uint8)).save(data_folder / "masks" / "hill.png")
    with pytest.raises(DataError, match=r"masks/hill\.png: class index 3 does not exist"):
        dataset.truth("hill")


def test_a_missing_mask_is_none_or_an_error_where_it_is_needed(dataset, data_folder):
    (data_folder / "masks" / "hill.png").unlink()
    assert not dataset.has_mask("hill")
    assert dataset.truth("hill") is None
    with pytest.raises(DataError, match=r"hill\.png: no such mask; image 'hill' needs one"):
        dataset.checked_truth("hill")


def test_labels_belong_to_the_upright_image(data_folder):
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    lying = PillowImage.fromarray(np.zeros((56, 40, 3), np.uint8))
    lying.save(data_folder / "images" / "hill.png", exif=exif)
    assert open_dataset(data_folder).checked_truth("hill").shape == (40, 56)


# Damage to the description


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping with the key classes:, got None"),
        ("- cow\n- sky\n", "must be a mapping"),
        ("classes: [cow", "not a YAML file"),
        ("classes: !!bool maybe", "not a YAML file"),
        ("classes: !!int ''", "not a YAML file"),
        ("classes: !!timestamp now", "not a YAML file"),
        ("classes: 2024-99-99", "not a YAML file"),
        ("[" * 1500, "not a YAML file"),
        ("background: cow\n", r"classes: is missing; list them, such as classes: \[cow, grass\]"),
        ("clases: [cow]\n", "no key named 'clases'; did you mean 'classes'"),
        ("classes: [cow]\nimagse: x\n", "no key named 'imagse'; did you mean 'images'"),
        ("classes: []\n", "at least one class is needed"),
        ("classes: [cow, sky, cow]\n", "'cow' is listed twice"),
        ("classes: ['', cow]\n", "a name is blank"),
        ("classes: [1, 2]\n", r"classes\.0: must be text, got 1; put it in quotes"),
        ("classes: [cow, yes]\n", r"classes\.1: must be text, got True; put it in quotes .*yes"),
        ("classes: [cow, 2024-01-01]\n", r"classes\.1: must be text, got datetime"),
        ("classes: [cow, null]\n", r"classes\.1: must be text, got None; put it in quotes"),
        ("classes: [[cow]]\n", r"classes\.0: .*got \['cow'\]"),
        ("classes: cow\n", "classes: .*list, got 'cow'"),
        ("classes: {cow: 1}\n", "classes: .*list, got"),
        (
            "classes: [cow]\nbackground: cwo\n",
            "background: no class named 'cwo'; did you mean 'cow'",
        ),
        ("classes: [cow]\nbackground: no\n", "background: must be text, got False; put it in"),
        ("classes: [cow]\nbackground: 0\n", "background: must be text, got 0"),
        ("classes: [cow]\ntags_complete: maybe\n", "tags_complete: .*boolean, got 'maybe'"),
        ("classes: [cow]\nsplits: [train]\n", "splits: .*dictionary"),
        ("classes: [cow]\nsplits: {1: a.txt}\n", "splits.*must be text, got 1"),
        ("classes: [cow]\nimages: nowhere\n", "nowhere: no such folder; put the images there"),
        ("classes: [cow]\nimages: dataset.yaml\n", "dataset.yaml: no such folder"),
        ("classes: [cow]\nimages: masks\nhints: 3\n", "hints: must be text, got 3"),
        ('classes: [cow]\nimages: "a\\0b"\n', "cannot be read|no such folder"),
        (f"classes: [cow]\nimages: {'x' * 300}\n", "x: cannot be read .File name too long"),
        ('classes: [cow]\nsplits: {train: "a\\0b"}\n', "split file cannot be read"),
        ("classes: [cow]\nsplits: {train: none.txt}\n", "none.txt: split file cannot be read"),
        ("classes: [cow]\nsplits: {train: splits}\n", "splits: split file cannot be read"),
    ],
)
def test_damage_is_told_with_its_place(data_folder, text, message):
    (data_folder / "dataset.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(data_folder)
    assert str(data_folder) in str(caught.value)
    assert len(str(caught.value)) - len(str(data_folder)) < 500


def test_bytes_that_are_no_text_are_an_error(data_folder):
    (data_folder / "dataset.yaml").write_bytes(b"classes: [K\xfche]")
    with pytest.raises(DataError, match=r"dataset\.yaml: not a YAML file \(not UTF-8 text"):
        open_dataset(data_folder)
    (data_folder / "splits" / "val.txt").write_bytes(b"K\xfche\n")
    with pytest.raises(DataError, match=r"val\.txt: split file cannot be read"):
        read_split(data_folder / "splits" / "val.txt", ())


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("file", ["dataset.yaml", "splits/val.txt", "hints/hill.json"])
def test_utf_16_is_answered_with_the_remedy(data_folder, file, coding):
    path = data_folder / file
    path.write_text(path.read_text(), encoding=coding)
    with pytest.raises(DataError, match=f"{file}: .*UTF-16.*; save it as UTF-8"):
        open_dataset(data_folder).hints("hill")


def test_a_byte_order_mark_does_not_matter(data_folder):
    for file in ("dataset.yaml", "splits/val.txt", "hints/hill.json"):
        path = data_folder / file
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    dataset = open_dataset(data_folder)
    assert dataset.classes.names == ("grass", "cow", "sky")
    assert dataset.names("val") == ("pond", "ridge")
    assert len(dataset.hints("hill").shapes) == 4


def test_a_missing_folder_or_description_is_an_error(tmp_path, data_folder):
    with pytest.raises(DataError, match=r"nowhere: no such folder; a data set is a folder with"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"dataset\.yaml: no such folder"):
        open_dataset(data_folder / "dataset.yaml")
    (data_folder / "dataset.yaml").unlink()
    with pytest.raises(DataError, match=r"dataset\.yaml: no such file; write one that lists class"):
        open_dataset(str(data_folder))


@pytest.mark.parametrize("left", [[], ["notes.txt"], [".a.jpg"], ["Thumbs.db"]])
def test_a_folder_without_images_is_an_error(data_folder, left):
    shutil.rmtree(data_folder / "images")
    (data_folder / "images").mkdir()
    for name in left:
        (data_folder / "images" / name).touch()
    with pytest.raises(DataError, match=r"images: no image \(\.jpg, .*\); put the images there"):
        open_dataset(data_folder)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.dates()
    | st.sampled_from(["grass", "cow", "images", "splits/train.txt", "."])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(changes=st.dictionaries(st.sampled_from([*DatasetFile.model_fields, "x"]), VALUES))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_description_opens_or_is_a_data_error(changes, data_folder):
    content = {"classes": ["grass", "cow"], **changes}
    (data_folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    problem = problem_of(data_folder)
    assert problem is None or str(data_folder) in problem


@given(text=st.text(alphabet="abc:[]{}-&*!|>'\"%@#?, \n\t0123.", max_size=40))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_data_error_or_opens(text, data_folder):
    (data_folder / "dataset.yaml").write_text("classes: " + text)
    problem = problem_of(data_folder)
    assert problem is None or str(data_folder) in problem


def problem_of(folder):
    try:
        open_dataset(folder)
    except DataError as error:
        return str(error)
    return None


# The digest


def digest_after(root, change):
    change(root)
    return open_dataset(root).digest


CHANGES = {
    "a class renamed": lambda root: describe(root, classes=["grass", "ox", "sky"]),
    "a background": lambda root: describe(root, background="sky"),
    "silence means less": lambda root: describe(root, tags_complete=False),
    "a name less in a split": lambda root: (root / "splits" / "train.txt").write_text("hill\n"),
    "a hint file less": lambda root: (root / "hints" / "hill.json").unlink(),
    "a mask less": lambda root: (root / "masks" / "hill.png").unlink(),
    "a mask taken for hints": lambda root: (root / "masks" / "hill.png").rename(
        root / "hints" / "hill.png"
    ),
    "a stroke moved": lambda root: (root / "hints" / "hill.json").write_text(
        (root / "hints" / "hill.json").read_text().replace("48", "47")
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_digest_changes_with_what_training_sees(dataset, change):
    before = dataset.digest
    assert digest_after(dataset.root, change) != before


def test_the_digest_does_not_depend_on_where_the_data_set_lies(dataset):
    before = dataset.digest
    elsewhere = dataset.root.rename(dataset.root.parent / "moved")
    describe(elsewhere)
    assert open_dataset(elsewhere).digest == before


# The coding of label maps


@pytest.fixture
def coded(data_folder):
    """The data set with masks in colours, void in white."""
    white = (255, 255, 255)
    colours = np.array([(9, 0, 0), (0, 128, 0), (0, 0, 200), white, white], dtype=np.uint8)
    dataset = open_dataset(data_folder)
    for name in dataset.images:
        truth = dataset.truth(name)
        PillowImage.fromarray(colours[truth]).save(dataset.mask_path(name))
    return data_folder


COLOURS = {"grass": [9, 0, 0], "cow": [[0, 128, 0], [1, 1, 1]], "sky": [0, 0, 200]}


def test_coded_masks_and_hints_are_read_as_if_they_were_indices(data_folder, dataset, request):
    plain = dataset.truth("field")
    request.getfixturevalue("coded")
    values = {0: "void", 200: "cow"}
    hints = np.where(plain == 1, 200, 0).astype(np.uint8)
    PillowImage.fromarray(hints).save(data_folder / "hints/field.png")
    colours = {**COLOURS, "void": [255, 255, 255]}
    found = open_dataset(describe(data_folder, colors=colours, values=values))
    assert np.array_equal(found.truth("field"), plain)
    assert np.array_equal(found.hints("field").partial, np.where(plain == 1, 1, UNLABELLED))
    assert found.digest != dataset.digest


def test_a_colour_that_is_not_listed_is_an_error(coded):
    found = open_dataset(describe(coded, colors=COLOURS))
    with pytest.raises(DataError, match=r"field\.png: colour \[255, 255, 255\] \(80 pix"):
        found.truth("field")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"colors": {"cov": [0, 0, 0]}}, r"colors: no class named 'cov'; did you mean 'cow'"),
        ({"values": {0: "Sky"}}, r"values: no class named 'Sky'; did you mean 'sky'"),
        ({"values": {0: "unknown"}}, r"values: no class .* choose from cow, grass, sky, void"),
        ({"values": {0: 3}}, r"values: 3 is no class name"),
        ({"values": {"white": "cow"}}, r"values: 'white' is no value of a pixel; give whole"),
        ({"values": {-1: "cow"}}, r"values: -1 is no value of a pixel; .* from 0 to 65535"),
        ({"values": {True: "cow"}}, r"values: True is no value of a pixel"),
        ({"values": ["cow"]}, r"values: Input should be a valid dictionary, got \['cow'\]"),
        ({"colors": {"cow": [0, 0, 256]}}, r"colors: cow: \[0, 0, 256\] is no colour; give \[red"),
        ({"colors": {"cow": "#008000"}}, r"colors: cow: '#008000' is no colour"),
        ({"colors": {"cow": []}}, r"colors: cow: \[\] is no colour"),
        ({"colors": {"cow": [[1, 2, 3], [1, 2]]}}, r"colors: cow: \[1, 2\] is no colour"),
        (
            {"colors": {"cow": [1, 1, 1], "sky": [[2, 2, 2], [1, 1, 1]]}},
            r"colors: \[1, 1, 1\] is given to 'cow' and to 'sky'; a colour can mean one",
        ),
        ({"colours": {"cow": [1, 1, 1]}}, r"no key named 'colours'; did you mean 'colors'"),
    ],
)
def test_a_coding_that_cannot_be_names_the_key_and_the_value(data_folder, keys, said):
    with pytest.raises(DataError, match=rf"dataset\.yaml: {said}"):
        open_dataset(describe(data_folder, **keys))


def test_a_class_called_void_is_a_class(data_folder):
    found = open_dataset(describe(data_folder, classes=["grass", "void"], values={5: "void"}))
    assert found.coding.values == {5: 1}


def test_no_class_may_be_written_as_null(data_folder):
    assert open_dataset(describe(data_folder, values={5: None})).coding.values == {5: NO_CLASS}
