"""What `benchmarks/fuzz.py` reads: a valid sample of every kind of file, and the reader of each.

A target gets a folder with its own valid files, of which some are overwritten by hostile ones.
"""

import base64
import io
import json
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from fuzz_inputs import TEXTS, in_bytes, mutated
from PIL import Image as PillowImage

TESTS = Path(__file__).parents[1] / "tests"
SIZE = (40, 56)  # of the images of the drawn data set


@dataclass(frozen=True)
class Target:
    """One reader."""

    make: Callable[[Path], None]  # writes the valid files into an empty folder
    files: Mapping[str, str]  # pattern of those that become hostile -> kind
    read: Callable[[Path], object]
    keeps: bool = False  # the reader writes beside the files: they are made anew each time


def targets() -> dict[str, Target]:
    """All of them by name."""
    sys.path[:0] = [str(TESTS), str(TESTS / "contracts")]
    found = _small() | _pictures() | _runs() | _folders() | _server()
    import sources  # noqa: PLC0415 - of the tests

    for name in sources.WRITERS:
        found[f"import {name}"] = _import(name, sources.write_source)
        found[f"import {name} (zip)"] = _import_zip(name, sources.write_source)
    return found


def hostile(target: Target, valid: Path, folder: Path, rng: random.Random) -> None:
    """Copy the valid files of a target to a folder, one or two of them changed."""
    shutil.copytree(valid, folder, symlinks=True)
    chosen = [
        (path, kind)
        for pattern, kind in target.files.items()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    ]
    for path, kind in rng.sample(chosen, min(len(chosen), rng.choice((1, 1, 1, 2)))):
        path.write_bytes(mutated(path.read_bytes(), kind, rng))


def _small() -> dict[str, Target]:
    """Readers of one text."""
    return {
        "labelme": Target(_labelme, {"hints/field.json": "json"}, _read_labelme),
        "bitmap in a file of hints": Target(_bitmap, {"mask": "png"}, _read_bitmap),
        "classes": Target(_classes, {"classes.*": "yaml"}, _read_classes),
        "config.yaml": Target(_config, {"config.yaml": "yaml"}, _read_config),
        "set option": Target(_override, {"text": "yaml"}, _read_override),
        "rle": Target(_rle, {"rle.json": "json"}, _read_rle),
        "onnx metadata": Target(_onnx_metadata, {"metadata.json": "json"}, _read_onnx_metadata),
    }


def _pictures() -> dict[str, Target]:
    every = {"*.png": "png", "*.jpg": "bytes", "*.gif": "bytes", "*.bmp": "bytes"}
    every |= {"*.webp": "bytes"}
    return {
        "photograph": Target(_photographs, every, _read_photographs),
        "TIFF": Target(_tiffs, {"*.tif": "bytes"}, _read_photographs),
        "label map": Target(_label_maps, {"*.png": "png", "*.tif": "bytes"}, _read_label_maps),
        "array": Target(_arrays, {"*.npy": "bytes", "*.h5": "bytes"}, _read_arrays),
    }


def _runs() -> dict[str, Target]:
    return {
        "model": Target(
            _model, {"model.json": "json", "*.safetensors": "bytes"}, _read_model, keeps=True
        ),
        "checkpoint": Target(_checkpoint, {"checkpoint.safetensors": "bytes"}, _read_checkpoint),
        "prototypes": Target(_prototypes, {"prototypes.safetensors": "bytes"}, _read_prototypes),
        "weights": Target(_weights, {"weights.*": "bytes"}, _read_weights),
        "records of a run": Target(
            _run,
            {"run.json": "json", "*.yaml": "yaml", "log.jsonl": "text", "*/*.json": "json"},
            _read_run,
            keeps=True,
        ),
        "predictions": Target(
            _predictions, {"predict.json": "json", "*.png": "png"}, _read_predictions, keeps=True
        ),
        "comparison": Target(
            _comparison, {"compare.json": "json", "cells/*/*.json": "json"}, _read_comparison, True
        ),
    }


def _folders() -> dict[str, Target]:
    return {
        "dataset.yaml": Target(_drawn, {"dataset.yaml": "yaml", "splits/*": "text"}, _read_dataset),
        "check": Target(
            _drawn,
            {"dataset.yaml": "yaml", "hints/*.json": "json", "*/*.png": "png", "splits/*": "text"},
            _check,
            keeps=True,
        ),
    }


def _drawn(folder: Path) -> None:
    from conftest import draw_data  # noqa: PLC0415 - of the tests

    draw_data(folder)


def _labelme(folder: Path) -> None:
    from conftest import draw_mask, write_hints  # noqa: PLC0415 - of the tests

    write_hints(folder / "hints" / "field.json", draw_mask(np.random.default_rng(0)))


def _read_labelme(folder: Path) -> None:
    from hintseg.hints.labelme import (  # noqa: PLC0415
        labelme_problems,
        labelme_warnings,
        read_labelme,
        write_labelme,
    )
    from hintseg.hints.raster import rasterize  # noqa: PLC0415
    from hintseg.structures import ClassSet  # noqa: PLC0415

    classes, path = ClassSet(("grass", "cow", "sky")), folder / "hints" / "field.json"
    problems = labelme_problems(path, classes, SIZE)
    labelme_warnings(path, classes, SIZE)
    hints, _ = read_labelme(path, classes)
    if not problems:
        rasterize(hints, SIZE, classes)
        again = folder / "again.json"
        write_labelme(again, hints, classes, image_path="a.png", size=SIZE)
        assert read_labelme(again, classes)[0] == hints, "read, written and read again: another"


def _bitmap(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    PillowImage.fromarray(rng.random((9, 7)) > 0.5).save(folder / "mask", format="PNG")


def _read_bitmap(folder: Path) -> None:
    from hintseg.hints.figures import read_bitmap  # noqa: PLC0415

    read_bitmap(base64.b64encode((folder / "mask").read_bytes()).decode())


def _classes(folder: Path) -> None:
    folder.mkdir()
    (folder / "classes.txt").write_text("cow: 128,0,0\ngrass\n# none\nsky=Himmel|ciel\n")
    (folder / "classes.yaml").write_text("names: {0: cow, 1: grass}\n")


def _read_classes(folder: Path) -> None:
    from hintseg.export.sources import read_classes  # noqa: PLC0415
    from hintseg.formats.classes import parse_classes  # noqa: PLC0415

    for name in ("classes.txt", "classes.yaml"):
        _each(lambda path=folder / name: parse_classes(str(path)))
        _each(lambda path=folder / name: read_classes(str(path)))


def _config(folder: Path) -> None:
    import yaml  # noqa: PLC0415

    from hintseg.methods.config import make_config  # noqa: PLC0415

    folder.mkdir()
    text = yaml.safe_dump(make_config("spml", "data").dump())
    (folder / "config.yaml").write_text(text)


def _read_config(folder: Path) -> None:
    from hintseg.methods.config import label_options, make_config, read_sections  # noqa: PLC0415

    _each(lambda: label_options(folder))
    method, sections = read_sections(folder / "config.yaml")
    make_config(method or "spml", "data", sections=sections)


def _override(folder: Path) -> None:
    folder.mkdir()
    (folder / "text").write_text("train.lr=0.01")


def _read_override(folder: Path) -> None:
    from hintseg.methods.config import make_config  # noqa: PLC0415
    from hintseg.methods.settings import parse_overrides  # noqa: PLC0415

    text = (folder / "text").read_bytes().decode("utf-8", "surrogateescape")
    make_config("spml", "data", sections=parse_overrides([text]))


def _rle(folder: Path) -> None:
    folder.mkdir()
    content = {"coco": "52203", "size": [3, 2], "counts": [1, 2, 3], "brush": [0, 0, 0, 16, 57]}
    (folder / "rle.json").write_text(json.dumps(content))


def _read_rle(folder: Path) -> None:
    from hintseg.formats.rle import brush_bitmap, coco_bitmap, row_bitmap  # noqa: PLC0415

    found = _object(folder / "rle.json")
    text, size = found.get("coco"), found.get("size")
    if isinstance(text, str):
        _each(lambda: coco_bitmap({"counts": text, "size": [3, 2]}, (3, 2)))
    _each(lambda: coco_bitmap({"counts": found.get("counts"), "size": size}, (3, 2)))
    if isinstance(found.get("counts"), list):
        _each(lambda: row_bitmap(found["counts"], (3, 2)))
    if isinstance(found.get("brush"), list):
        _each(lambda: brush_bitmap(found["brush"], (2, 2)))


def _onnx_metadata(folder: Path) -> None:
    from hintseg.predict.onnx_model import OnnxDescription  # noqa: PLC0415
    from hintseg.structures import ClassSet  # noqa: PLC0415

    folder.mkdir()
    made = OnnxDescription(ClassSet(("a", "b")), ((0, 0, 0), (9, 9, 9)), 64, 1.0, None)
    values = {key: json.loads(text) for key, text in made.metadata().items()}
    (folder / "metadata.json").write_text(json.dumps(values))


def _read_onnx_metadata(folder: Path) -> None:
    from hintseg.predict.onnx_model import OnnxDescription  # noqa: PLC0415

    content = _object(folder / "metadata.json")
    OnnxDescription.of_metadata({key: json.dumps(value) for key, value in content.items()})


def _image(mode: str = "RGB") -> PillowImage.Image:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)
    return PillowImage.fromarray(whole).convert(mode)


def _photographs(folder: Path) -> None:
    folder.mkdir()
    exif = PillowImage.Exif()
    exif[274] = 6
    for mode, ending in (("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("1", "png"), ("L", "jpg")):
        _image(mode).save(folder / f"{mode}.{ending}")
    _image().save(folder / "turned.jpg", exif=exif)
    _image().save(folder / "turned.png", exif=exif)
    PillowImage.fromarray(np.arange(480, dtype=np.uint16).reshape(20, 24)).save(folder / "deep.png")
    _image("P").save(folder / "a.gif")
    _image().save(folder / "a.bmp")
    _image().save(folder / "a.webp")


def _tiffs(folder: Path) -> None:
    import tifffile  # noqa: PLC0415

    folder.mkdir()
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 4096, (20, 24), dtype=np.uint16)
    tifffile.imwrite(folder / "deep.tif", deep)
    tifffile.imwrite(folder / "float.tif", deep.astype(np.float32))
    tifffile.imwrite(folder / "channels.tif", np.stack([deep] * 4), photometric="minisblack")
    tifffile.imwrite(folder / "zipped.tif", deep, compression="zlib", tile=(16, 16))
    for mode in ("RGB", "P", "1", "CMYK"):
        _image(mode).save(folder / f"{mode}.tif", compression="tiff_lzw")


def _read_photographs(folder: Path) -> None:
    from hintseg.images.photographs import (  # noqa: PLC0415
        checked_image,
        image_orientation,
        image_size,
        intensities,
        is_deep,
        note_in,
        read_image,
    )

    for path in sorted(folder.iterdir()):
        for read in (read_image, image_size, image_orientation, checked_image, is_deep, note_in):
            _each(lambda read=read, path=path: read(path))
        _each(lambda path=path: intensities(path, None, 100))


def _label_maps(folder: Path) -> None:
    from hintseg.images.label_maps import write_label_map  # noqa: PLC0415

    folder.mkdir()
    labels = np.random.default_rng(0).integers(-1, 3, (20, 24)).astype(np.int16)
    write_label_map(folder / "map.png", labels, classes=3)
    write_label_map(folder / "deep.png", labels, classes=300)
    for mode in ("L", "1", "RGB", "RGBA"):
        _image(mode).save(folder / f"{mode}.png")
    for mode in ("P", "LAB", "CMYK"):
        _image("RGB" if mode == "LAB" else mode).save(folder / f"{mode}.tif")


def _read_label_maps(folder: Path) -> None:
    from hintseg.images.grey import read_grey  # noqa: PLC0415
    from hintseg.images.label_maps import (  # noqa: PLC0415
        Coding,
        has_class_palette,
        indexed_colours,
        kind_of_map,
        read_colours,
        read_label_map,
        read_values,
    )
    from hintseg.regions.files import load_regions, read_edges, read_regions  # noqa: PLC0415

    coded = Coding({0: 0, 255: 1}, {(0, 0, 0): 0, (128, 0, 0): 1})
    for path in sorted(folder.iterdir()):
        _each(lambda path=path: read_label_map(path, classes=3, undeclared=-1))
        _each(lambda path=path: read_label_map(path, classes=3, undeclared=-1, coding=coded))
        for read in (read_values, read_colours, kind_of_map, indexed_colours, read_grey):
            _each(lambda read=read, path=path: read(path))
        _each(lambda path=path: has_class_palette(path, classes=3))
        _each(lambda path=path: read_edges(path, (20, 24)))
        _each(lambda path=path: read_regions(path, (20, 24)))
        _each(lambda path=path: load_regions(path.parent, path.stem))


def _arrays(folder: Path) -> None:
    import h5py  # noqa: PLC0415

    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 3, (20, 24))
    np.save(folder / "a.npy", values.astype(np.uint8))
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("x/labels", data=values, chunks=(10, 12), compression="gzip")


def _read_arrays(folder: Path) -> None:
    from hintseg.formats.arrays import read_plane  # noqa: PLC0415

    for path in sorted(folder.iterdir()):
        _each(lambda path=path: read_plane(path))


def _tiny_model():
    import torch  # noqa: PLC0415

    from hintseg.models.saved import ModelDescription, build_segmenter  # noqa: PLC0415

    torch.manual_seed(0)
    described = ModelDescription(("grass", "cow", "sky"), backbone="test_efficientnet", dim=8)
    return build_segmenter(described), described


def _model(folder: Path) -> None:
    from hintseg.models.saved import save_model  # noqa: PLC0415

    folder.mkdir()
    save_model(folder, *_tiny_model())


def _read_model(folder: Path) -> None:
    from hintseg.predict.predictor import load  # noqa: PLC0415

    predictor = load(folder)
    predictor.predict(np.zeros((32, 32, 3), np.uint8))


def _optimizer(model):
    import torch  # noqa: PLC0415

    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def _checkpoint(folder: Path) -> None:
    import torch  # noqa: PLC0415

    from hintseg.engine.checkpoint import TrainingState, save_checkpoint  # noqa: PLC0415

    folder.mkdir()
    model = torch.nn.Linear(3, 2)
    optimizer = _optimizer(model)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    memory = {"bank": torch.ones(4)}
    path = folder / "checkpoint.safetensors"
    save_checkpoint(path, model, optimizer, TrainingState(3, 2, 0.5), memory)


def _read_checkpoint(folder: Path) -> None:
    import torch  # noqa: PLC0415

    from hintseg.engine.checkpoint import load_checkpoint  # noqa: PLC0415

    model = torch.nn.Linear(3, 2)
    state, _ = load_checkpoint(folder / "checkpoint.safetensors", model, _optimizer(model))
    assert isinstance(state.step, int), f"step {state.step!r}"
    assert state.step >= 0, f"step {state.step!r}"


def _prototypes(folder: Path) -> None:
    from hintseg.predict.retrieval.index import PrototypeIndex, save_prototypes  # noqa: PLC0415

    folder.mkdir()
    vectors = np.eye(4, 8, dtype=np.float32)
    whole = np.zeros(4, np.int32)
    index = PrototypeIndex(vectors, whole, whole, np.zeros((4, 4), np.int32), ("field",))
    save_prototypes(folder, index)


def _read_prototypes(folder: Path) -> None:
    from hintseg.predict.retrieval.index import read_prototypes  # noqa: PLC0415

    index = read_prototypes(folder)
    index.nearest(np.eye(1, index.vectors.shape[1], dtype=np.float32), 2)


def _weights(folder: Path) -> None:
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    folder.mkdir()
    state = _tiny_model()[0].embedder.backbone.network.state_dict()
    save_file(
        {key: value.contiguous() for key, value in state.items()}, folder / "weights.safetensors"
    )
    torch.save(state, folder / "weights.pth")


def _read_weights(folder: Path) -> None:
    from hintseg.models.backbone import load_weights  # noqa: PLC0415

    backbone = _tiny_model()[0].embedder.backbone
    for path in sorted(folder.iterdir()):
        _each(lambda path=path: load_weights(backbone, str(path)))


def _run(folder: Path) -> None:
    _config(folder)
    (folder / "train").mkdir()
    (folder / "train" / "manifest.json").write_text('{"stage": "train", "seconds": 1.0}')
    facts = {"method": "spml", "data": {"path": "x", "sha256": "0"}, "hints": ["tags"], "seed": 0}
    (folder / "run.json").write_text(json.dumps(facts))
    lines = [
        {"stage": "train", "step": step, "loss": 1.0, "losses": {"a": 0.5, "b": 0.5}, "lr": 0.1}
        | ({"val": {"miou": 0.5, "pixel_accuracy": 0.5}} if step % 2 else {})
        for step in range(4)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _read_run(folder: Path) -> None:
    from hintseg.data.dataset import Dataset  # noqa: PLC0415
    from hintseg.engine.run import Run  # noqa: PLC0415
    from hintseg.methods.config import label_options  # noqa: PLC0415
    from hintseg.report.run_page import write_report  # noqa: PLC0415
    from hintseg.structures import ClassSet  # noqa: PLC0415
    from hintseg.training import check_unchanged  # noqa: PLC0415

    run = Run(folder)
    data = Dataset(folder, ClassSet(("a",)), {}, folder, folder, folder)
    _each(lambda: write_report(run, classes=ClassSet(("a", "b"))))
    _each(lambda: label_options(folder))
    _each(lambda: check_unchanged(folder, data))
    _each(lambda: run.record({"a": 1}))
    _each(lambda: run.rewind_log("train", 2))


def _predictions(folder: Path) -> None:
    folder.mkdir()
    record = {"classes": ["grass", "cow", "sky"], "background": None, "scales": [1.0]}
    (folder / "predict.json").write_text(json.dumps(record))
    labels = np.random.default_rng(0).integers(0, 3, (20, 24)).astype(np.uint8)
    PillowImage.fromarray(labels).save(folder / "a.png")


def _read_predictions(folder: Path) -> None:
    from hintseg.export.exporting import export_labels  # noqa: PLC0415

    for name in ("coco", "masks", "labelme", "geojson"):
        with suppress(TypeError):
            _each(lambda name=name: export_labels(name, folder, folder.parent / f"out-{name}"))


def _comparison(folder: Path) -> None:
    from safetensors.numpy import save_file  # noqa: PLC0415

    from hintseg.compare.choices import HintChoice  # noqa: PLC0415
    from hintseg.compare.plan import Cell, Plan, write_plan  # noqa: PLC0415

    folder.mkdir()
    cells = (Cell("full", HintChoice("masks"), 0), Cell("spml", HintChoice("points"), 0))
    write_plan(folder, Plan("data", "0", cells))
    for cell in cells:
        place = folder / "cells" / cell.name
        (place / "figures").mkdir(parents=True)
        record = {"cell": cell.name, "seconds": 3.0, "memory": {"peak_mb": 3}, "versions": {}}
        record |= {"commands": ["a"], "init": {"weights": "x"}, "work": {"points": 3}}
        (place / "cell.json").write_text(json.dumps(record))
        figures = {"miou": 0.5, "pixel_accuracy": 0.6, "per_class": {"cow": 0.5, "sky": None}}
        for split in ("test", "val"):
            (place / "figures" / f"{split}-plain.json").write_text(json.dumps(figures))
            counts = {"counts": np.ones((40, 3, 2), np.int64)}
            save_file(counts, place / "figures" / f"{split}-plain.safetensors")


def _read_comparison(folder: Path) -> None:
    from hintseg.compare.collecting import collect  # noqa: PLC0415
    from hintseg.compare.plan import read_plan  # noqa: PLC0415

    collect(folder, read_plan(folder), seconds={})


def _read_dataset(folder: Path) -> None:
    from hintseg.data.dataset import open_dataset  # noqa: PLC0415
    from hintseg.data.simulated import simulate_dataset  # noqa: PLC0415

    dataset = open_dataset(folder)
    for split in dataset.splits:
        _each(lambda split=split: dataset.names(split))
    for name in list(dataset.images)[:2]:
        _each(lambda name=name: dataset.image(name))
        _each(lambda name=name: dataset.hints(name))
        _each(lambda name=name: dataset.truth(name))
    _each(lambda: dataset.digest)
    _each(lambda: simulate_dataset(dataset, folder.parent / "out", kinds=["points"]))


def _check(folder: Path) -> None:
    from rich.console import Console  # noqa: PLC0415

    from hintseg.data.check.checking import check  # noqa: PLC0415
    from hintseg.report.check_page import write_check_page  # noqa: PLC0415
    from hintseg.report.tables import print_check  # noqa: PLC0415

    result = check(folder)
    print_check(result, Console(file=io.StringIO()))
    write_check_page(result, folder / "check.html")


def _import(name: str, write: Callable) -> Target:
    def make(folder: Path) -> None:
        write(name, folder)
        for odd in TEXTS[:12]:
            with suppress(OSError, ValueError):
                if "/" not in odd and odd.strip():
                    shutil.copyfile(folder / "images" / "b.png", folder / "images" / f"{odd}.png")

    def read(folder: Path) -> None:
        from rich.console import Console  # noqa: PLC0415

        from hintseg.formats.importing import import_dataset  # noqa: PLC0415
        from hintseg.report.tables import print_import  # noqa: PLC0415

        result = import_dataset(name, folder, folder.parent / "out")
        print_import(result, Console(file=io.StringIO()))

    kinds = {"**/*.json": "json", "**/*.xml": "text", "**/*.txt": "text", "**/*.csv": "text"}
    kinds |= {"**/*.yaml": "yaml", "**/*.ilp": "bytes", "**/*.npy": "bytes", "**/*.tif": "bytes"}
    kinds |= {"masks/**/*.png": "png", "labels/**/*.png": "png"}
    return Target(make, kinds, read)


def _import_zip(name: str, write: Callable) -> Target:
    def make(folder: Path) -> None:
        folder.mkdir()
        with TemporaryDirectory() as place:
            write(name, Path(place) / "source")
            with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted((Path(place) / "source").rglob("*")):
                    archive.write(path, path.relative_to(Path(place) / "source"))

    def read(folder: Path) -> None:
        from hintseg.formats.importing import import_dataset  # noqa: PLC0415

        import_dataset(name, folder / "a.zip", folder.parent / "out")

    return Target(make, {"a.zip": "zip"}, read, keeps=True)


def _server() -> dict[str, Target]:
    return {
        "studio": Target(
            _requests,
            {"body.json": "json", "query.json": "json", "data/*/f*.json": "json"},
            _ask,
            keeps=True,
        )
    }


def _requests(folder: Path) -> None:
    folder.mkdir()
    _drawn(folder / "data")
    body = {
        "shapes": [{"label": "cow", "points": [[10.0, 12.0]], "shape_type": "point"}],
        "flags": {"sky": True},
        "done": True,
        "name": "tree",
        "method": "spml",
        "steps": 5,
    }
    (folder / "body.json").write_text(json.dumps(body))
    query = {"name": "field", "x": "3", "y": "4", "what": "model", "side": "30", "level": "0"}
    query |= {"row": "0", "column": "0", "token": "x"}
    headers = {"if-match": "none", "content-length": "3", "origin": "http://127.0.0.1:8765"}
    headers |= {"host": "127.0.0.1:8765", "cookie": "a=b", "authorization": "Bearer x"}
    (folder / "query.json").write_text(json.dumps({"query": query, "headers": headers}))


def _ask(folder: Path) -> None:
    from starlette.testclient import TestClient  # noqa: PLC0415

    from hintseg.studio.guard import Door  # noqa: PLC0415
    from hintseg.studio.server import build_app  # noqa: PLC0415
    from hintseg.studio.session import Session  # noqa: PLC0415

    session = Session(folder / "data")
    session.trainer.start = lambda *_, **__: None
    client = TestClient(
        build_app(session, Door()), base_url="http://127.0.0.1:8765", headers={"x-hintseg": "1"}
    )
    body, asked = (folder / "body.json").read_bytes(), _object(folder / "query.json")
    query = _texts(asked.get("query"))
    headers = {k: v for k, v in _texts(asked.get("headers")).items() if _is_header(k, v)}
    routes = [("PUT", "hints"), ("POST", "classes"), ("POST", "train/start"), ("POST", "train/x")]
    routes += [("GET", name) for name in ("facts", "images", "image", "picture", "tile", "thumb")]
    for method, route in routes:
        given = (
            headers
            if route != "hints" or "field" not in query.values()
            else {**headers, "if-match": session.read("field").version}
        )
        answer = client.request(
            method,
            f"/api/{route}",
            params=query,
            content=body if method != "GET" else None,
            headers=given,
        )
        answer.json() if answer.headers.get("content-type", "").endswith("json") else None


def _texts(value: object) -> dict[str, str]:
    found = value if isinstance(value, dict) else {}
    return {
        str(k).encode("utf-8", "replace").decode(): str(v).encode("utf-8", "replace").decode()
        for k, v in found.items()
    }


def _is_header(name: str, value: str) -> bool:
    with suppress(ValueError):
        value.encode("latin-1")
        return name.isascii() and name.replace("-", "").isalpha() and not {*value} & {*"\r\n\0"}
    return False


def _object(path: Path) -> dict:
    """A JSON object; empty for anything else."""
    with suppress(ValueError, RecursionError):
        content = json.loads(path.read_bytes())
        return content if isinstance(content, dict) else {}
    return {}


def _each(read: Callable[[], object]) -> None:
    """A refusal does not keep the others from being asked."""
    from hintseg.errors import HintSegError  # noqa: PLC0415

    try:
        read()
    except HintSegError as error:
        refused(error)


def refused(error: Exception) -> None:
    """What a refusal has to be: a message of a few lines."""
    text = str(error)
    assert text.strip(), f"{type(error).__name__} without a word"
    assert len(text) < 3000, f"a message of {len(text)} letters: {text[:80]}"


__all__ = ["Target", "hostile", "in_bytes", "refused", "targets"]
