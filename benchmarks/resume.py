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
    for setting in ("checkpoint_every=10", "validate_every=20", "log_every=1"):
        words += ["--set", f"train.{setting}"]
    return [*words, "--device", "cpu", "--out", str(out), "--resume"]


def steps_logged(run: Path) -> int:
    """How far a training has come by its log."""
    log = run / "log.jsonl"
    return log.read_text().count('"loss":') if log.exists() else 0


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
        subprocess.run(command(options.data, whole, options), check=True, stdout=subprocess.DEVNULL)
        moments = sorted(chance.sample(range(2, options.steps - 2), options.kills))
        for moment in moments:
            process = subprocess.Popen(command(options.data, cut, options))
            while steps_logged(cut) < moment and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
            process.wait()
        subprocess.run(command(options.data, cut, options), check=True, stdout=subprocess.DEVNULL)
        same = (whole / "model.safetensors").read_bytes() == (
            cut / "model.safetensors"
        ).read_bytes()
    print(json.dumps({"killed_after_step": moments, "identical": same}))
    sys.exit(not same)


if __name__ == "__main__":
    main()
