"""Bombs, paths that lead elsewhere, endless shapes, numbers without end; each where it is read."""

import base64
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as PillowImage
from safetensors.torch import save_file

from hintseg.compare.choices import HintChoice
from hintseg.compare.plan import Cell, Plan, read_plan, write_plan
from hintseg.data.dataset import open_dataset
from hintseg.errors import ConfigError, DataError, HintSegError, RunError
from hintseg.formats.arrays import read_plane
from hintseg.formats.importing import import_dataset
from hintseg.formats.rle import coco_bitmap, row_bitmap
from hintseg.hints.figures import read_bitmap
from hintseg.hints.labelme import labelme_problems, read_labelme
from hintseg.hints.shapes import MOST_SHAPES, overdrawn
from hintseg.images.grey import read_grey
from hintseg.images.label_maps import read_label_map
from hintseg.images.photographs import image_size, read_image
from hintseg.methods.settings import parse_overrides
from hintseg.models.backbone import Backbone, load_weights
from hintseg.models.saved import ModelDescription, build_segmenter, load_model, save_model
from hintseg.predict.onnx_model import OnnxDescription
from hintseg.regions.files import load_regions, read_edges
from hintseg.structures import ClassSet, Shape

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from fuzz_inputs import png_bomb

SIZE = (40, 56)
TINY = "test_efficientnet"


# Pictures


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """A megabyte that would be 225 megapixels."""
    path = tmp_path_factory.mktemp("bomb") / "a.png"
    path.write_bytes(png_bomb(15_000, 15_000))
    return path


def test_a_bomb_is_no_picture_for_any_reader(bomb):
    assert bomb.stat().st_size < 2**20
    for read in (
        read_image,
        image_size,
        read_grey,
        lambda path: read_label_map(path, classes=3, undeclared=-1),
        lambda path: read_edges(path, SIZE),
        lambda path: load_regions(path.parent, path.stem),
    ):
        with pytest.raises(HintSegError, match=r"a\.png: .*too large to open safely"):
            read(bomb)
    with pytest.raises(DataError, match="no PNG in base64"):
        read_bitmap(base64.b64encode(bomb.read_bytes()).decode())


def test_a_tiff_that_claims_terabytes_is_refused_by_its_header(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 24), np.uint16), compression="zlib")
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    for entry in range(struct.unpack_from("<H", data, at)[0]):
        start = at + 2 + 12 * entry
        if struct.unpack_from("<H", data, start)[0] in (256, 257, 278):  # width, height, rows
            struct.pack_into("<HI", data, start + 2, 4, 1)
            struct.pack_into("<I", data, start + 8, 10**6)
    path.write_bytes(data)
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=r"a\.tif: .*too large to open safely"):
            read(path)


def test_only_decoders_of_photographs_see_a_file(tmp_path):
    """Pillow would start Ghostscript for PostScript, whatever the file is called."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with PillowImage.open(path) as image:
        assert image.format == "EPS"
    with pytest.raises(DataError, match="not an image file"):
        read_image(path)


def test_devices_and_pipes_are_no_pictures(tmp_path):
    (tmp_path / "a.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        with pytest.raises(DataError, match="a device or a pipe, not a file"):
            read_image(tmp_path / name)


# Hints


def labelme(path, shapes, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"shapes": shapes, **more}))
    return path


def test_millions_of_shapes_are_refused_at_once(tmp_path, classes):
    point = {"label": "cow", "points": [[1, 1]], "shape_type": "point"}
    path = labelme(tmp_path / "a.json", [point] * (MOST_SHAPES + 1))
    with pytest.raises(DataError, match=f"at most {MOST_SHAPES} are read, remove the rest"):
        read_labelme(path, classes)


def test_problems_end_before_a_person_does(tmp_path, classes):
    wrong = {"label": "cwo", "points": [[1, 1]], "shape_type": "point"}
    problems = labelme_problems(labelme(tmp_path / "a.json", [wrong] * 5000), classes, SIZE)
    assert len(problems) == 501
    assert "the rest of the file was not looked at" in problems[-1]


def test_a_polygon_that_would_take_all_memory_is_refused_where_it_is_read(data_folder):
    """A zigzag passes all rows with every edge: corners x rows places to sort."""
    zigzag = [[float(n % 50), float(39 * (n % 2))] for n in range(5000)]
    shape = {"label": "cow", "points": zigzag, "shape_type": "polygon"}
    path = labelme(data_folder / "hints" / "field.json", [shape])
    dataset = open_dataset(data_folder)
    with pytest.raises(DataError, match=r"field\.json: shapes: a polygon of 5000 points"):
        dataset.hints("field")
    (problem,) = labelme_problems(path, dataset.classes, SIZE)
    assert "draw it more simply" in problem


@pytest.mark.parametrize("kind", ["polygon", "scribble"])
def test_what_a_hand_draws_is_never_too_much(kind):
    turns = np.linspace(0, 40 * np.pi, 5000)
    spiral = tuple((100 + t * np.cos(t), 100 + t * np.sin(t)) for t in turns.tolist())
    assert overdrawn([Shape(kind, 0, spiral)] * 20, (200, 200)) is None
    cells = [
        Shape("polygon", 0, ((x, 1.0), (x + 5, 1.0), (x, 9.0)))
        for x in np.arange(50_000.0).tolist()
    ]
    assert overdrawn(cells, (1000, 60_000)) is None


def test_shapes_that_cover_an_image_thousands_of_times_are_too_much():
    whole = Shape("polygon", 0, ((0.0, 0.0), (56.0, 0.0), (56.0, 40.0), (0.0, 40.0)))
    assert overdrawn([whole] * 900, SIZE) is None
    assert "cover the image" in (overdrawn([whole] * 2000, SIZE) or "")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "1" * 400, "1" * 5000, "1e8", "null"])
def test_coordinates_without_end_are_refused(tmp_path, classes, number):
    path = tmp_path / "a.json"
    shape = {"label": "cow", "shape_type": "point", "points": [["NUMBER", 1]]}
    path.write_text(json.dumps({"shapes": [shape]}).replace('"NUMBER"', number))
    with pytest.raises(DataError, match=r"finite numbers|thousands of digits") as caught:
        read_labelme(path, classes)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", ["[0, 1e999]", "[0, .nan]", "[0, 0x" + "f" * 5000 + "]", "[1]"])
def test_a_range_without_end_is_refused(data_folder, value):
    file = data_folder / "dataset.yaml"
    file.write_text(f"{file.read_text()}intensity: {value}\n")
    with pytest.raises(DataError, match=r"dataset\.yaml: .*(intensity|digits)"):
        open_dataset(data_folder)


# Imports


def coco(folder, images, annotations):
    folder.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", (20, 10)).save(folder / "a.png")
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cow"}],
    }
    (folder / "a.json").write_text(json.dumps(content))
    return folder


IMAGE = {"id": 1, "file_name": "a.png", "height": 10, "width": 20}
BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}


def test_a_run_length_that_stands_for_terabytes_is_left(tmp_path):
    """Also where no size of the image says that it cannot be."""
    huge = {"size": [10**6, 10**6], "counts": [0, 10**12]}
    image = {key: IMAGE[key] for key in ("id", "file_name")}
    annotations = [BOX, {"image_id": 1, "category_id": 1, "segmentation": huge}]
    result = import_dataset("coco", coco(tmp_path / "in", [image], annotations), tmp_path / "out")
    assert result.counts == {("box", 0): 1}
    assert any("more than any image has" in reason for reason in result.left)
    for make in (
        lambda: coco_bitmap(huge, (10**6, 10**6)),
        lambda: row_bitmap([0, 10**12], (10**6, 10**6)),
    ):
        with pytest.raises(DataError, match="more than any image has that is read"):
            make()


@pytest.mark.parametrize("number", [10**400, -(10**400), 1e308, float("nan"), float("inf")])
def test_places_without_end_are_left(tmp_path, number):
    annotations = [BOX, {"image_id": 1, "category_id": 1, "bbox": [1, 1, number, 3]}]
    annotations.append({"image_id": 1, "category_id": 1, "keypoints": [number, 1, 2]})
    source = coco(tmp_path / "in", [{**IMAGE, "height": number}, IMAGE], annotations)
    result = import_dataset("coco", source, tmp_path / "out")
    assert result.counts == {("box", 0): 1}


@pytest.mark.parametrize(
    "named",
    ["../secret.png", "/etc/passwd", "C:\\secret.png", "a\0.png", "x" * 5000, "secret.png/x"],
)
def test_an_image_outside_of_the_source_is_not_taken(tmp_path, named):
    PillowImage.new("RGB", (20, 10)).save(tmp_path / "secret.png")
    source = tmp_path / "in"
    shape = {"label": "cow", "points": [[1, 1]], "shape_type": "point"}
    labelme(source / "a.json", [shape], imagePath=named)
    PillowImage.new("RGB", (8, 8)).save(source / "other.png")
    with pytest.raises(DataError, match=r"no image to import.*in none of the folders"):
        import_dataset("labelme", source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("named", ["../m.png", "/etc/passwd", "a\0.png", "x" * 5000, "C:\\m.png"])
def test_a_map_outside_of_the_source_is_not_taken(tmp_path, named):
    PillowImage.new("RGB", (20, 10)).save(tmp_path / "m.png")
    panoptic = {"image_id": 1, "file_name": named, "segments_info": [{"id": 0, "category_id": 1}]}
    source = coco(tmp_path / "in", [IMAGE], [BOX, panoptic])
    result = import_dataset("coco", source, tmp_path / "out")
    assert result.masks == 0
    assert any("leads out" in reason or "is missing" in reason for reason in result.left)


@pytest.mark.parametrize(
    "name", ["../../evil.txt", "/tmp/evil", "a/../../evil", "C:\\evil", "..\\evil"]
)
def test_an_archive_writes_nothing_elsewhere(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(DataError, match="leads out of the folder"):
        import_dataset("coco", tmp_path / "a.zip", tmp_path / "deep" / "out")
    assert {path.name for path in tmp_path.rglob("*")} <= {"a.zip", "deep"}


def test_an_archive_of_links_or_of_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        member = zipfile.ZipInfo("images")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc")
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.json", "w", force_zip64=True) as file,
    ):
        for _ in range(300):
            file.write(bytes(2**20))
    for name, reason in (("link", "is a link"), ("bomb", "its .* bytes would become")):
        with pytest.raises(DataError, match=reason):
            import_dataset("coco", tmp_path / f"{name}.zip", tmp_path / "out")


def test_links_in_circles_and_into_devices_end_nothing(tmp_path):
    source = coco(tmp_path / "in", [IMAGE], [BOX])
    (source / "loop.png").symlink_to("loop.png")
    (source / "zero.png").symlink_to("/dev/zero")
    (source / "back").symlink_to(source)
    (source / "zero.json").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"zero\.json: cannot be read .a device or a pipe"):
        import_dataset("coco", source, tmp_path / "out")
    (source / "zero.json").unlink()
    assert import_dataset("coco", source, tmp_path / "out").images == 1
    (source / "data.yaml").write_text("names: [cow]\n")
    (source / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (source / "b.txt").symlink_to("b.txt")
    assert import_dataset("yolo", source, tmp_path / "out2").hinted == 1


def test_xml_with_entities_is_refused(tmp_path):
    source = tmp_path / "in" / "Annotations"
    source.mkdir(parents=True)
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "lol"}">' for n in range(10))
    (source / "a.xml").write_text(f"<!DOCTYPE x [{bomb}]><annotation>&a9;</annotation>")
    (source / "b.xml").write_text(
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'
    )
    with pytest.raises(DataError, match="defines entities"):
        import_dataset("voc", tmp_path / "in", tmp_path / "out")


# Arrays


def test_hdf5_takes_no_numbers_from_other_files(tmp_path):
    """External storage makes the bytes of any file numbers; links lead into other files."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(64)))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (8, 8), "u1", external=[(str(secret), 0, 64)])
    with pytest.raises(DataError, match="lie in another file"):
        read_plane(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.ilp", "w") as file:
        flow = file.create_group("PixelClassification")
        flow["LabelNames"] = [b"cow"]
        flow["LabelSets"] = h5py.ExternalLink("a.h5", "/")
    with pytest.raises(DataError, match="leads into another file"):
        import_dataset("ilastik", tmp_path / "b.ilp", tmp_path / "out")


def test_arrays_that_claim_terabytes_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**6, 10**6), "u1", chunks=(100, 100), compression="gzip")
    with pytest.raises(DataError, match="too many"):
        read_plane(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.ilp", "w") as file:
        flow = file.create_group("PixelClassification")
        flow["LabelNames"] = [b"cow"]
        block = flow.create_dataset("LabelSets/l0/b0", (10**6, 10**6, 1), "u1", chunks=(9, 9, 1))
        block.attrs["blockSlice"] = "[0:1,0:1,0:1]"
    with pytest.raises(DataError, match="too many"):
        import_dataset("ilastik", tmp_path / "b.ilp", tmp_path / "out")


def test_an_array_that_is_a_pickle_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"[Oo]bject arrays|Array can't be memory-mapped"):
        read_plane(tmp_path / "a.npy")


def test_zarr_unpacks_by_no_codec_that_runs_code(tmp_path):
    """`pickle` is among the codecs that Zarr knows."""
    store = tmp_path / "a.zarr"
    store.mkdir()
    described = {
        "zarr_format": 2, "shape": [2, 2], "chunks": [2, 2], "dtype": "|u1", "fill_value": 0,
        "order": "C", "filters": None, "compressor": {"id": "pickle", "protocol": 5},
    }  # fmt: skip
    (store / ".zarray").write_text(json.dumps(described))
    proof = tmp_path / "proof"
    code = f"cbuiltins\nopen\n(V{proof}\nVw\ntR.".encode()  # a pickle that opens a file
    (store / "0.0").write_bytes(code)
    with pytest.raises(DataError, match=r"damaged|is packed by"):
        read_plane(store)
    assert not proof.exists()


# Runs


@pytest.fixture
def model_folder(tmp_path):
    described = ModelDescription(("a", "b"), backbone=TINY, dim=8, width=8)
    save_model(tmp_path, build_segmenter(described), described)
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 10**9}, {"dim": 8000, "width": 8000}, {"dim": "8"}, {"width": -1}, {"zoom": 1e9},
        {"zoom": None}, {"size": 10**9}, {"size": 0}, {"classes": "ab"}, {"classes": ["a", 3]},
        {"classes": ["a"] * 2}, {"classes": [f"c{n}" for n in range(30_000)]}, {"extra": 3},
        {"backbone": "hf-hub:a/b"}, {"backbone": "local-dir:/tmp"}, {"backbone": 3},
        {"backbone": "vit_giant_patch14_clip_224"}, {"kind": "x"}, {"kind": None}, {"unit": 3},
        {"output_stride": 10**9}, {"background": "a"}, {"background": True}, {"more": 1},
        {"reading": 3}, {"reading": {"intensity": [0, 10**400], "channels": None}},
    ],
    ids=str,
)  # fmt: skip
def test_a_model_that_asks_for_too_much_is_refused_before_it_is_made(model_folder, change):
    file = model_folder / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(HintSegError) as caught:
        load_model(model_folder)
    assert str(model_folder) in str(caught.value)


def test_a_sound_model_is_loaded(model_folder):
    assert load_model(model_folder)[1].classes == ("a", "b")


def test_weights_run_nothing(tmp_path, monkeypatch):
    backbone = Backbone(TINY)
    path = tmp_path / "a.pth"
    path.write_bytes(b"cposix\nsystem\n(Vtouch proof\ntR.")
    with pytest.raises(ConfigError, match="not a file of weights"):
        load_weights(backbone, str(path))
    torch.save(backbone.network.state_dict(), path)
    load_weights(backbone, str(path))
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(ConfigError, match=r"give a \.safetensors file"):
        load_weights(backbone, str(path))


def test_a_header_of_tensors_that_lies_is_refused(model_folder):
    head = json.dumps(
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    ).encode()
    (model_folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(RunError, match=r"model\.safetensors: cannot be loaded"):
        load_model(model_folder)
    (model_folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + head)
    with pytest.raises(RunError, match=r"model\.safetensors: cannot be loaded"):
        load_model(model_folder)
    save_file({"a": torch.zeros(1)}, model_folder / "model.safetensors")
    with pytest.raises(RunError, match="holds 1 numbers"):
        load_model(model_folder)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "a/b", "a\nb"])
def test_a_cell_of_a_comparison_is_never_a_path(tmp_path, name):
    cell = Cell("full", HintChoice("masks"), 0)
    write_plan(tmp_path, Plan("data", "0", (cell,)))
    file = tmp_path / "compare.json"
    content = json.loads(file.read_text())
    for change in (
        {"cells": [{**content["cells"][0], "method": name}]},
        {"cells": [{**content["cells"][0], "hints": {"name": name, "fraction": 1.0}}]},
        {"splits": [name]},
        {"variants": [name]},
    ):
        file.write_text(json.dumps({**content, **change}))
        with pytest.raises(RunError, match=r"compare\.json: damaged"):
            read_plan(tmp_path)


@pytest.mark.parametrize("key", ["size", "zoom", "fixed", "palette", "classes", "reading"])
@pytest.mark.parametrize("value", [-1, 0, 1e400, "x", [], {}, [0, 0], 10**400, [1e9, 1e9]])
def test_what_an_onnx_file_says_of_itself_is_checked(key, value):
    sound = OnnxDescription(ClassSet(("a", "b")), ((0, 0, 0), (9, 9, 9)), 64, 1.0, None).metadata()
    assert OnnxDescription.of_metadata(sound).size == 64
    wrong = {**sound, f"hintseg.{key}": json.dumps(value)}
    if key == "palette" and not value:
        return  # no colours
    with pytest.raises(HintSegError):
        OnnxDescription.of_metadata(wrong)


def test_deep_metadata_of_onnx_are_refused():
    with pytest.raises(RunError):
        OnnxDescription.of_metadata({"hintseg.format": "[" * 100_000})


def test_an_option_without_end_is_refused_in_a_short_line():
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["x" * 10**6])
    assert len(str(caught.value)) < 500


def test_a_full_disc_of_text_in_a_png_is_no_bomb(tmp_path):
    """Packed text of a PNG is unpacked up to a bound only."""
    buffer = io.BytesIO()
    PillowImage.new("L", (4, 4)).save(buffer, "PNG")
    data, text = buffer.getvalue(), b"zTXt" + b"a\0\0" + zlib.compress(bytes(2**27))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(DataError, match=r"a\.png: .*(large|text|damaged)"):
        read_image(tmp_path / "a.png")


def test_the_command_line_says_one_line_for_a_hostile_folder(data_folder):
    (data_folder / "dataset.yaml").write_text("classes: &a [*a]\n")
    done = subprocess.run(
        [sys.executable, "-m", "hintseg", "train", str(data_folder), "--out", "x"],
        capture_output=True, text=True, check=False, cwd=data_folder,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("hintseg: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
