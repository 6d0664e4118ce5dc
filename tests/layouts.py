"""Small copies of data sets of papers, laid out on disk as their users have them."""

import json

import numpy as np
from PIL import Image as PillowImage
from scipy.io import savemat

HEIGHT, WIDTH = 48, 64
OF_VOC = ("2007_000032", "2007_000039", "2007_000063", "2007_000068")
OF_SBD = ("2008_000002", "2008_000008", "2008_000015", "2008_000019")
VAL = ("2007_000033", "2007_000042")  # the second one is in SBD's train list, too
CAR, PERSON = 7, 15


def photograph(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    pixels = np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8))
    PillowImage.fromarray(pixels).save(path, quality=90)


def voc_mask(seed):
    """A car or a person on background, with a rim of void."""
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    labels[10:40, 15:45] = 255
    labels[12:38, 17:43] = (CAR, PERSON)[seed % 2]
    return labels


def indexed(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PillowImage.frombytes("P", labels.shape[::-1], labels.tobytes())
    image.putpalette([value // 3 for value in range(768)])
    image.save(path)


def text(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def voc2012(root):
    """VOCdevkit/VOC2012, and beside it SBD, ScribbleSup and What's the Point."""
    voc = root / "VOCdevkit" / "VOC2012"
    for seed, name in enumerate((*OF_VOC, *VAL, *OF_SBD)):
        photograph(voc / "JPEGImages" / f"{name}.jpg", seed)
        _boxes(voc / "Annotations" / f"{name}.xml", name, ("car", "person")[seed % 2])
        if name not in OF_SBD:
            indexed(voc / "SegmentationClass" / f"{name}.png", voc_mask(seed))
            indexed(voc / "SegmentationObject" / f"{name}.png", voc_mask(seed))
    sets = voc / "ImageSets"
    text(sets / "Segmentation" / "train.txt", OF_VOC)
    text(sets / "Segmentation" / "val.txt", VAL)
    text(sets / "Segmentation" / "trainval.txt", (*OF_VOC, *VAL))
    text(sets / "Main" / "train.txt", OF_SBD)
    _sbd(root / "benchmark_RELEASE" / "dataset")
    _scribbles(root / "scribble_annotation")
    _clicks(root / "whats_the_point" / "data")
    return root


def _boxes(path, name, label):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><folder>VOC2012</folder><filename>{name}.jpg</filename>"
        f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        f"<segmented>1</segmented><object><name>{label}</name><pose>Left</pose><difficult>0"
        "</difficult><bndbox><xmin>18</xmin><ymin>13</ymin><xmax>43</xmax><ymax>38</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>20</xmin><ymin>14</ymin><xmax>25</xmax>"
        "<ymax>20</ymax></bndbox></part></object></annotation>"
    )


def _sbd(folder):
    for seed, name in enumerate((*OF_SBD, VAL[1], OF_VOC[0])):
        for kind, key in (("cls", "GTcls"), ("inst", "GTinst")):
            path = folder / kind / f"{name}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            labels = np.where(voc_mask(seed) == 255, 0, voc_mask(seed)).astype(np.uint8)
            categories = np.array([[7]], dtype=np.uint8)
            content = {"Segmentation": labels, "CategoriesPresent": categories}
            savemat(path, {key: content}, do_compression=True)
        photograph(folder / "img" / f"{name}.jpg", seed)
    text(folder / "train.txt", (*OF_SBD[:3], VAL[1]))
    text(folder / "val.txt", (OF_SBD[3], OF_VOC[0]))


def _scribbles(folder):
    for seed, name in enumerate((*OF_VOC, *OF_SBD)):
        for kind, label in (("pascal_2012", ("car", "person")[seed % 2]), ("pascal_2010", "sky")):
            lines = [("background", ((3, 3), (40, 4), (60, 5))), (label, ((20, 20), (38, 30)))]
            drawn = "".join(
                f"<polygon><tag>{tag}</tag>"
                + "".join(f"<point><X>{x}</X><Y>{y}</Y></point>" for x, y in points)
                + "</polygon>"
                for tag, points in lines
            )
            path = folder / kind / f"{name}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                f"<annotation><filename>{name}.jpg</filename><size><width>{WIDTH}</width>"
                f"<height>{HEIGHT}</height></size>{drawn}</annotation>"
            )
        indexed(folder.parent / "pascal_2012_scribble" / f"{name}.png", _painted(seed))


def _painted(seed):
    """Strokes three pixels wide, all else 255."""
    labels = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    labels[2:5, 3:60] = 0
    labels[20:23, 20:38] = (CAR, PERSON)[seed % 2]
    return labels


def _clicks(folder):
    folder.mkdir(parents=True)
    clicks = {
        name: [{"x": 25, "y": 20, "cls": (CAR, PERSON)[seed % 2], "rank": 1}]
        for seed, name in enumerate((*OF_VOC, *OF_SBD))
    }
    (folder / "pascal2012_trainval_main.json").write_text(json.dumps(clicks))
    (folder / "pascal2012_trainval_supp.json").write_text(json.dumps(clicks))


def run_lengths(bitmap):
    """COCO's RLE of a bitmap, as a list."""
    flat = np.concatenate([[False], bitmap.ravel(order="F"), [False]])
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    counts = np.diff([0, *edges.tolist(), bitmap.size]).tolist()
    return {"size": list(bitmap.shape), "counts": counts}


def person(number, image):
    """A person in the box (10, 4) to (42, 44): torso above, a head in the upper quarter."""
    half = np.zeros((256, 256), dtype=bool)
    half[64:] = True
    masks = [[] for _ in range(14)]
    masks[0], masks[13] = run_lengths(half), run_lengths(~half)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10.0, 4.0, 32.0, 40.0],
        "segmentation": [[8.0, 2.0, 44.0, 2.0, 44.0, 46.0, 8.0, 46.0]],
        "dp_masks": masks,
        "dp_x": [128.0, 64.0],
        "dp_y": [32.0, 128.0],
        "dp_I": [23.0, 2.0],
        "dp_U": [0.5, 0.5],
        "dp_V": [0.5, 0.5],
    }


def densepose(root):
    """COCO's images of 2014 with the two JSON files of DensePose."""
    for split, year, count in (("train", "train2014", 4), ("minival", "val2014", 2)):
        images, people = [], []
        for number in range(1, count + 1):
            name = f"COCO_{year}_{number:012}.jpg"
            photograph(root / year / name, number)
            size = {"height": HEIGHT, "width": WIDTH}
            images.append({"id": number, "file_name": name, **size})
            people.append(person(number, number))
        crowd = {"id": 99, "image_id": 1, "category_id": 1, "bbox": [50.0, 10.0, 10.0, 20.0]}
        people.append({**crowd, "segmentation": [[50.0, 10.0, 60.0, 10.0, 60.0, 30.0]]})
        path = root / "annotations" / f"densepose_coco_2014_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        kinds = [{"id": 1, "name": "person", "supercategory": "person"}]
        path.write_text(json.dumps({"images": images, "annotations": people, "categories": kinds}))
    return root


def duts(root):
    """DUTS-TR and DUTS-TE: photographs, and grey masks with a soft edge."""
    for split, count in (("TR", 4), ("TE", 2)):
        for number in range(count):
            name = f"ILSVRC2012_test_{split}_{number:08}"
            folder = root / f"DUTS-{split}"
            photograph(folder / f"DUTS-{split}-Image" / f"{name}.jpg", number)
            grey = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
            for step, value in enumerate(range(30, 256, 15)):
                grey[8 + step // 2 : 40 - step // 2, 10 + step // 2 : 50 - step // 2] = value
            path = folder / f"DUTS-{split}-Mask" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PillowImage.fromarray(grey).save(path)
    return root
