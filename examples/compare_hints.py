"""How much does each kind of hint give? Simulate, train and evaluate each, in Python.

    python examples/compare_hints.py FOLDER [STEPS]

FOLDER is a data set with masks and splits train and val, such as `demo/scenes` after `make demo`.
"""

import sys
import tempfile
from pathlib import Path

import hintseg

dataset = hintseg.open_dataset(sys.argv[1])
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 100

with tempfile.TemporaryDirectory() as name:
    for kind in ("points", "scribbles"):
        hinted = Path(name) / kind
        hintseg.simulate_dataset(dataset, hinted, kinds=[kind], seed=0)
        settings = {"train": {"steps": steps, "crop": 128}}
        run = hintseg.train(hinted, Path(name) / f"{kind}-run", method="partial", settings=settings)
        figures = hintseg.evaluate(run, dataset, split="val")
        print(f"{kind}: mIoU {100 * figures.miou:.1f} %")
