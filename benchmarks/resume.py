"""Kill a training at random moments and continue it: are the final weights the same, bit for bit?

    python benchmarks/resume.py DATA [--method full] [--steps 60] [--kills 3] [--seed 0]

Trains once undisturbed and once killed (SIGKILL) `--kills` times at random moments, each time
continued by `hintseg train --resume`, and compares model.safetensors. Prints JSON; exit code 1 if a
bit differs.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def command(data: str, out: Path, options: argparse.Namespace) -> list[str]:
    """The training, to be started or continued."""
    words = [sys.executable, "-m", "hintseg.cli", "train", data, "--method", options.method]
    words += ["--steps", str(options.steps), "--size", "192", "--crop", "96", "--batch", "4"]
    words += ["--set", "train.checkpoint_every=10", "--set", "train.validate_every=20"]
    return [*words, "--device", "cpu", "--out", str(out), "--resume"]


def main() -> None:
    """Compare an undisturbed and a killed training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--method", default="full")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        whole, cut = Path(name) / "whole", Path(name) / "cut"
        began = time.perf_counter()
        subprocess.run(command(options.data, whole, options), check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        killed_at = []
        while len(killed_at) < options.kills:
            process = subprocess.Popen(command(options.data, cut, options))
            try:
                process.wait(timeout=chance.uniform(0.3, 0.7) * seconds)
                break  # it was faster
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log = cut / "log.jsonl"
            killed_at.append(len(log.read_text().splitlines()) if log.exists() else 0)
        subprocess.run(command(options.data, cut, options), check=True, stdout=subprocess.DEVNULL)
        same = (whole / "model.safetensors").read_bytes() == (
            cut / "model.safetensors"
        ).read_bytes()
    print(json.dumps({"kills": len(killed_at), "log_lines_at_kill": killed_at, "identical": same}))
    sys.exit(not same)


if __name__ == "__main__":
    main()
