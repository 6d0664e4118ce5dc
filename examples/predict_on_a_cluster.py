"""Predict by a Dask cluster: each task is a share of the images, done again where a worker fails.

python examples/predict_on_a_cluster.py RUN PHOTOS OUT [--shares 100] [--scheduler tcp://HOST:8786]

Run, photographs and OUT are on a disk that all workers see. With Ray, `ray.remote(predict)` and
`ray.get` take the place of `client.map` and `as_completed`.
"""

import argparse
from pathlib import Path

from dask.distributed import Client, as_completed

from hintseg.predict.folders.inputs import find_inputs
from hintseg.predict.folders.photographs import predict_files
from hintseg.predict.predictor import load
from hintseg.shares import Share


def predict(index: int, count: int, run: str, photos: str, out: Path) -> tuple[int, int, int]:
    """One share; what is there already is not done again."""
    outcome = predict_files(load(run), find_inputs([photos]).images, out, share=Share(index, count))
    return len(outcome.written), len(outcome.skipped), len(outcome.failed)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("places", nargs=3, metavar="PLACE", help="run, photographs, output")
    words.add_argument("--shares", type=int, default=100)
    words.add_argument("--scheduler", help="address of a cluster; default: this machine")
    given = words.parse_args()
    run, photos, out = given.places
    with Client(given.scheduler) as client:
        tasks = [
            client.submit(predict, index, given.shares, run, photos, Path(out))
            for index in range(given.shares)
        ]
        done = [task.result() for task in as_completed(tasks)]
    print("written, there before, failed:", *map(sum, zip(*done, strict=True)))
