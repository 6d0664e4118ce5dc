"""Photographs a second and file size of a run as ONNX, against torch on the CPU.

    python benchmarks/onnx_speed.py RUN IMAGES... [--rounds 5] [--most 20] [--json FILE]

Exports the run (its check included), reads the photographs once, and then lets torch and ONNX
Runtime label all of them in turns, so that whatever else the machine does meets both. A figure is
the median of the rounds. Both give label maps at the photographs' own resolution, with as many
threads (OMP_NUM_THREADS). "Scores" has the graph enlarge all scores, as another program would.

(Not `onnx.py`: a script's folder comes first where modules are looked up.)
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from hintseg.cores import threads_of_rank, use_cores


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    use_cores()
    figures = measured(options.run, options.images, options.rounds, options.most)
    text = json.dumps(figures, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)


def measured(run, images, rounds, most):
    """The figures of one run."""
    from hintseg import load
    from hintseg.export.onnx import OnnxOptions, export_onnx
    from hintseg.predict.folders.inputs import find_inputs
    from hintseg.predict.onnx_model import OnnxPredictor

    predictor = load(run)
    pixels = [predictor.read(file) for file in list(find_inputs(images).images.values())[:most]]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = export_onnx(run, Path(folder) / "model.onnx", check=images)
        seconds = time.perf_counter() - began
        half = export_onnx(run, Path(folder) / "half.onnx", OnnxOptions(half=True), check=images)
        by_onnx, by_half = OnnxPredictor(done.file), OnnxPredictor(half.file)
    ways = {
        "torch": predictor.predict,
        "onnx": by_onnx.predict,
        "onnx, scores": by_onnx.scores,
        "onnx, half": by_half.predict,
    }
    rates = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first one warms up
        for name, label in ways.items():
            began = time.perf_counter()
            for image in pixels:
                label(image)
            if number:
                rates[name].append(len(pixels) / (time.perf_counter() - began))
    return {
        "run": run.name,
        "photographs": len(pixels),
        "size of the first": pixels[0].shape[:2],
        "threads": threads_of_rank(1),
        "photographs a second": {n: round(statistics.median(r), 2) for n, r in rates.items()},
        "slowest and fastest": {n: [round(min(r), 2), round(max(r), 2)] for n, r in rates.items()},
        "megabytes": {
            "torch": round((run / "model.safetensors").stat().st_size / 1e6, 1),
            "onnx": round(done.bytes / 1e6, 1),
            "onnx, half": round(half.bytes / 1e6, 1),
        },
        "seconds to export and check": round(seconds, 1),
        "agreement": str(done.agreement),
        "agreement in half": str(half.agreement),
    }


if __name__ == "__main__":
    main()
