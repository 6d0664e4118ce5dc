"""From a folder of images and hints to a model and a mask, in Python.

    python examples/train_from_hints.py FOLDER IMAGE [STEPS]

FOLDER is a data set (docs/data.md), such as `demo/data` after `make demo`; IMAGE is any photograph.
Writes runs/example and mask.png.
"""

import sys
from pathlib import Path

import hintseg
from hintseg.images.label_maps import write_label_map

folder, image = sys.argv[1:3]
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 100
dataset = hintseg.open_dataset(folder)
print(f"{len(dataset.images)} images, classes: {', '.join(dataset.classes.names)}")

settings = {"train": {"steps": steps, "crop": 128}}
run = hintseg.train(dataset, "runs/example", method="partial", settings=settings)

prediction = hintseg.load(run).predict(image, flip=True)
write_label_map(Path("mask.png"), prediction.labels, classes=len(prediction.classes))
for index, name in enumerate(prediction.classes):
    print(f"{name}: {100 * (prediction.labels == index).mean():.1f} % of the image")
