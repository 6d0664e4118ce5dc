"""Cores: how many a process may use, and work spread over threads that do not wait."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from hintseg import cores


@pytest.fixture
def no_wishes(monkeypatch):
    """A user who says nothing of threads, on eight cores."""
    for name in (*cores.POLICIES, *cores.COUNTS, "TORCHELASTIC_RUN_ID", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cores, "_written", {})
    monkeypatch.setattr(cores, "usable_cores", lambda: 8)
    return monkeypatch


def group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


@pytest.mark.parametrize(("content", "quota"), [("max 100000\n", None), ("150000 100000\n", 1.5)])
def test_quota_of_control_groups_2(tmp_path, content, quota):
    group(tmp_path / "box" / "inner", cpu__max="max 100000")
    group(tmp_path / "box", cpu__max=content)
    assert cores.core_quota(tmp_path, {"": "/box/inner"}) == quota


@pytest.mark.parametrize(("content", "quota"), [("-1\n", None), ("200000\n", 2.0)])
def test_quota_of_control_groups_1(tmp_path, content, quota):
    group(tmp_path / "cpu" / "box", cpu__cfs_quota_us=content, cpu__cfs_period_us="100000\n")
    assert cores.core_quota(tmp_path, {"cpu": "/box"}) == quota


def test_inside_a_container_its_own_group_is_the_root(tmp_path):
    group(tmp_path, cpu__max="50000 100000")
    assert cores.core_quota(tmp_path, {"": "/not/visible/here"}) == 0.5


@pytest.mark.parametrize("content", ["", "nonsense", "100000 0", "1 2 3"])
def test_odd_quotas_are_none(tmp_path, content):
    group(tmp_path, cpu__max=content)
    assert cores.core_quota(tmp_path, {"": "/"}) is None


@pytest.mark.parametrize(("quota", "count"), [(None, 4), (0.5, 1), (1.5, 2), (2.0, 2), (64.0, 4)])
def test_usable_cores_are_those_of_mask_and_quota(monkeypatch, quota, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cores, "core_quota", lambda *_: quota)
    assert cores.usable_cores() == count


def test_ranks_share_the_cores(no_wishes):
    assert [cores.threads_of_rank(ranks) for ranks in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]


@pytest.mark.parametrize("name", cores.COUNTS)
def test_what_the_user_says_stays(no_wishes, name):
    no_wishes.setenv(name, "3")
    assert cores.threads_of_rank(2) == 3


def test_the_one_thread_of_torchrun_is_nobodys_choice(no_wishes):
    no_wishes.setenv("TORCHELASTIC_RUN_ID", "x")
    no_wishes.setenv("OMP_NUM_THREADS", "1")
    assert cores.threads_of_rank(2) == 4


def test_a_started_rank_finds_its_share(no_wishes):
    no_wishes.setitem(cores._written, "OMP_NUM_THREADS", "8")
    no_wishes.setenv("OMP_NUM_THREADS", "8")
    threads = torch.get_num_threads()
    with cores.shared_cores(4) as share:
        assert os.environ["OMP_NUM_THREADS"] == "2"
        assert share == min(2, threads) == torch.get_num_threads()
    assert torch.get_num_threads() == threads


SHOW = """
import os, hintseg
hintseg.use_cores()
import torch
print(torch.get_num_threads(), os.environ["OMP_WAIT_POLICY"])
"""


@pytest.mark.parametrize(
    ("wish", "said"),
    [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "1"}, "ACTIVE")],
)
def test_threads_sleep_unless_the_user_has_them_spin(wish, said):
    silent = {k: v for k, v in os.environ.items() if k not in (*cores.POLICIES, *cores.COUNTS)}
    words, environment = [sys.executable, "-c", SHOW], {**silent, **wish}
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    count = wish.get("OMP_NUM_THREADS", str(cores.usable_cores()))
    assert done.stdout.split() == [count, said]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_spread_gives_results_in_order(count):
    assert cores.spread(lambda part: part**2, count) == [part**2 for part in range(count)]


def test_spread_works_with_lone_threads_and_leaves_the_number_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    meet = threading.Barrier(2, timeout=20)  # two parts at once, or the test fails
    found = cores.spread(lambda _: (meet.wait() >= 0, torch.get_num_threads()), 2)
    after, fresh = torch.get_num_threads(), []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    torch.set_num_threads(before)
    assert found == [(True, 1), (True, 1)]
    assert (after, fresh) == (2, [2])


def test_spread_raises_what_a_part_raises():
    with pytest.raises(ZeroDivisionError):
        cores.spread(lambda part: 1 // (part - 1), 3)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_spread_writes_into_tensors_of_any_mode(mode):
    with mode():
        table = torch.zeros(4, 3)

        def fill(row: int) -> bool:
            table[row] += row
            return torch.is_grad_enabled()

        assert cores.spread(fill, 4) == [False] * 4
    assert table.sum().item() == 18
