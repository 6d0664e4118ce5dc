"""The same two images with the same drawings in the files of each tool, written plainly here.

Image `herd/küh 1.jpg` is 80 x 60 pixels, `b.png` 40 x 30. Places count from the corner of the
top-left pixel. A writer gives what has to come out: (kind, class) -> number, and masks.
"""

import json
from xml.sax.saxutils import quoteattr

import h5py
import numpy as np
import tifffile
from PIL import Image as PillowImage
from pycocotools import mask as coco_mask

FIRST, SECOND = "herd/küh 1.jpg", "b.png"
SIZES = {FIRST: (60, 80), SECOND: (30, 40)}
BOX = (10.0, 12.0, 30.0, 42.0)  # left, top, right, bottom
POLYGON = ((5.0, 5.0), (25.0, 6.0), (20.5, 28.0))
STROKE = ((2.0, 3.0), (20.0, 9.0), (33.0, 25.0))
CLICK = (7.5, 8.5)  # the middle of pixel 7, 8
CLASSES = ("cow", "grass", "Himmel über")


def write_images(folder):
    """The two photographs."""
    rng = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)


def bitmap(size):
    """A ring, so that a hole is in it."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(rows - 14, columns - 20)
    return (distance < 11) & (distance > 5)


def dense(size):
    """A label map: 0, 1, and 255 where no class is."""
    labels = np.where(bitmap(size), 1, 0).astype(np.uint8)
    labels[:2] = 255
    return labels


def coco(folder):
    """Objects with box, polygons, both kinds of RLE, keypoints; and a caption."""
    box = [BOX[0], BOX[1], BOX[2] - BOX[0], BOX[3] - BOX[1]]
    packed = coco_mask.encode(np.asfortranarray(bitmap(SIZES[SECOND]).astype(np.uint8)))
    columns = bitmap(SIZES[FIRST]).T.ravel()
    edges = np.flatnonzero(np.diff(columns)) + 1
    runs = np.diff([0, *edges, columns.size]).tolist()
    flat = [value for point in POLYGON for value in point]
    annotations = [
        {"image_id": 1, "category_id": 7, "bbox": box},
        {"image_id": 1, "category_id": 7, "segmentation": [flat, flat]},
        {"image_id": 1, "category_id": 9, "segmentation": {"size": [60, 80], "counts": runs}},
        {
            "image_id": 2,
            "category_id": 9,
            "iscrowd": 1,
            "segmentation": {"size": [30, 40], "counts": packed["counts"].decode()},
        },
        {"image_id": 2, "category_id": 3, "keypoints": [7, 8, 2, 0, 0, 0]},
        {"image_id": 2, "caption": "a cow"},
    ]
    categories = [(7, "cow"), (9, "grass"), (3, "Himmel über")]
    content = {
        "images": [
            {"id": n, "file_name": name, "height": size[0], "width": size[1]}
            for n, (name, size) in enumerate(SIZES.items(), 1)
        ],
        "annotations": [{"id": n, **each} for n, each in enumerate(annotations)],
        "categories": [{"id": number, "name": name} for number, name in categories],
    }
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return {
        ("box", "cow"): 1,
        ("polygon", "cow"): 2,
        ("mask", "grass"): 2,
        ("point", "Himmel über"): 1,
    }, 0


def voc(folder):
    """A box, ScribbleSup's strokes, points, and a mask of indices."""
    left, top, right, bottom = (int(value) for value in BOX)
    object_ = (
        f"<object><name>cow</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
    )
    stroke = "".join(f"<point><X>{x - 0.5}</X><Y>{y - 0.5}</Y></point>" for x, y in STROKE)
    scribble = f"<polygon><tag>grass</tag>{stroke}</polygon>"
    for name, (height, width) in SIZES.items():
        stem = name.rpartition("/")[2].rpartition(".")[0]
        size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        text = f"<annotation><filename>{name}</filename>{size}{object_}{scribble}</annotation>"
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{stem}.xml").write_text(text, encoding="utf-8")
    return {("box", "cow"): 2, ("scribble", "grass"): 2}, 0


def yolo(folder):
    """A box and a polygon each, in labels/ for images/."""
    left, top, right, bottom = BOX
    for name, (height, width) in SIZES.items():
        centre = (left + right) / 2 / width, (top + bottom) / 2 / height
        box = *centre, (right - left) / width, (bottom - top) / height
        corners = [value for x, y in POLYGON for value in (x / width, y / height)]
        lines = [f"0 {' '.join(map(str, box))}", f"1 {' '.join(map(str, corners))}", ""]
        path = (folder / "labels" / name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(CLASSES))
    (folder / "data.yaml").write_text(f"path: .\ntrain: images\nnames:\n{names}\n", "utf-8")
    return {("box", "cow"): 2, ("polygon", "grass"): 2}, 0


def cvat(folder):
    """All shapes of images 1.1."""
    corners = ";".join(f"{x},{y}" for x, y in POLYGON)
    stroke = ";".join(f"{x},{y}" for x, y in STROKE)
    left, top, right, bottom = BOX
    images = []
    for number, (name, size) in enumerate(SIZES.items()):
        flat = bitmap(size)[3:25, 9:31].ravel()
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *edges, flat.size]).tolist()
        runs = [0, *runs] if flat[0] else runs
        things = (
            f'<box label="cow" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}" z_order="0"/>'
            f'<polygon label="cow" points="{corners}"/>'
            f'<polyline label="grass" points="{stroke}">'
            '<attribute name="a">b</attribute></polyline>'
            f'<points label="Himmel über" points="{CLICK[0]},{CLICK[1]};20.5,9.5"/>'
            '<ellipse label="cow" cx="20" cy="15" rx="8" ry="4" rotation="30.0"/>'
            f'<mask label="grass" rle="{", ".join(map(str, runs))}" left="9" top="3" width="22" '
            'height="22"/>'
            '<tag label="Himmel über"/>'
        )
        images.append(
            f'<image id="{number}" name={quoteattr(name)} width="{size[1]}" height="{size[0]}">'
            f"{things}</image>"
        )
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    text = (
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task>'
        f"<labels>{labels}</labels></task></meta>{''.join(images)}</annotations>"
    )
    (folder / "annotations.xml").write_text(text, encoding="utf-8")
    return {
        ("box", "cow"): 2,
        ("polygon", "cow"): 4,
        ("scribble", "grass"): 2,
        ("point", "Himmel über"): 4,
        ("mask", "grass"): 2,
        ("tag", "Himmel über"): 2,
    }, 0


def pack_bits(values):
    """rle-pack without repetition: one literal run at a time, lengths of 16 bits."""
    bits = [f"{len(values):032b}", f"{7:05b}", *[f"{15:04b}"] * 4]
    for start in range(0, len(values), 1000):
        part = values[start : start + 1000]
        same = len(set(part)) == 1
        bits += ["1" if same else "0", "00", f"{len(part) - 1:016b}"]
        bits += [f"{value:08b}" for value in (part[:1] if same else part)]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[at : at + 8], 2) for at in range(0, len(text), 8)]


def labelstudio(folder):
    """Two people, all kinds of results, and a prediction that nobody confirmed."""
    left, top, right, bottom = BOX
    tasks = []
    for number, (name, (height, width)) in enumerate(SIZES.items()):

        def result(kind, value, label=None, size=(height, width), number=number):
            key = {f"{kind}": [label]} if label else {}
            return {
                "type": kind,
                "value": {**value, **key},
                "original_width": size[1],
                "original_height": size[0],
                "image_rotation": 0,
                "id": f"{kind}-{number}",
            }

        def percent(x, y, size=(height, width)):
            return [100 * x / size[1], 100 * y / size[0]]

        x, y = percent(left, top)
        wide, high = percent(right - left, bottom - top)
        click = percent(*CLICK)
        channel = np.where(bitmap((height, width)), 255, 0)
        rgba = np.stack([channel * 0, channel * 0, channel * 0, channel], axis=-1)
        results = [
            result("rectanglelabels", {"x": x, "y": y, "width": wide, "height": high}, "cow"),
            result("polygonlabels", {"points": [percent(*p) for p in POLYGON]}, "cow"),
            result("keypointlabels", {"x": click[0], "y": click[1], "width": 1}, "Himmel über"),
            result(
                "brushlabels", {"format": "rle", "rle": pack_bits(rgba.ravel().tolist())}, "grass"
            ),
            {"type": "choices", "value": {"choices": ["Himmel über"]}},
        ]
        second = [result("rectanglelabels", {"x": x, "y": y, "width": wide, "height": high}, "cow")]
        tasks.append(
            {
                "id": number,
                "data": {"image": f"/data/upload/1/0123abcd-{name.rpartition('/')[2]}"},
                "annotations": [{"id": 1, "result": results}, {"id": 2, "result": second}],
                "predictions": [{"result": results}],
            }
        )
    (folder / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    return {
        ("box", "cow"): 4,
        ("polygon", "cow"): 2,
        ("point", "Himmel über"): 2,
        ("mask", "grass"): 2,
        ("tag", "Himmel über"): 2,
    }, 0


def labelme(folder):
    """One file of version 5 with a circle, one of version 3 without shape types."""
    first, second = (folder / "images" / name for name in SIZES)
    shapes = [
        {"label": "cow", "points": [BOX[:2], BOX[2:]], "shape_type": "rectangle", "flags": {}},
        {"label": "grass", "points": STROKE, "shape_type": "linestrip", "group_id": 4},
        {"label": "cow", "points": [[20, 20], [25, 20]], "shape_type": "circle"},
        {"label": "Himmel über", "points": [CLICK], "shape_type": "point"},
    ]
    content = {
        "version": "5.4.1",
        "flags": {"grass": True, "blurry": True},
        "shapes": shapes,
        "imagePath": first.name,
        "imageData": None,
        "imageHeight": 60,
        "imageWidth": 80,
    }
    first.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    old = {"shapes": [{"label": "cow", "points": POLYGON}], "imagePath": second.name}
    second.with_suffix(".json").write_text(json.dumps(old), encoding="utf-8")
    return {
        ("box", "cow"): 1,
        ("scribble", "grass"): 1,
        ("polygon", "cow"): 2,
        ("point", "Himmel über"): 1,
        ("tag", "grass"): 1,
    }, 0


def via(folder):
    """A project of VIA 2 with all shapes."""
    regions = [
        {"name": "rect", "x": BOX[0], "y": BOX[1], "width": 20, "height": 30},
        {
            "name": "polygon",
            "all_points_x": [x for x, _ in POLYGON],
            "all_points_y": [y for _, y in POLYGON],
        },
        {"name": "circle", "cx": 20, "cy": 15, "r": 5},
        {"name": "ellipse", "cx": 20, "cy": 15, "rx": 8, "ry": 3, "theta": 0.5},
        {"name": "point", "cx": CLICK[0], "cy": CLICK[1]},
        {
            "name": "polyline",
            "all_points_x": [x for x, _ in STROKE],
            "all_points_y": [y for _, y in STROKE],
        },
    ]
    labels = ["cow", "cow", "cow", "cow", "Himmel über", "grass"]
    images = {
        f"{name}123": {
            "filename": name.rpartition("/")[2],
            "size": 123,
            "regions": [
                {"shape_attributes": shape, "region_attributes": {"class": label, "id": "x"}}
                for shape, label in zip(regions, labels, strict=True)
            ],
            "file_attributes": {"caption": "no class"},
        }
        for name in SIZES
    }
    text = json.dumps({"_via_settings": {}, "_via_img_metadata": images})
    (folder / "via.json").write_text(text, encoding="utf-8")
    return {
        ("box", "cow"): 2,
        ("polygon", "cow"): 6,
        ("point", "Himmel über"): 2,
        ("scribble", "grass"): 2,
    }, 0


def tags(folder):
    """A table with a heading."""
    lines = ["image,tags", f'"{FIRST}",cow,Himmel über', f"{SECOND},cow|grass"]
    (folder / "tags.csv").write_text("\n".join(lines), encoding="utf-8")
    return {("tag", "cow"): 2, ("tag", "Himmel über"): 1, ("tag", "grass"): 1}, 0


def masks(folder):
    """Indexed label maps."""
    for name, size in SIZES.items():
        path = (folder / "masks" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(dense(size)).save(path)
    return {("dense", "0"): 2, ("dense", "1"): 2}, 2


def s4(folder):
    """Scribbles, 255 unlabelled."""
    for name, size in SIZES.items():
        path = (folder / "labels" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(np.where(bitmap(size), 1, 255).astype(np.uint8)).save(path)
    return {("mask", "1"): 2}, 0


def napari(folder):
    """Layers as TIFF and NumPy."""
    first, second = ((folder / "layers" / name).with_suffix("") for name in SIZES)
    first.parent.mkdir(parents=True, exist_ok=True)
    values = bitmap(SIZES[FIRST]).astype(np.int64) * 2
    tifffile.imwrite(folder / "layers" / "küh 1_labels.tif", values)
    np.save(f"{second}.npy", bitmap(SIZES[SECOND]).astype(np.uint16))
    return {("mask", "2"): 1, ("mask", "1"): 1}, 0


def ilastik(folder):
    """A project with named classes, and blocks with places."""
    with h5py.File(folder / "project.ilp", "w") as file:
        flow = file.create_group("PixelClassification")
        flow["LabelNames"] = [name.encode() for name in CLASSES]
        for number, (name, size) in enumerate(SIZES.items()):
            lane = file.create_group(f"Input Data/infos/lane{number:04}/Raw Data")
            lane["filePath"] = f"C:\\data\\{name}".replace("/", "\\").encode()
            axes = [{"key": key} for key in "yxc"]
            lane["axistags"] = json.dumps({"axes": axes}).encode()
            part = bitmap(size)[3:25, 9:31].astype(np.uint8)[..., None] * 2
            block = flow.create_dataset(f"LabelSets/labels{number:03}/block0000", data=part)
            block.attrs["blockSlice"] = "[3:25,9:31,0:1]"
    return {("mask", "grass"): 2}, 0


def densepose(folder):
    """A person with a torso, a head and a point in each image."""
    images, people = [], []
    whole = {"size": [256, 256], "counts": [0, 256 * 256]}
    for number, (name, (height, width)) in enumerate(SIZES.items()):
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        box = {"bbox": [2.0, 2.0, 16.0, 8.0], "segmentation": [[1, 1, 20, 1, 20, 12, 1, 12]]}
        points = {"dp_x": [128.0], "dp_y": [128.0], "dp_I": [2.0], "dp_masks": [whole]}
        people.append({"id": number, "image_id": number, "category_id": 1, **box, **points})
    content = {"images": images, "annotations": people, "categories": []}
    (folder / "densepose_coco_2014_train.json").write_text(json.dumps(content), "utf-8")
    return {("point", "torso"): 2, ("dense", "background"): 2, ("dense", "torso"): 2}, 2


def saliency(folder):
    """A grey mask of each image."""
    for name, size in SIZES.items():
        path = (folder / "masks" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(bitmap(size).astype(np.uint8) * 200).save(path)
    return {("dense", "background"): 2, ("dense", "object"): 2}, 2


WRITERS = {
    writer.__name__: writer
    for writer in (
        *(coco, voc, yolo, cvat, labelstudio, labelme, via, tags, masks, s4, napari, ilastik),
        *(densepose, saliency),
    )
}


def write_source(name, folder):
    """A source of a format with its images; what has to come out of it."""
    folder.mkdir(parents=True)
    write_images(folder / "images")
    return WRITERS[name](folder)
