"""Files of each format, read as its tool would read them, and their refusals."""

import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image as PillowImage

from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, DataError, HintSegError
from hintseg.export import LABEL_FORMATS
from hintseg.export.exporting import FORMATS, export_labels
from hintseg.export.labelled import ExportOptions
from hintseg.export.sources import read_classes
from hintseg.hints.labelme import read_labelme
from hintseg.hints.raster import rasterize
from hintseg.hints.scanlines import polygon_pixels
from hintseg.images.label_maps import read_label_map, write_label_map
from hintseg.images.photographs import write_png
from hintseg.structures import UNLABELLED, ClassSet, Hints

CLASSES = ClassSet(("grass", "Kühe & <Kälber>", "sky"))
EXACT = ExportOptions(tolerance=0.0, smallest=0)
MASKS = ExportOptions(drawn="masks", tolerance=0.0, smallest=0)
SIZE = (24, 32)


def drawing(seed):
    """A map with a hole, a piece in the hole, pixels that touch crosswise, and void."""
    labels = np.zeros(SIZE, np.int16)
    labels[4:16, 5:20] = 1
    labels[7:12, 8:15] = 2
    labels[9, 10 + seed] = 1
    labels[20, 3], labels[21, 4] = 2, 2
    labels[:, -2:] = UNLABELLED
    return labels


LABELS = {"cow": drawing(0), "herd/ä b": drawing(1)}


@pytest.fixture
def masks(tmp_path):
    """A folder of label maps beside a folder of their photographs."""
    for name, labels in LABELS.items():
        write_label_map(tmp_path / "masks" / f"{name}.png", labels, classes=3)
        photograph = np.zeros((*SIZE, 3), np.uint8)
        target = tmp_path / "photos" / f"{name}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(photograph).save(target)
    (tmp_path / "classes.txt").write_text("".join(f"{n}\n" for n in CLASSES), encoding="utf-8")
    return tmp_path / "masks"


def exported(format, masks, out, options=EXACT, **more):
    root = masks.parent
    known = {"images": root / "photos", "classes": str(root / "classes.txt"), **more}
    return export_labels(format, masks, root / out, options=options, **known)


def filled(rings):
    """Pixels inside an odd number of rings, which are lists of x, y."""
    times = np.zeros(SIZE[0] * SIZE[1], dtype=int)
    for ring in rings:
        times[polygon_pixels(np.array(ring, dtype=float).reshape(-1, 2) - 0.5, SIZE)] += 1
    return (times % 2 == 1).reshape(SIZE)


def label_map(objects):
    """A label map of (class name, pixels); no two may overlap."""
    labels = np.full(SIZE, UNLABELLED)
    for name, inside in objects:
        assert (labels[inside] == UNLABELLED).all()
        labels[inside] = CLASSES.index(name)
    return labels


def test_the_command_line_knows_all_formats():
    assert list(LABEL_FORMATS) == list(FORMATS)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@pytest.mark.parametrize("objects", ["component", "class"])
@pytest.mark.parametrize("drawn", ["polygons", "masks"])
def test_coco_is_read_by_pycocotools_pixel_by_pixel(masks, tmp_path, drawn, objects, capsys):
    coco_api = pytest.importorskip("pycocotools.coco")
    options = ExportOptions(drawn=drawn, objects=objects, tolerance=0.0, smallest=0)
    done = exported("coco", masks, "c.json", options)
    coco = coco_api.COCO(str(tmp_path / "c.json"))
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    assert names == {1: "grass", 2: "Kühe & <Kälber>", 3: "sky"}
    for image in coco.dataset["images"]:
        assert (tmp_path / "photos" / image["file_name"]).is_file()
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        objects_ = [(names[a["category_id"]], coco.annToMask(a) > 0) for a in found]
        expected = LABELS[image["file_name"].removesuffix(".jpg")]
        assert np.array_equal(label_map(objects_), expected)
        assert all(
            a["area"] == inside.sum() for a, (_, inside) in zip(found, objects_, strict=True)
        )
    assert sum(done.objects.values()) == len(coco.dataset["annotations"])
    capsys.readouterr()


def test_yolo_has_labels_beside_images(masks, tmp_path):
    exported("yolo", masks, "y")
    content = yaml.safe_load((tmp_path / "y" / "data.yaml").read_text(encoding="utf-8"))
    assert content["names"] == dict(enumerate(CLASSES.names))
    for image in (tmp_path / "y" / "images").rglob("*.jpg"):
        inner = image.relative_to(tmp_path / "y" / "images").with_suffix("")
        objects = []
        for line in (tmp_path / "y" / "labels" / f"{inner}.txt").read_text().splitlines():
            number, *shares = line.split()
            ring = np.array(shares, dtype=float).reshape(-1, 2)
            assert len(ring) >= 3
            assert ring.min() >= 0
            assert ring.max() <= 1
            objects.append((CLASSES[int(number)], filled([np.round(ring * SIZE[::-1], 3)])))
        assert np.array_equal(label_map(objects), LABELS[inner.as_posix()])


def test_yolo_links_on_request(masks, tmp_path):
    exported("yolo", masks, "y", ExportOptions(link=True))
    link = tmp_path / "y" / "images" / "herd" / "ä b.jpg"
    assert link.is_symlink()
    assert link.samefile(tmp_path / "photos" / "herd" / "ä b.jpg")


@pytest.mark.parametrize("options", [EXACT, MASKS])
def test_cvat_xml_gives_the_label_maps_back(masks, tmp_path, options):
    exported("cvat", masks, "c.xml", options)
    root = ElementTree.parse(tmp_path / "c.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [n.text for n in root.findall("meta/task/labels/label/name")] == list(CLASSES)
    images = root.findall("image")
    assert [image.get("name") for image in images] == ["cow.jpg", "herd/ä b.jpg"]
    for image in images:
        assert (int(image.get("height")), int(image.get("width"))) == SIZE
        objects = [(shape.get("label"), shape_of_cvat(shape)) for shape in image]
        expected = LABELS[image.get("name").removesuffix(".jpg")]
        assert np.array_equal(label_map(objects), expected)


def shape_of_cvat(shape):
    if shape.tag == "polygon":
        return filled([[pair.split(",") for pair in shape.get("points").split(";")]])
    counts = [int(part) for part in shape.get("rle").split(",")]
    left, top, width, height = (int(shape.get(k)) for k in ("left", "top", "width", "height"))
    inside = np.zeros(SIZE, dtype=bool)
    bits = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    inside[top : top + height, left : left + width] = bits.reshape(height, width)
    return inside


def test_polygons_of_one_object_share_a_group(masks, tmp_path):
    exported("cvat", masks, "c.xml", ExportOptions(objects="class", smallest=0))
    image = ElementTree.parse(tmp_path / "c.xml").getroot().find("image")
    groups = {shape.get("label"): set() for shape in image}
    for shape in image:
        groups[shape.get("label")].add(shape.get("group_id"))
    assert all(len(numbers) == 1 for numbers in groups.values())
    sky = [shape.get("group_id") for shape in image if shape.get("label") == "sky"]
    assert len(sky) == 3
    assert len(set(sky)) == 1


def test_label_studio_polygons_are_percent_of_the_sides(masks, tmp_path):
    exported("labelstudio", masks, "l.json")
    tasks = json.loads((tmp_path / "l.json").read_text(encoding="utf-8"))
    assert tasks[1]["data"]["image"] == "/data/local-files/?d=herd/%C3%A4%20b.jpg"
    config = ElementTree.parse(tmp_path / "l.config.xml").getroot()
    assert config.find("PolygonLabels").get("toName") == config.find("Image").get("name")
    assert [label.get("value") for label in config.iter("Label")] == list(CLASSES)
    for task, labels in zip(tasks, LABELS.values(), strict=True):
        [prediction] = task["predictions"]
        objects = []
        for region in prediction["result"]:
            assert (region["original_height"], region["original_width"]) == SIZE
            assert region["type"] == "polygonlabels"
            ring = np.array(region["value"]["points"]) / 100 * SIZE[::-1]
            [name] = region["value"]["polygonlabels"]
            objects.append((name, filled([np.round(ring, 3)])))
        assert np.array_equal(label_map(objects), labels)
        assert len({region["id"] for region in prediction["result"]}) == len(objects)


def test_label_studio_brushes_name_their_control(masks, tmp_path):
    exported("labelstudio", masks, "l.json", ExportOptions(drawn="masks", url="https://x.org/"))
    task = json.loads((tmp_path / "l.json").read_text(encoding="utf-8"))[0]
    assert task["data"]["image"] == "https://x.org/cow.jpg"
    config = ElementTree.parse(tmp_path / "l.config.xml").getroot()
    for region in task["predictions"][0]["result"]:
        assert region["value"]["format"] == "rle"
        assert region["from_name"] == config.find("BrushLabels").get("name")
        assert region["value"]["brushlabels"][0] in CLASSES.names


@pytest.mark.parametrize("options", [EXACT, MASKS])
def test_labelme_files_are_hints_that_give_the_label_maps_back(masks, tmp_path, options):
    exported("labelme", masks, "lm", options)
    for name, labels in LABELS.items():
        file = tmp_path / "lm" / f"{name}.json"
        hints, size = read_labelme(file, CLASSES)
        assert size == SIZE
        assert np.array_equal(rasterize(hints, SIZE, CLASSES).labels, labels)
        photograph = file.parent / json.loads(file.read_text(encoding="utf-8"))["imagePath"]
        assert photograph.samefile(tmp_path / "photos" / f"{name}.jpg")


def test_geojson_has_holes_and_closed_rings_in_opposite_directions(masks, tmp_path):
    shapely = pytest.importorskip("shapely.geometry")
    exported("geojson", masks, "g")
    for name, labels in LABELS.items():
        content = json.loads((tmp_path / "g" / f"{name}.geojson").read_text(encoding="utf-8"))
        objects = []
        for feature in content["features"]:
            shape = shapely.shape(feature["geometry"])
            assert shape.is_valid
            parts = getattr(shape, "geoms", [shape])
            assert all(part.exterior.is_ccw for part in parts)
            rings = [ring.coords[:-1] for p in parts for ring in (p.exterior, *p.interiors)]
            assert all(ring.is_ring for p in parts for ring in (p.exterior, *p.interiors))
            objects.append((feature["properties"]["classification"]["name"], filled(rings)))
        assert np.array_equal(label_map(objects), labels)


@pytest.mark.parametrize("drawn", ["indexed", "colors", "binary"])
def test_masks_in_each_coding_are_the_label_maps(masks, tmp_path, drawn):
    exported("masks", masks, "m", ExportOptions(drawn=drawn), images=None)
    lines = (tmp_path / "m" / "labelmap.txt").read_text(encoding="utf-8").splitlines()[1:]
    colours = [line.split(":")[1].split(",") for line in lines]
    assert read_classes(str(tmp_path / "m" / "classes.txt"))[0].names == CLASSES.names
    for name, labels in LABELS.items():
        found = np.full(SIZE, UNLABELLED)
        for index, colour in enumerate(colours):
            if drawn == "binary":
                folder = ("grass", "Kühe & _Kälber_", "sky")[index]
                with PillowImage.open(tmp_path / "m" / folder / f"{name}.png") as image:
                    found[np.asarray(image) == 255] = index
                continue
            with PillowImage.open(tmp_path / "m" / f"{name}.png") as image:
                pixels = np.asarray(image.convert("RGB"))
            found[(pixels == np.array(colour, dtype=int)).all(axis=2)] = index
        assert np.array_equal(found, labels)


def test_masks_lose_their_crumbs_on_request_only(masks, tmp_path):
    assert exported("masks", masks, "a").crumbs.pieces == 0
    done = exported("masks", masks, "b", ExportOptions(smallest=3))
    assert done.crumbs == (4, 6)
    kept = read_label_map(tmp_path / "b" / "cow.png", classes=3, undeclared=UNLABELLED)
    assert kept[9, 10] == 2
    assert kept[20, 3] == 0


def test_scores_beside_the_label_maps_are_means_of_objects(masks, tmp_path):
    for name in LABELS:
        scores = np.full(SIZE, 102, np.uint8)
        scores[:, :16] = 204
        write_png(masks / "scores" / f"{name}.png", PillowImage.fromarray(scores))
    done = exported("coco", masks, "c.json")
    assert done.images == 2  # scores are no label maps
    content = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    by_class = {a["category_id"]: a["score"] for a in content["annotations"]}
    assert all(0.4 <= score <= 0.8 for score in by_class.values())
    assert content["annotations"][-1]["score"] == pytest.approx(0.8)
    exported("labelstudio", masks, "l.json")
    prediction = json.loads((tmp_path / "l.json").read_text("utf-8"))[0]["predictions"][0]
    assert 0.4 < prediction["score"] < 0.8
    assert all("score" in region for region in prediction["result"])


def test_a_data_set_gives_its_masks_without_the_background(data_folder, tmp_path):
    text = (data_folder / "dataset.yaml").read_text()
    (data_folder / "dataset.yaml").write_text(text + "background: grass\n")
    (data_folder / "masks" / "shed.png").unlink()
    done = export_labels("coco", data_folder, tmp_path / "a.json")
    assert set(done.objects) == {"cow", "sky"}
    assert (done.images, done.without) == (7, 1)
    done = export_labels("yolo", data_folder, tmp_path / "y", split="val")
    assert (done.images, done.without) == (2, 0)
    content = yaml.safe_load((tmp_path / "y" / "data.yaml").read_text())
    assert content["names"] == {0: "cow", 1: "sky"}
    options = ExportOptions(background=True)
    done = export_labels("labelme", data_folder, tmp_path / "lm", options=options)
    assert set(done.objects) == {"grass", "cow", "sky"}


def test_exported_labelme_files_are_the_hints_of_the_data_set_they_come_from(data_folder, tmp_path):
    export_labels("labelme", data_folder, tmp_path / "lm", options=EXACT)
    shutil.rmtree(data_folder / "hints")
    shutil.copytree(tmp_path / "lm", data_folder / "hints")
    dataset = open_dataset(data_folder)
    for name in dataset.images:
        hints = dataset.hints(name)
        assert isinstance(hints, Hints)
        labels = rasterize(hints, dataset.size(name), dataset.classes).labels
        truth = dataset.checked_truth(name)
        assert np.array_equal(labels, np.where(truth < 0, UNLABELLED, truth))


def test_a_broken_label_map_is_reported_and_the_rest_is_written(masks, tmp_path):
    (masks / "cow.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    (masks / "stray.png").write_bytes((masks / "herd" / "ä b.png").read_bytes())
    write_label_map(masks / "large.png", np.zeros((50, 60), np.int16), classes=3)
    PillowImage.new("RGB", (10, 10)).save(tmp_path / "photos" / "large.jpg")
    done = exported("coco", masks, "c.json")
    assert done.images == 1
    messages = {path.stem: text for path, text in done.failed.items()}
    assert "cow.png" in messages["cow"]
    assert "no photograph 'stray'" in messages["stray"]
    assert "60 x 50 pixels" in messages["large"]
    assert json.loads((tmp_path / "c.json").read_text("utf-8"))["images"][0]["id"] == 1


@pytest.mark.parametrize(
    ("format", "more", "options", "text"),
    [
        ("cocoa", {}, EXACT, "did you mean 'coco'"),
        ("coco", {"images": None}, EXACT, "give their folder: --images"),
        ("coco", {"classes": None}, EXACT, "give --classes"),
        ("coco", {"classes": "grass,cow"}, EXACT, "class index 2 does not exist"),
        ("coco", {"classes": "no/such/file.txt"}, EXACT, "no such file"),
        ("coco", {"split": "val"}, EXACT, "is no data set"),
        ("coco", {}, ExportOptions(link=True), "--link: is for yolo only"),
        ("coco", {}, ExportOptions(url="x"), "--url: is for labelstudio only"),
        ("yolo", {}, ExportOptions(drawn="masks"), "--as masks: yolo can have polygons"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(masks, format, more, options, text):
    with pytest.raises(HintSegError, match=text):
        exported(format, masks, "c.json", options, **more)
    assert not list(masks.parent.glob("*c.json*"))


@pytest.mark.parametrize(
    "wrong",
    [{"objects": "each"}, {"tolerance": -1.0}, {"tolerance": float("nan")}, {"smallest": -1}],
)
def test_options_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong))}"):
        ExportOptions(**wrong)


def test_nothing_is_written_over(masks, tmp_path):
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(DataError, match="exists already"):
        exported("coco", masks, "c.json")
    with pytest.raises(DataError, match="exists already"):
        exported("labelme", masks, "photos")
    with pytest.raises(ConfigError, match=r"choose a name \*\.xml"):
        exported("cvat", masks, "c.json")
    assert (tmp_path / "c.json").read_text() == "{}"
