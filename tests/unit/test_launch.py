"""Who starts the processes of a training, and which of them speaks."""

import subprocess
import sys

import pytest

from hintseg.errors import ConfigError
from hintseg.launch import processes
from hintseg.progress import is_first_process


@pytest.fixture
def torchrun(monkeypatch):
    """As on a machine where torchrun has started `here` of `everywhere` processes."""

    def start(here, everywhere, rank=0):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(here))
        monkeypatch.setenv("WORLD_SIZE", str(everywhere))
        monkeypatch.setenv("RANK", str(rank))

    return start


def test_without_torchrun_it_is_as_set(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert processes(4) == (4, 1)


@pytest.mark.parametrize("devices", [1, 4])
def test_torchrun_says_how_many_devices_and_nodes_there_are(torchrun, devices):
    torchrun(4, 8)
    assert processes(devices) == (4, 2)


def test_another_number_of_devices_than_torchrun_has_started_is_refused(torchrun):
    torchrun(4, 4)
    with pytest.raises(ConfigError, match="--devices 2: torchrun started 4 processes here; leave"):
        processes(2)


def test_nodes_with_unequal_numbers_of_processes_are_refused(torchrun):
    torchrun(4, 6)
    with pytest.raises(ConfigError, match="start equally many on every node"):
        processes(1)


def test_only_the_first_process_speaks(torchrun, monkeypatch):
    for rank in (0, 1):
        torchrun(2, 4, rank)
        monkeypatch.setenv("LOCAL_RANK", "0")
        assert is_first_process() == (rank == 0)
    monkeypatch.delenv("RANK")
    for rank in (0, 1):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert is_first_process() == (rank == 0)


def test_a_process_ends_with_the_one_that_started_it():
    """The middle one is killed while its child waits."""
    child = "import sys\nfrom hintseg.launch import _end_with\n_end_with(int(sys.argv[1]))"
    middle = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}, str(os.getpid())], stdout=sys.stdout)
print(child.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", middle], stdout=subprocess.PIPE) as process:
        assert int(process.stdout.readline())
        process.kill()
        assert process.stdout.read() == b""  # ends when the child has closed it, too
