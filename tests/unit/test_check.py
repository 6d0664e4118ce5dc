"""`check` lists every problem of a data set at once and never raises."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from hintseg.data.check.checking import CheckResult, check

HEIGHT, WIDTH = 20, 30


def write_image(path, *, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    PillowImage.fromarray(pixels).save(path)


def write_labels(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(np.asarray(labels, dtype=np.uint8)).save(path)


def shape(label="cow", kind="point", points=((5, 5),)):
    return {"label": label, "shape_type": kind, "points": [list(point) for point in points]}


def write_hints(path, *shapes, flags=None, **keys):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"flags": flags or {}, "shapes": list(shapes), "imageHeight": HEIGHT}
    path.write_text(json.dumps(content | {"imageWidth": WIDTH} | keys))


@pytest.fixture
def root(tmp_path):
    """A sound data set: two train images with hints of both classes, one val image with a mask."""
    root = tmp_path / "farm"
    for name in ("a", "b", "c"):
        write_image(root / "images" / f"{name}.png")
    write_hints(root / "hints/a.json", shape("cow"), shape("grass", "linestrip", [(1, 1), (9, 1)]))
    write_hints(root / "hints/b.json", flags={"cow": True, "grass": True})
    write_labels(root / "masks/c.png", np.zeros((HEIGHT, WIDTH)))
    (root / "splits").mkdir()
    (root / "splits/train.txt").write_text("a\nb\n")
    (root / "splits/val.txt").write_text("c\n")
    (root / "dataset.yaml").write_text(
        "classes: [cow, grass]\nsplits: {train: splits/train.txt, val: splits/val.txt}\n"
    )
    return root


def only(result: CheckResult, severity="error") -> str:
    found = [str(problem) for problem in result.problems if problem.severity == severity]
    assert len(found) == 1, found
    return found[0]


def has(result: CheckResult, *parts: str, severity="error") -> bool:
    return any(
        all(part in str(problem) for part in parts)
        for problem in result.problems
        if problem.severity == severity
    )


def test_a_sound_data_set_has_no_problem(root):
    result = check(root)
    assert result.problems == ()
    assert (len(result.images), result.hinted, result.masked, result.unhinted_train) == (3, 2, 1, 0)


def test_hints_are_counted_by_kind_and_class(root):
    write_hints(
        root / "hints/a.json",
        shape("cow"),
        shape("cow"),
        shape("grass", "rectangle", [(1, 1), (9, 9)]),
        shape("grass", "polygon", [(1, 1), (9, 1), (9, 9)]),
    )
    painted = np.full((HEIGHT, WIDTH), 255)
    painted[15:, 20:] = 1
    write_labels(root / "hints/b.png", painted)
    assert check(root).counts == {
        "tag": (1, 1),
        "point": (2, 0),
        "scribble": (0, 0),
        "box": (0, 1),
        "polygon": (0, 1),
        "mask": (0, 1),
    }


def test_the_labelled_share_is_the_mean_over_hinted_images(root):
    (root / "hints/a.json").unlink()
    painted = np.full((HEIGHT, WIDTH), 255)
    painted[: HEIGHT // 2] = 0
    write_labels(root / "hints/a.png", painted)
    assert check(root).labelled == pytest.approx((0.5 + 0.0) / 2)


def test_splits_are_counted(root):
    facts = check(root).splits
    assert (facts["train"].images, facts["train"].hinted, facts["train"].masked) == (2, 2, 0)
    assert (facts["val"].images, facts["val"].hinted, facts["val"].masked) == (1, 0, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("classes: [", "not a YAML file"),
        ("klasses: [cow]", "klasses"),
        ("classes: []", "at least one class"),
        ("classes: [cow, cow]", "listed twice"),
        ("classes: [cow]\nbackground: sky", "'sky'"),
    ],
)
def test_a_bad_dataset_file_is_the_only_problem(root, content, said):
    (root / "dataset.yaml").unlink()
    if content is not None:
        (root / "dataset.yaml").write_text(content)
    result = check(root)
    assert said in only(result)
    assert (result.dataset, result.images) == (None, ())


def test_a_missing_folder_is_named(tmp_path):
    assert "no such folder" in only(check(tmp_path / "nowhere"))


def test_a_data_set_without_image_folder_says_so(root):
    (root / "images").rename(root / "photos")
    assert has(check(root), "images", "no such folder")


def test_a_split_file_that_is_missing_hides_no_other_problem(root):
    (root / "splits/val.txt").unlink()
    write_hints(root / "hints/a.json", shape("cwo"))
    result = check(root)
    assert has(result, "val.txt", "split file cannot be read")
    assert has(result, "a.json", "did you mean 'cow'?")


def test_all_problems_are_found_in_one_go(root):
    write_hints(
        root / "hints/a.json",
        shape("cwo"),
        shape("cow", "linestrip", [(1, 1)]),
        shape("cow", "rectangle", [(1, 1), (1, 9)]),
        shape("cow", "point", [(500, 5)]),
        shape("cow", "point", [(float("nan"), 5)]),
        flags={"gras": True},
    )
    write_hints(root / "hints/ghost.json", shape("cow"))
    write_labels(root / "masks/a.png", np.full((HEIGHT, WIDTH), 7))
    write_labels(root / "masks/b.png", np.zeros((HEIGHT, HEIGHT)))
    write_labels(root / "masks/ghost.png", np.zeros((HEIGHT, WIDTH)))
    (root / "splits/train.txt").write_text("a\nb\nb\nnowhere\na.png\n")
    result = check(root)
    for parts in (
        ("hints/a.json", "shapes[0]", "did you mean 'cow'?"),
        ("hints/a.json", "shapes[1]", "a scribble needs 2 points or more"),
        ("hints/a.json", "shapes[2]", "an empty box"),
        ("hints/a.json", "shapes[3]", "outside the image"),
        ("hints/a.json", "shapes[4]", "finite"),
        ("hints/a.json", "flags", "did you mean 'grass'?"),
        ("hints/ghost.json", "no image 'ghost'"),
        ("masks/ghost.png", "no image 'ghost'"),
        ("masks/a.png", "class index 7 does not exist"),
        ("masks/b.png", "20 x 20", "30 x 20"),
        ("train.txt", "'b' 2 times"),
        ("train.txt", "'nowhere'"),
        ("train.txt", "'a' 2 times (as a.png)"),
    ):
        assert has(result, *parts), parts
    assert len(result.errors) == 13
    assert [p.severity for p in result.problems] == sorted(p.severity for p in result.problems)


def test_every_problem_names_a_file_and_has_one_line(root):
    write_hints(root / "hints/a.json", shape("cwo"), shape(points=[]), imageWidth=2)
    (root / "images/b.png").write_bytes(b"")
    for problem in check(root).problems:
        assert problem.file.startswith(str(root))
        assert "\n" not in str(problem)
        assert not problem.text.startswith(problem.file)


def test_a_truncated_image_is_found_by_decoding_it(root):
    whole = (root / "images/a.png").read_bytes()
    (root / "images/a.png").write_bytes(whole[: len(whole) // 2])
    assert "images/a.png: damaged image" in only(check(root))


@pytest.mark.parametrize("place", ["images/a.png", "hints/a.png", "hints/a.json", "masks/a.png"])
@pytest.mark.parametrize("what", ["empty", "noise", "folder", "text", "link to nowhere"])
def test_a_weird_file_is_a_problem_and_nothing_more(root, place, what):
    path = root / place
    path.unlink(missing_ok=True)
    match what:
        case "empty":
            path.touch()
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(5000))
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("[" * 100_000)
        case "link to nowhere":
            path.symlink_to(root / "nowhere")
    result = check(root)
    if what == "link to nowhere" and not place.startswith("images"):
        return  # as good as absent
    assert has(result, place)
    assert len(result.images) == 3


def test_a_huge_number_in_a_hint_file_is_a_problem(root):
    (root / "hints/a.json").write_text('{"shapes": [' + "9" * 5000 + "]}")
    assert "a.json" in only(check(root))


def test_an_image_that_cannot_be_read_leaves_its_hints_checked(root):
    (root / "images/a.png").write_bytes(b"no image")
    write_hints(root / "hints/a.json", shape("cwo"))
    result = check(root)
    assert has(result, "images/a.png", "not an image")
    assert has(result, "hints/a.json", "'cow'")


def test_the_upright_size_counts(root):
    image = PillowImage.new("RGB", (HEIGHT, WIDTH))
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # turned by a quarter: shown, it is as wide as it is high on disk
    image.save(root / "images/a.jpg", exif=exif)
    (root / "images/a.png").unlink()
    write_labels(root / "masks/a.png", np.zeros((HEIGHT, WIDTH)))
    assert check(root).problems == ()


def test_an_image_in_train_and_val_is_an_error(root):
    (root / "splits/val.txt").write_text("c\na\n")
    assert "val.txt: 1 image is also in split 'train': a" in only(check(root))


def test_an_image_in_val_and_test_is_a_warning(root):
    (root / "splits/test.txt").write_text("c\n")
    text = (root / "dataset.yaml").read_text().replace("}", ", test: splits/test.txt}")
    (root / "dataset.yaml").write_text(text)
    assert "test.txt: 1 image is also in split 'val'" in only(check(root), "warning")


def test_an_empty_split_is_an_error(root):
    (root / "splits/val.txt").write_text("\n\n")
    assert "names no image" in only(check(root))


def test_splits_without_train_are_an_error(root):
    (root / "dataset.yaml").write_text("classes: [cow, grass]\nsplits: {val: splits/val.txt}\n")
    assert has(check(root), "names no split 'train'")


def test_hints_outside_the_train_split_are_warned_about(root):
    write_hints(root / "hints/c.json", shape("cow"))
    assert "c.json: its image is in split 'val'" in only(check(root), "warning")
    (root / "splits/val.txt").write_text("a")
    assert has(check(root), "c.json: its image is in no split", severity="warning")


def test_a_val_image_without_mask_is_warned_about(root):
    (root / "masks/c.png").unlink()
    assert "1 of 1 images of split 'val' have no mask" in only(check(root), "warning")


def test_two_images_of_one_name_are_an_error_that_says_which_is_used(root):
    write_image(root / "images/a.jpg")
    assert "a.png: same name but for the ending; a.jpg is used" in only(check(root))


def test_neither_hints_nor_masks_is_an_error(root):
    for path in (*(root / "hints").iterdir(), *(root / "masks").iterdir()):
        path.unlink()
    assert has(check(root), "dataset.yaml", "neither usable hints")


def test_masks_without_hints_are_fine(root):
    for path in (root / "hints").iterdir():
        path.unlink()
    for name in "ab":
        write_labels(root / f"masks/{name}.png", np.eye(HEIGHT, WIDTH))
    assert check(root).problems == ()
    assert np.isnan(check(root).labelled)


def test_contested_pixels_are_warned_about_with_their_number(root):
    square = [(0, 0), (10, 0), (10, 10), (0, 10)]
    write_hints(root / "hints/a.json", *(shape(n, "polygon", square) for n in ("cow", "grass")))
    assert "100 pixels (16.67%) are claimed by two classes" in only(check(root), "warning")


def test_classes_without_any_hint_are_warned_about_together(root):
    names = ", ".join(f"extra{index}" for index in range(12))
    text = (root / "dataset.yaml").read_text().replace("grass]", f"grass, {names}]")
    (root / "dataset.yaml").write_text(text)
    found = only(check(root), "warning")
    assert "'extra0', 'extra1'" in found
    assert "and 2 more" in found


@pytest.mark.parametrize(("kind", "warned"), [("point", True), ("rectangle", False)])
def test_a_background_needs_no_hint_where_boxes_leave_it_out(root, kind, warned):
    points = [(5, 5)] if kind == "point" else [(1, 1), (9, 9)]
    write_hints(root / "hints/a.json", shape("cow", kind, points))
    (root / "hints/b.json").unlink()
    text = (root / "dataset.yaml").read_text() + "background: grass\n"
    (root / "dataset.yaml").write_text(text)
    assert has(check(root), "no hint in the train split for 'grass'", severity="warning") == warned


def test_train_images_without_hints_are_counted(root):
    (root / "hints/b.json").unlink()
    result = check(root)
    assert result.unhinted_train == 1
    assert not result.errors


def test_files_that_nothing_reads_are_warned_about(root):
    write_image(root / "masks/c.jpg")
    (root / "hints/.hidden").touch()
    assert "c.jpg: not used; a mask file is called NAME.png" in only(check(root), "warning")


def test_what_is_passed_over_is_named_and_why(root):
    write_image(root / "images/shed.tga")
    for name in ("d.psd", "e.psd", "Thumbs.db", "notes.txt"):
        (root / "images" / name).touch()
    assert "images: 2 files (d.psd, e.psd) not used: .psd is no format" in only(
        check(root), "warning"
    )
    write_hints(root / "hints/d.json", shape("cow"))
    assert "its image" in only(check(root))
    assert "d.psd is not used: .psd is no format that is read" in only(check(root))


def test_sub_folders_are_part_of_the_data_set(root):
    for kind in ("images", "hints"):
        (root / kind / "in").mkdir()
    (root / "images/a.png").rename(root / "images/in/a.png")
    (root / "hints/a.json").rename(root / "hints/in/a.json")
    assert has(check(root), "train.txt", "'a' (did you mean 'in/a'?)")
    (root / "splits/train.txt").write_text("in/a\nb\n")
    assert check(root).problems == ()
    (root / "hints/in/a.json").rename(root / "hints/a.json")
    assert has(check(root), "hints/a.json: there is no image 'a'", "did you mean 'in/a'?")


@pytest.mark.parametrize("ending", [".JSON", ".Json"])
def test_hints_and_masks_count_whatever_the_case_of_their_ending(root, ending):
    (root / "hints/a.json").rename(root / f"hints/a{ending}")
    (root / "masks/c.png").rename(root / "masks/c.PNG")
    result = check(root)
    assert (result.problems, result.hinted, result.masked) == ((), 2, 1)
    write_hints(root / "hints/a.json", flags={"cow": True, "grass": True})
    assert f"hints/a{ending}: not used, {root}/hints/a.json is; keep one" in only(
        check(root), "warning"
    )


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_every_text_is_read_by_one_reader(root, coding):
    for name in ("dataset.yaml", "splits/train.txt", "hints/a.json"):
        (root / name).write_text((root / name).read_text(), encoding=coding)
        if coding == "utf-16":
            assert has(check(root), name, "UTF-16 text; save it as UTF-8")
            (root / name).write_text((root / name).read_text(encoding="utf-16"))
        else:
            assert check(root).problems == ()


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_either_form_of_unicode_is_the_same_name(root, forms):
    photo, other = (unicodedata.normalize(form, "Kühe") for form in forms)
    (root / "images/a.png").rename(root / f"images/{photo}.png")
    (root / "hints/a.json").rename(root / f"hints/{other}.json")
    write_labels(root / f"masks/{other}.png", np.zeros((HEIGHT, WIDTH)))
    (root / "splits/train.txt").write_text(f"{other}.png\nb\n")
    result = check(root)
    assert (result.problems, result.hinted, result.masked) == ((), 2, 2)


# Hints beside the photographs


def beside(root):
    """LabelMe's own layout; the photographs are grey PNGs."""
    for name in "ab":
        (root / f"hints/{name}.json").rename(root / f"images/{name}.json")
        with PillowImage.open(root / f"images/{name}.png") as image:
            image.convert("L").save(root / f"images/{name}.png")


def test_json_beside_the_photographs_needs_no_key(root):
    before = check(root).counts
    beside(root)
    result = check(root)
    assert (result.problems, result.hinted, result.counts) == ((), 2, before)


@pytest.mark.parametrize("key", ["hints: images", "hints: ./images"])
def test_a_photograph_is_never_taken_for_a_label_map(root, key):
    before = check(root).counts
    beside(root)
    text = (root / "dataset.yaml").read_text()
    (root / "dataset.yaml").write_text(f"{text}{key}\n")
    assert (check(root).problems, check(root).counts) == ((), before)
    (root / "dataset.yaml").write_text(f"{text}{key}\nmasks: images\n")
    assert check(root).masked == 0


def test_masks_may_lie_beside_photographs_of_another_ending(root):
    with PillowImage.open(root / "images/c.png") as image:
        image.save(root / "images/c.jpg")
    (root / "masks/c.png").replace(root / "images/c.png")
    (root / "dataset.yaml").write_text((root / "dataset.yaml").read_text() + "masks: images\n")
    result = check(root)
    assert (result.problems, result.masked) == ((), 1)


def test_of_two_hint_files_the_one_that_is_not_used_is_named(root):
    write_hints(root / "images/a.json", shape("cow"))
    found = only(check(root), "warning")
    assert f"images/a.json: not used, {root}/hints/a.json is; keep one of them" in found


def test_json_beside_the_photographs_that_a_key_rules_out_is_named(root):
    beside(root)
    (root / "dataset.yaml").write_text((root / "dataset.yaml").read_text() + "hints: hints\n")
    assert has(check(root), "2 files (a.json, b.json) beside the photographs", severity="warning")


def test_json_that_belongs_to_no_photograph_is_no_error_beside_them(root):
    (root / "images/coco.json").write_text("{}")
    assert "coco.json: not used" in only(check(root), "warning")


# Which image a hint means


@pytest.mark.parametrize(
    ("named", "other"),
    [
        ("b.png", "b"),
        ("../images/B.JPG", "b"),
        (r"C:\photos\b.png", "b"),
        ("a.png", None),
        (r"..\images\A.jpg", None),
        ("../herd/a.png", None),
        ("elsewhere.png", None),
        ("../images/herd/d.png", "herd/d"),
        ("", None),
        (7, None),
    ],
)
def test_an_image_path_of_another_image_is_warned_about(root, named, other):
    write_image(root / "images/herd/d.png")
    write_hints(root / "hints/a.json", flags={"cow": True, "grass": True}, imagePath=named)
    result = check(root)
    said = f"which is image {other!r}"
    assert has(result, "hints/a.json", said, severity="warning") == bool(other)
    assert len(result.problems) == bool(other)


def test_files_of_one_name_in_several_folders_are_told_apart(root):
    for folder in ("cow", "horse"):
        write_image(root / f"images/{folder}/1.png")
    for named, wrong in (("1.png", False), ("../../images/cow/1.png", True)):
        write_hints(root / "hints/horse/1.json", shape("cow"), imagePath=named)
        assert has(check(root), "which is image 'cow/1'", severity="warning") == wrong


def test_a_hint_file_without_hints_is_warned_about(root):
    write_hints(root / "hints/b.json")
    result = check(root)
    assert has(result, "b.json", "holds no hint", severity="warning")
    assert result.hinted == 1


def test_a_mask_of_void_alone_is_warned_about(root):
    write_labels(root / "masks/c.png", np.full((HEIGHT, WIDTH), 255))
    result = check(root)
    assert has(result, "masks/c.png: no pixel has a class", severity="warning")
    assert has(result, "void covers 100% of their pixels", severity="warning")


def test_a_file_in_place_of_the_hints_folder_is_a_problem(root):
    for path in (root / "hints").iterdir():
        path.unlink()
    (root / "hints").rmdir()
    (root / "hints").touch()
    assert has(check(root), "hints: is a file")


def test_nothing_is_written_into_the_data_set(root):
    def content():
        return {p: p.stat().st_mtime_ns for p in sorted(Path(root).rglob("*"))}

    before = content()
    check(root)
    assert content() == before


# The whole


def mask_all(root, labels, *, keys="", palette=None):
    """The same mask for all images, its upper half of the first label, and keys in dataset.yaml."""
    image = PillowImage.fromarray(np.repeat(np.asarray(labels, np.uint8), HEIGHT // 2, axis=0))
    if palette is not None:
        image.putpalette(palette)
    for name in "abc":
        (root / "masks").mkdir(exist_ok=True)
        image.resize((WIDTH, HEIGHT), PillowImage.Resampling.NEAREST).save(
            root / "masks" / f"{name}.png"
        )
    with (root / "dataset.yaml").open("a") as file:
        file.write(keys)
    return [problem.text for problem in check(root).warnings]


def test_masks_of_0_and_255_are_warned_about_with_the_remedy(root):
    (text,) = mask_all(root, [[0], [255]])
    assert "hold only the values 0 and 255" in text
    assert "none shows 'grass', and void covers 50% of their pixels" in text
    assert "write values: {0: cow, 255: grass} in dataset.yaml" in text


def test_the_remedy_mends_it(root):
    assert mask_all(root, [[0], [255]], keys="values: {0: cow, 255: grass}") == []


def test_a_class_that_no_train_mask_shows_is_warned_about(root):
    assert mask_all(root, [[1], [1]]) == ["no mask of the train split shows 'cow'"]


def test_a_few_masks_need_not_show_all_classes(root):
    mask_all(root, [[1], [1]])
    (root / "masks/a.png").unlink()
    assert check(root).problems == ()


def test_masks_that_are_mostly_void_are_warned_about(root):
    (text,) = mask_all(root, [[0, 1, 255, 255], [255, 255, 255, 255]])
    assert "void covers 75% of their pixels" in text


@pytest.mark.parametrize("labels", [[[0], [1]], [[0, 255], [1, 255]], [[0, 0, 1, 255]] * 2])
def test_usual_masks_are_no_problem(root, labels):
    assert mask_all(root, labels) == []


def test_one_class_alone_is_warned_about(root):
    write_hints(root / "hints/a.json", shape("cow"))
    write_hints(root / "hints/b.json", flags={"cow": True})
    text = (root / "dataset.yaml").read_text().replace("[cow, grass]", "[cow]")
    (root / "dataset.yaml").write_text(text)
    said = "'cow' is the only class", "classes: [cow, rest], background: rest"
    assert has(check(root), *said, severity="warning")


@pytest.mark.parametrize("name", ["unlabelled", "Void", "_ignore_", "no label"])
def test_a_class_of_what_has_no_class_is_warned_about(root, name):
    text = (root / "dataset.yaml").read_text().replace("[cow,", f"['{name}', cow,")
    (root / "dataset.yaml").write_text(text)
    remedy = "values: {0: void, 1: cow, 2: grass} in dataset.yaml"
    assert has(check(root), f"class '{name}' is learned like any other", remedy, severity="warning")
    (root / "dataset.yaml").write_text(f"{text}background: '{name}'\n")
    assert not has(check(root), "like any other", severity="warning")


@pytest.mark.parametrize(
    ("labels", "keys", "warned"),
    [
        (0, "", True),
        (0, "values: {0: cow, 1: grass, 255: void}", False),
        (255, "", False),
        (1, "", False),
        (0, "background: cow", False),
    ],
)
def test_painted_hints_whose_0_may_mean_unlabelled_are_warned_about(root, labels, keys, warned):
    painted = np.full((HEIGHT, WIDTH), labels)
    painted[5:9] = 1
    write_labels(root / "hints/b.png", painted)
    with (root / "dataset.yaml").open("a") as file:
        file.write(keys)
    remedy = "if 0 means unlabelled, write values: {0: void, 1: cow, 2: grass}"
    assert has(check(root), "leave no pixel unlabelled", remedy, severity="warning") == warned


# Palettes

VOC = (0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0)
CAMVID = (128, 128, 128, 128, 0, 0, 192, 192, 128, 128, 64, 128)


@pytest.mark.parametrize(
    ("palette", "warned"),
    [
        (VOC, False),
        ((1, 1, 1, 127, 3, 0, 2, 128, 0), False),  # an editor's VOC
        ((0, 0, 0, 0, 128, 0, 128, 0, 0), True),  # its order of one's own
        ((128, 0, 0, 0, 0, 0, 0, 128, 0), True),
        ((127, 0, 1, 3, 0, 0, 0, 125, 0), True),
        ((0, 0, 0, 1, 1, 1, 2, 2, 2), False),  # grey
        ((0, 0, 0, 127, 127, 127, 255, 255, 255), False),
        ((31, 119, 180, 255, 127, 14, 44, 160, 44), False),  # tab colours
        ((120, 120, 120, 180, 120, 120, 6, 230, 230), False),  # ADE
        (CAMVID, False),
        ((9, 9, 9) * 3, False),
    ],
)
def test_palettes_that_swap_classes_are_warned_about(root, palette, warned):
    text = (root / "dataset.yaml").read_text().replace("[cow, grass]", "[cow, grass, sky, sea]")
    (root / "dataset.yaml").write_text(text)
    texts = mask_all(root, [[0, 1], [2, 255]], palette=bytes(palette))
    found = [text for text in texts if "but its palette gives it the colour" in text]
    assert len(found) == warned
    if warned:
        assert "(3 such files)" in found[0]
        assert "list its colours under colors: in dataset.yaml" in found[0]


def test_a_quantised_colour_mask_is_warned_about_and_its_colours_are_the_remedy(root):
    """The quantiser's order makes classes change places; `colors:` needs no order."""
    labels = np.ones((HEIGHT, WIDTH), int)
    labels[:5, :5] = 0
    pixels = np.array([(0, 0, 0), (128, 0, 0)], dtype=np.uint8)[labels]
    for name in "abc":
        PillowImage.fromarray(pixels).quantize(2).save(root / "masks" / f"{name}.png")
    assert has(check(root), "masks/a.png: its index 0 is 'cow'", "[128, 0, 0]", severity="warning")
    with (root / "dataset.yaml").open("a") as file:
        file.write("colors: {cow: [0, 0, 0], grass: [128, 0, 0]}")
    result = check(root)
    assert result.problems == ()
    assert np.array_equal(result.dataset.truth("a"), labels)


def test_a_coding_that_cannot_be_is_the_only_problem(root):
    with (root / "dataset.yaml").open("a") as file:
        file.write("colors: {cow: [0, 0, 0], gras: [128, 0, 0]}")
    assert "colors: no class named 'gras'; did you mean 'grass'" in only(check(root))
