"""One of two processes that train together is killed: the other says so, and nothing is lost."""

import os
import signal
import subprocess
import sys

import pytest

SMALL = ["--method", "full", "--backbone", "test_efficientnet", "--steps", "6", "--crop", "32"]
SMALL += ["--batch", "2", "--device", "cpu"]
for pair in ("weights=random", "dim=8", "width=16", "validate_images=0", "checkpoint_every=2"):
    SMALL += ["--set", f"train.{pair}"]
KILL_RANK_1 = """
import os, signal
from hintseg.cli import main
from hintseg.engine.monitor import TrainingMonitor
on_step = TrainingMonitor.on_step
def kill(self, step, *values, **named):
    if (os.environ["RANK"], step) == ("1", 3):
        os.kill(os.getpid(), signal.SIGKILL)
    on_step(self, step, *values, **named)
TrainingMonitor.on_step = kill
main()
"""


def torchrun(*words):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.run(
        [*launch, "--no-python", sys.executable, *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nobody can be killed there")
def test_a_killed_rank_ends_the_others_with_one_line_and_the_run_goes_on(data_folder, tmp_path):
    run = tmp_path / "run"
    words = ["train", data_folder, *SMALL, "--out", run]
    done = torchrun("-c", KILL_RANK_1, *words)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("hintseg: ")]
    assert len(said) == 1
    told = "another process of this training ended or is out of reach", "interrupted"
    assert any(words in said[0] for words in told)  # torchrun's SIGTERM may come first
    assert said[0].endswith("continue with the same command and --resume")
    assert "hintseg/cli.py" not in done.stderr  # no traceback of ours
    assert (run / "checkpoint" / "train.safetensors").is_file()
    done = torchrun("-m", "hintseg.cli", *words, "--resume")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (run / "model.safetensors").is_file()
