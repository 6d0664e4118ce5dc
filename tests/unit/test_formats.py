"""Imports: the frames of coordinates, names of images, classes, and files that mean harm."""

import base64
import json
import zipfile

import numpy as np
import pytest
from PIL import Image as PillowImage

from hintseg.data.check.checking import check
from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, DataError, UnknownNameError
from hintseg.formats.archives import SMALL
from hintseg.formats.classes import parse_classes
from hintseg.formats.fitting import TURNS
from hintseg.formats.importing import import_dataset
from hintseg.formats.pictures import Pictures, name_for, parts_of
from hintseg.images.exif import turned

HEIGHT, WIDTH = 20, 30


def photograph(path, *, height=HEIGHT, width=WIDTH, orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = PillowImage.Exif()
    exif[274] = orientation
    PillowImage.new("RGB", (width, height), (9, 99, 199)).save(path, exif=exif)


def coco(folder, annotations, images=("a.jpg",), categories=("cow", "grass"), **keys):
    content = {
        "images": [
            {"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH, **keys}
            for n, name in enumerate(images)
        ],
        "annotations": [{"image_id": 0, "category_id": 0, **each} for each in annotations],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories)],
    }
    (folder / "coco.json").write_text(json.dumps(content), "utf-8")


@pytest.fixture
def folder(tmp_path):
    photograph(tmp_path / "source" / "a.jpg")
    return tmp_path / "source"


def imported(name, folder, **keys):
    out = folder.parent / "out"
    result = import_dataset(name, folder, out, **keys)
    assert [str(error) for error in check(out).errors] == []
    return result, open_dataset(out)


def shapes(dataset, name="a"):
    return [(s.kind, dataset.classes.names[s.label], s.points) for s in dataset.hints(name).shapes]


def test_a_box_of_coco_counts_from_the_corner_of_the_first_pixel(folder):
    coco(folder, [{"bbox": [0, 0, 30, 20]}])
    _, dataset = imported("coco", folder)
    assert shapes(dataset) == [("box", "cow", ((-0.5, -0.5), (29.5, 19.5)))]


def test_a_box_of_voc_counts_from_1_and_has_its_last_pixel(folder):
    box = "<xmin>1</xmin><ymin>3</ymin><xmax>30</xmax><ymax>20</ymax>"
    text = f"<annotation><object><name>cow</name><bndbox>{box}</bndbox></object></annotation>"
    (folder / "a.xml").write_text(text)
    _, dataset = imported("voc", folder)
    assert shapes(dataset) == [("box", "cow", ((-0.5, 1.5), (29.5, 19.5)))]


def test_the_points_of_whats_the_point_are_pixels(folder):
    (folder / "points.json").write_text('{"a": [{"x": 4, "y": 7, "cls": 10, "rank": 1}]}')
    _, dataset = imported("voc", folder)
    assert shapes(dataset) == [("point", "cow", ((4.0, 7.0),))]
    assert dataset.classes.names[dataset.classes.background] == "background"


def test_voc_splits_and_masks(folder):
    for stem in ("b", "c"):
        photograph(folder / "JPEGImages" / f"{stem}.jpg")
        mask = PillowImage.new("P", (WIDTH, HEIGHT), 10)
        mask.putpalette([0] * 768)
        mask.putpixel((0, 0), 255)
        (folder / "SegmentationClass").mkdir(exist_ok=True)
        mask.save(folder / "SegmentationClass" / f"{stem}.png")
    sets = folder / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("b\n")
    (sets / "val.txt").write_text("c\nmissing\n")
    result, dataset = imported("voc", folder)
    assert dict(result.splits) == {"train": 1, "val": 1}
    truth = dataset.truth("b")
    assert truth[0, 0] == -2
    assert (truth.ravel()[1:] == 10).all()
    assert dataset.classes.names[10] == "cow"


def test_a_polygon_of_yolo_is_in_shares_of_the_image(folder):
    (folder / "a.txt").write_text("1 0 0 1 0 1 1 0 1\n0 0.5 0.5 0.5 0.5 0.9\n")
    _, dataset = imported("yolo", folder, classes="cow,grass")
    corners = ((-0.5, -0.5), (29.5, -0.5), (29.5, 19.5), (-0.5, 19.5))
    assert shapes(dataset) == [
        ("polygon", "grass", corners),
        ("box", "cow", ((7.0, 4.5), (22.0, 14.5))),
    ]


def test_keypoints_of_yolo(folder):
    (folder / "a.txt").write_text("0 0.5 0.5 0.5 0.5 0.1 0.5 2 0.2 0.5 0\n")
    (folder / "data.yaml").write_text("names: [cow]\nkpt_shape: [2, 3]\n")
    _, dataset = imported("yolo", folder)
    assert [kind for kind, _, _ in shapes(dataset)] == ["box", "point"]
    assert shapes(dataset)[1][2] == ((2.5, 9.5),)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_what_was_drawn_on_the_stored_pixels_is_turned_with_them(orientation):
    """A place in the middle of a stored pixel goes where EXIF puts that pixel."""
    stored = np.arange(12).reshape(3, 4, 1)
    upright = turned(stored, orientation)[..., 0]
    for row, column in np.ndindex(3, 4):
        x, y = TURNS[orientation](column + 0.5, row + 0.5, 4, 3)
        assert upright[int(y), int(x)] == stored[row, column, 0]


def test_shapes_and_bitmaps_of_a_turned_photograph(tmp_path):
    folder = tmp_path / "source"
    photograph(folder / "a.jpg", orientation=6)
    runs = [2, 3, HEIGHT * WIDTH - 5]  # rows 2, 3, 4 of the first column
    mask = {"size": [HEIGHT, WIDTH], "counts": runs}
    coco(folder, [{"bbox": [0, 2, 1, 3]}, {"segmentation": mask}])
    result, dataset = imported("coco", folder)
    box, bitmap = shapes(dataset)
    assert box == ("box", "cow", ((14.5, -0.5), (17.5, 0.5)))  # from the right edge: 20 - 5
    assert bitmap == ("mask", "cow", ((15.0, 0.0), (17.0, 0.0)))
    assert any("EXIF orientation 6" in what for what in result.changed)


def test_drawn_on_another_size_is_left(folder):
    coco(folder, [{"bbox": [0, 0, 5, 5]}, {"bbox": [0, 0, 9, 9]}], width=300)
    with pytest.raises(DataError, match="drawn on 300 x 20 pixels, its image has 30 x 20"):
        import_dataset("coco", folder, folder.parent / "out")


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"bbox": [1e9, 0, 5, 5]}, "no image reaches as far"),
        ({"bbox": [100, 100, 5, 5]}, "wholly outside"),
        ({"bbox": [1, 1, 0, 5]}, "an empty box"),
        ({"bbox": [1, 1, 5]}, "a box needs x, y, width and height"),
        ({"bbox": [1, 1, float("nan"), 5]}, "no image reaches"),
        ({"segmentation": [[1, 1, 2, 2]]}, "a polygon needs 3 points or more"),
        ({"segmentation": [[1, 1, 2, 2, 3]]}, "x and y are needed"),
        ({"segmentation": [["a"]]}, "finite numbers are needed"),
        ({"segmentation": {"size": [2, 2], "counts": [4]}}, "does not fit its image"),
        ({"bbox": [1, 1, 5, 5], "category_id": 9}, "category 9 is not among"),
        ({"bbox": [1, 1, 5, 5], "image_id": 9}, "an annotation without its image"),
        ({"segmentation": []}, "neither segmentation nor box"),
        ({"segmentation": {"size": [20, 30], "counts": [600]}}, "a mask without a pixel"),
    ],
)
def test_an_annotation_that_cannot_be_is_left_with_its_place(folder, annotation, reason):
    coco(folder, [annotation, {"bbox": [1, 1, 5, 5]}])
    result, dataset = imported("coco", folder)
    assert len(shapes(dataset)) == 1
    (said,) = [key for key in result.left if reason in key]
    assert "annotations[0]" in result.left[said][0]


def test_two_annotations_of_one_image_are_joined(folder):
    coco(
        folder, [{"bbox": [1, 1, 5, 5]}, {"image_id": 1, "bbox": [2, 2, 5, 5]}], ("a.jpg", "a.jpg")
    )
    result, dataset = imported("coco", folder)
    assert len(shapes(dataset)) == 2
    assert any("several entries for one image" in what for what in result.changed)


def test_a_panoptic_map(folder):
    coco(folder, [{"file_name": "p.png", "segments_info": [{"id": 66051, "category_id": 1}]}])
    (folder / "coco").mkdir()
    PillowImage.new("RGB", (WIDTH, HEIGHT), (3, 2, 1)).save(folder / "coco" / "p.png")
    result, dataset = imported("coco", folder)
    assert result.masks == 1
    assert (dataset.truth("a") == 1).all()


def test_classes_in_another_order_renamed_and_not_wanted(folder):
    coco(
        folder,
        [{"bbox": [1, 1, 5, 5]}, {"category_id": 1, "bbox": [1, 1, 5, 5]}],
        categories=("Kuh", "grass"),
    )
    result, dataset = imported("coco", folder, classes="sky,cow=Kuh|bull")
    assert dataset.classes.names == ("sky", "cow")
    assert shapes(dataset)[0][1] == "cow"
    assert "class 'grass' is not wanted" in result.left


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,a", "listed twice"),
        ("a,,b", "no name"),
        ("a=x,b=x", "said to be"),
        ("nowhere.txt", "no such file"),
    ],
)
def test_classes_that_cannot_be(text, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_classes(text)


def test_files_of_classes(tmp_path):
    path = tmp_path / "labelmap.txt"
    path.write_text("# label:color_rgb:parts:actions\ncow:128,0,0::\nbig sky,0 128 0\n")
    assert parse_classes(str(path)).colours == {"cow": (128, 0, 0), "big sky": (0, 128, 0)}
    path = tmp_path / "class_dict.csv"
    path.write_text("name,r,g,b\ncow,128,0,0\n")
    assert parse_classes(str(path)).colours == {"cow": (128, 0, 0)}
    path = tmp_path / "data.yaml"
    path.write_text("names: {1: cow, 0: grass}\n")
    assert parse_classes(str(path)).names == ("grass", "cow")


def test_names_of_other_systems_and_addresses():
    assert parts_of("C:\\data\\herd\\7.jpg")[-2:] == ["herd", "7.jpg"]
    assert parts_of("/data/local-files/?d=herd/k%C3%BCh.jpg") == ["herd", "küh.jpg"]
    assert parts_of("https://x.org/a/b%20c.jpg?X-Sig=1") == ["a", "b c.jpg"]
    assert parts_of("../../etc/passwd.jpg") == ["etc", "passwd.jpg"]


def test_an_image_is_found_by_its_last_folders(tmp_path):
    for name in ("x/7.jpg", "y/7.jpg", "9.jpg", "12.png"):
        photograph(tmp_path / name)
    pictures = Pictures([tmp_path])
    assert pictures.find("/else/where/y/7.jpg") == tmp_path / "y" / "7.jpg"
    assert pictures.find("0123abcd-9.jpg") == tmp_path / "9.jpg"
    assert pictures.find("12.jpg") == tmp_path / "12.png"
    with pytest.raises(DataError, match="several images"):
        pictures.find("7.jpg")
    with pytest.raises(DataError, match="in none of the folders"):
        pictures.find("8.jpg")


def test_names_fit_any_system_and_are_there_once():
    taken = set()
    assert name_for(("a", "b.jpg"), taken) == "a/b"
    assert name_for(("A", "B.png"), taken) == "A/B_png"
    assert name_for(("a", "b.png"), taken) == "a/b_2"
    assert name_for((".hidden", "x:y?.jpg"), taken) == "hidden/x_y_"


@pytest.mark.parametrize(
    "name", ["../evil.json", "/evil.json", "a/../../evil.json", "C:\\evil.json"]
)
def test_a_zip_file_that_leads_out_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr(name, "{}")
    with pytest.raises(DataError, match="leads out of the folder"):
        import_dataset("coco", tmp_path / "source.zip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["source.zip"]


def test_a_link_in_a_zip_file_is_refused(tmp_path):
    member = zipfile.ZipInfo("images")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr(member, "/etc")
    with pytest.raises(DataError, match="is a link"):
        import_dataset("coco", tmp_path / "source.zip", tmp_path / "out")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "source.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("big.json", "w") as file,
    ):
        for _ in range(SMALL // 2**24 + 1):
            file.write(bytes(2**24))
    with pytest.raises(DataError, match="would become"):
        import_dataset("coco", tmp_path / "source.zip", tmp_path / "out")


def test_a_damaged_zip_file_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr("a.json", "{}" * 500)
    data = bytearray((tmp_path / "source.zip").read_bytes())
    data[60:90] = bytes(30)
    (tmp_path / "source.zip").write_bytes(data)
    with pytest.raises(DataError, match="a damaged ZIP file"):
        import_dataset("coco", tmp_path / "source.zip", tmp_path / "out")


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 or str()};" * 10}">' for n in range(1, 10))
    + "]><annotation><filename>&lol9;</filename></annotation>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    "<annotation><filename>&e;</filename></annotation>"
)


@pytest.mark.parametrize("text", [LAUGHS, OUTSIDE])
@pytest.mark.parametrize("name", ["voc", "cvat"])
def test_xml_with_entities_is_refused(folder, name, text):
    (folder / "a.xml").write_text(text)
    with pytest.raises(DataError, match="defines entities"):
        import_dataset(name, folder, folder.parent / "out")


def test_a_panoptic_map_is_not_read_from_elsewhere(folder):
    coco(folder, [{"file_name": "../secret.png", "segments_info": []}, {"bbox": [1, 1, 5, 5]}])
    result, _ = imported("coco", folder)
    assert any("leads out of the folder" in reason for reason in result.left)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": [' + "1" * 5000 + "]}", "{", "\ufeff"])
def test_json_that_cannot_be_is_one_line(folder, text):
    (folder / "coco.json").write_text(text, "utf-8")
    with pytest.raises(DataError) as told:
        import_dataset("coco", folder, folder.parent / "out")
    assert len(str(told.value).splitlines()) == 1


def test_an_image_inside_a_file_of_labelme(tmp_path):
    photograph(tmp_path / "a.jpg")
    text = base64.b64encode((tmp_path / "a.jpg").read_bytes()).decode()
    shape = {"label": "cow", "points": [[1, 1], [9, 1], [9, 9]]}
    (tmp_path / "source").mkdir()
    content = {"shapes": [shape], "imagePath": "gone.jpg", "imageData": text}
    (tmp_path / "source" / "x.json").write_text(json.dumps(content))
    _, dataset = imported("labelme", tmp_path / "source")
    assert tuple(dataset.images) == ("gone",)


def test_a_circle_of_labelme_stays_one(folder):
    shape = {"label": "cow", "points": [[9, 9], [9, 5]], "shape_type": "circle", "note": "x"}
    (folder / "a.json").write_text(json.dumps({"shapes": [shape], "imagePath": "a.jpg"}))
    imported("labelme", folder)
    written = json.loads((folder.parent / "out" / "hints" / "a.json").read_text())["shapes"][0]
    assert (written["shape_type"], written["points"], written["note"]) == (
        "circle",
        [[9, 9], [9, 5]],
        "x",
    )


@pytest.mark.parametrize(
    ("classes", "names", "value"),
    [
        (None, ("0", "255"), 1),
        ("rest,cow", ("rest", "cow"), 1),
        ("cow=255,rest=0", ("cow", "rest"), 0),
    ],
)
def test_masks_of_0_and_255(folder, classes, names, value):
    (folder / "masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[3:9] = 255
    PillowImage.fromarray(mask).save(folder / "masks" / "a_mask.png")
    _, dataset = imported("masks", folder, classes=classes)
    assert dataset.classes.names == names
    assert (dataset.truth("a")[3:9] == value).all()
    assert (dataset.truth("a")[:3] == 1 - value).all()


def test_masks_of_colours_with_and_without_a_list(folder, tmp_path):
    (folder / "masks").mkdir()
    mask = PillowImage.new("RGB", (WIDTH, HEIGHT), (128, 0, 0))
    mask.putpixel((0, 0), (0, 0, 0))
    mask.save(folder / "masks" / "a.png")
    _, dataset = imported("masks", folder)
    assert dataset.classes.names == ("#000000", "#800000")
    (tmp_path / "colours.txt").write_text("void 0,0,0\ncow 128,0,0\n")
    out = tmp_path / "named"
    import_dataset("masks", folder, out, classes=str(tmp_path / "colours.txt"))
    truth = open_dataset(out).truth("a")
    assert truth[0, 0] == -2
    assert open_dataset(out).classes.names[truth[5, 5]] == "cow"


def test_masks_of_one_file_for_each_class(folder):
    (folder / "masks").mkdir()
    for name, rows in (("cow", slice(0, 5)), ("big_sky", slice(4, 9))):
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        mask[rows] = 255
        PillowImage.fromarray(mask).save(folder / "masks" / f"a_{name}.png")
    _, dataset = imported("masks", folder)
    assert dataset.classes.names == ("big_sky", "cow")
    column = dataset.truth("a")[:, 0].tolist()
    assert column == [1] * 4 + [-2] + [0] * 4 + [-2] * (HEIGHT - 9)


def test_tags_by_folders_and_by_marks(tmp_path):
    for name in ("cow/1.jpg", "sheep/1.jpg"):
        photograph(tmp_path / "source" / name)
    _, dataset = imported("tags", tmp_path / "source")
    assert {name: dataset.hints(name).tags for name in dataset.images} == {
        "cow/1": {0},
        "sheep/1": {1},
    }
    table = tmp_path / "marks.csv"
    table.write_text("file;sheep;cow\ncow/1.jpg;0;1\nsheep/1.jpg;1;1\n")
    out = tmp_path / "marked"
    import_dataset("tags", table, out, images=tmp_path / "source")
    marked = open_dataset(out)
    assert marked.classes.names == ("sheep", "cow")
    assert marked.hints("cow/1").tags == {1}
    assert marked.hints("sheep/1").tags == {0, 1}


def test_later_versions_are_refused_with_a_remedy(folder):
    (folder / "via.json").write_text('{"project": {}, "file": {}, "metadata": {}}')
    with pytest.raises(DataError, match="a project of VIA 3; export it as JSON of VIA 2"):
        import_dataset("via", folder, folder.parent / "out")
    (folder / "a.xml").write_text("<annotations><version>2.0</version></annotations>")
    with pytest.raises(DataError, match="version 2"):
        import_dataset("cvat", folder, folder.parent / "out")


def test_an_unknown_format_and_a_full_folder(folder):
    with pytest.raises(UnknownNameError, match="did you mean 'coco'"):
        import_dataset("cocoo", folder, folder.parent / "out")
    coco(folder, [{"bbox": [1, 1, 5, 5]}])
    with pytest.raises(DataError, match="exists already"):
        import_dataset("coco", folder, folder)


def test_a_link_is_named_where_it_is_not_where_it_leads(folder):
    coco(folder, [{"bbox": [1, 1, 5, 5]}])
    imported("coco", folder, placing="link")
    written = json.loads((folder.parent / "out" / "hints" / "a.json").read_text())
    assert written["imagePath"] == "../images/a.jpg"
