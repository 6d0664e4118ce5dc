"""`hintseg demo`: the whole chain on photo scenes, from hints to a report."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from hintseg.data.dataset import Dataset, open_dataset
from hintseg.data.scenes import write_scenes
from hintseg.data.simulated import KINDS, simulate_dataset
from hintseg.errors import DataError
from hintseg.evaluate import evaluate_source
from hintseg.files import write_json
from hintseg.images import write_png
from hintseg.label_maps import overlay, read_label_map
from hintseg.predict.files import predict_files
from hintseg.predict.predictor import load
from hintseg.report.pictures import hint_picture
from hintseg.structures import VOID
from hintseg.training import train

TRAIN, VAL, TEST = 96, 16, 32
STEPS, CROP = 300, 128
SHOWN = 4  # scenes in the picture


def run_demo(out: Path, *, seed: int, say: Callable[[str], None]) -> float:
    """Make scenes, draw hints, train, evaluate on held-out scenes and report; returns the mIoU.

    Raises:
        DataError: `out` has content already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists already; choose another --out or delete it")
    say(
        f"1. photo scenes: {TRAIN} to train on, {VAL} to watch, {TEST} held out -> {out / 'scenes'}"
    )
    write_scenes(out / "scenes", train=TRAIN, val=VAL, test=TEST, seed=seed)
    say(f"2. hints as a person would draw them, on the train scenes -> {out / 'data'}")
    kinds = [kind for kind in KINDS if kind in ("points", "scribbles")]
    simulate_dataset(open_dataset(out / "scenes"), out / "data", kinds=kinds, mix=True, seed=seed)
    dataset = open_dataset(out / "data")
    say(f"3. training on the hinted pixels alone, {STEPS} steps on the CPU -> {out / 'run'}")
    settings = {"train": {"steps": STEPS, "crop": CROP, "seed": seed, "device": "cpu"}}
    train(dataset, out / "run", method="partial", settings=settings)
    say(f"4. masks of the held-out scenes -> {out / 'masks'}")
    names = dataset.names("test")
    images = {name: dataset.images[name] for name in names}
    predict_files(load(out / "run"), images, out / "masks", flip=True, overlays=True)
    figures = evaluate_source(out / "masks", dataset, split="test", trimaps=[3])
    write_json(out / "test.json", figures)
    _draw(dataset, out)
    miou = float(figures["miou"])
    say(f"mIoU on {TEST} held-out scenes: {100 * miou:.1f} %")
    say(f"look at {out / 'demo.png'} and {out / 'run' / 'report.html'}")
    return miou


def _draw(dataset: Dataset, out: Path) -> None:
    """One picture: hinted train scenes above, held-out scenes, their masks and overlays below."""
    hinted = [
        hint_picture(dataset.image(name), dataset.hints(name), dataset.classes)
        for name in dataset.names("train")[:SHOWN]
    ]
    held_out = dataset.names("test")[:SHOWN]
    images = [dataset.image(name) for name in held_out]
    count = len(dataset.classes)
    masks = [
        read_label_map(out / "masks" / f"{name}.png", classes=count, undeclared=VOID)
        for name in held_out
    ]
    rows = [hinted, images, [overlay(i, m) for i, m in zip(images, masks, strict=True)]]
    write_png(out / "demo.png", PillowImage.fromarray(np.vstack([np.hstack(row) for row in rows])))
