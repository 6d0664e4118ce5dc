"""`hintseg demo`: the whole chain on photo scenes, from hints to a report."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from hintseg.data.dataset import Dataset, open_dataset
from hintseg.data.scenes.composing import write_scenes
from hintseg.data.simulated import KINDS, simulate_dataset
from hintseg.data.writer import refuse_content
from hintseg.evaluation import Figures, evaluate
from hintseg.files import write_json
from hintseg.images.label_maps import overlay, read_label_map
from hintseg.images.photographs import write_png
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.options import PredictOptions
from hintseg.predict.predictor import load
from hintseg.report.pictures import hint_picture
from hintseg.structures import VOID
from hintseg.training import train

TRAIN, VAL, TEST = 96, 16, 32
STEPS, CROP = 120, 128
METHODS = {"partial": "the hinted pixels alone", "spml": "all pixels, by four relations"}
SHOWN = 4  # scenes in the picture


def run_demo(out: Path, *, seed: int, say: Callable[[str], None]) -> float:
    """Make scenes, draw hints, train two methods, evaluate on held-out scenes and report.

    Returns the mIoU of `spml`, the second method; `partial`, the first, is what it is held against.

    Raises:
        DataError: `out` has content already.
    """
    refuse_content(out)
    dataset = _hinted_scenes(out, seed, say)
    figures = {}
    for place, (method, learns_from) in enumerate(METHODS.items(), 3):
        folder = out / method
        say(f"{place}. {method}: {STEPS} steps on {learns_from} -> {folder / 'run'}")
        settings = {"train": {"steps": STEPS, "crop": CROP, "seed": seed, "device": "cpu"}}
        train(dataset, folder / "run", method=method, settings=settings)
        figures[method] = _held_out(dataset, folder)
    records = {method: found.record() for method, found in figures.items()}
    write_json(out / "test.json", records)
    _draw(dataset, out)
    scores = {method: found.miou or 0.0 for method, found in figures.items()}
    told = ", ".join(f"{method} {100 * score:.1f} %" for method, score in scores.items())
    say(f"mIoU on {TEST} held-out scenes: {told}")
    say(f"look at {out / 'demo.png'} and {out / 'spml' / 'run' / 'report.html'}")
    return scores["spml"]


def _hinted_scenes(out: Path, seed: int, say: Callable[[str], None]) -> Dataset:
    """Scenes with masks in OUT/scenes; the same with hints on the train scenes in OUT/data."""
    sizes = f"{TRAIN} to train on, {VAL} to watch, {TEST} held out"
    say(f"1. photo scenes: {sizes} -> {out / 'scenes'}")
    write_scenes(out / "scenes", train=TRAIN, val=VAL, test=TEST, seed=seed)
    say(f"2. hints as a person would draw them, on the train scenes -> {out / 'data'}")
    kinds = [kind for kind in KINDS if kind in ("points", "scribbles")]
    simulate_dataset(open_dataset(out / "scenes"), out / "data", kinds=kinds, mix=True, seed=seed)
    return open_dataset(out / "data")


def _held_out(dataset: Dataset, folder: Path) -> Figures:
    """Masks of the held-out scenes by the model in FOLDER/run, in FOLDER/masks; their figures."""
    images = {name: dataset.images[name] for name in dataset.names("test")}
    options = PredictOptions(flip=True)
    predict_files(load(folder / "run"), images, folder / "masks", options=options, overlays=True)
    return evaluate(folder / "masks", dataset, split="test", trimaps=[3])


def _draw(dataset: Dataset, out: Path) -> None:
    """One picture: hinted train scenes; held-out scenes; what each method makes of these."""
    hinted = [
        hint_picture(dataset.image(name), dataset.hints(name), dataset.classes)
        for name in dataset.names("train")[:SHOWN]
    ]
    held_out = dataset.names("test")[:SHOWN]
    images = [dataset.image(name) for name in held_out]
    count = len(dataset.classes)
    rows = [hinted, images]
    for method in METHODS:
        files = [out / method / "masks" / f"{name}.png" for name in held_out]
        masks = [read_label_map(file, classes=count, undeclared=VOID) for file in files]
        rows.append([overlay(i, m) for i, m in zip(images, masks, strict=True)])
    write_png(out / "demo.png", PillowImage.fromarray(np.vstack([np.hstack(row) for row in rows])))
