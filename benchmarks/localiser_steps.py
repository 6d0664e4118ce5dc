"""What a step of each localiser costs beside one of `full`, and how much memory a run takes.

    python benchmarks/localiser_steps.py DATA --out RUNS [--steps 40] [--size 160] [--crop 128]
                                         [--by full,cam,seam,sc_cam,rca] [--stride 16]

Trains each for some steps, batch 8, one thread, from hints `tags` of DATA (a folder with masks),
and makes seeds of one image alone. Prints the time of a step (the median over the log, of the first
stage; the wait for data is in it), as a share of that of `full`, and the largest memory of the
whole process, interpreter and libraries included. One after the other, on a machine at rest.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

from objects import hintseg

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measured(source: Path, by: str, out: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds of a step, and the memory of the process in MiB."""
    words = ["train", source, "--size", options.size, "--crop", options.crop, "--batch", 8]
    words += ["--steps", options.steps, "--device", "cpu", "--set", "train.validate_images=0"]
    if by != "full":
        own = {"steps": options.steps, "output_stride": options.stride, "images": 1}
        words += [
            word for key, value in own.items() for word in ("--set", f"{by}.localise.{key}={value}")
        ]
    _, memory = hintseg(*words, "--method", by, "--out", out)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    of_first = [row for row in rows if row["stage"] == rows[0]["stage"] and "loss" in row]
    speeds = [row["steps_per_second"] for row in of_first]
    return 1 / statistics.median(speeds), memory


def main() -> None:
    """Measure every localiser."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    for name, value in {"steps": 40, "size": 160, "crop": 128, "stride": 16}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--by", default="full,cam,seam,sc_cam,rca")
    options = parser.parse_args()
    os.environ.update(THREADS)
    tagged, base = options.out / "tagged", 0.0
    if not tagged.exists():
        hintseg("simulate", options.data, "--hints", "tags", "--out", tagged)
    print("| localiser | seconds of a step | of `full` | GB |\n|---|---|---|---|")
    for by in options.by.split(","):
        source = options.data if by == "full" else tagged
        seconds, memory = measured(source, by, options.out / f"{by}-{options.stride}", options)
        base = base or seconds
        print(
            f"| {by} | {seconds:.3f} | {seconds / base:.2f} | {memory * 2**20 / 1e9:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
