"""The compiled mean field is the plain one, with any number of threads and wherever it runs."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
import torch

from hintseg.cores import compiled
from hintseg.refine import dense_crf, dense_crf_logits
from hintseg.refine import mean_field as module
from hintseg.refine.crf import PRESETS, CrfPreset

HEIGHT, WIDTH = 21, 30
SMALL = CrfPreset(gaussian_sxy=1.5, bilateral_sxy=8.0, bilateral_srgb=20.0, iterations=5)


def photograph(seed=0):
    """Dark above, light below, with noise."""
    rng = np.random.default_rng(seed)
    image = np.where(np.arange(HEIGHT) < 9, 70, 180)[:, None, None]
    return (image + rng.integers(-20, 20, (HEIGHT, WIDTH, 3))).astype(np.uint8)


def likely(classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(classes, HEIGHT, WIDTH, generator=generator)).softmax(0)


@pytest.fixture
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("self_affinity", [True, False])
@pytest.mark.parametrize("classes", [2, 8, 9, 21])
@pytest.mark.parametrize("threads", [1, 2, 3], indirect=True)
def test_is_the_same_as_in_double_precision(threads, classes, self_affinity):
    """Only float32 is compiled."""
    image, scores = photograph(), likely(classes)
    settings = {"preset": SMALL, "self_affinity": self_affinity}
    found = dense_crf(image, scores, **settings)
    torch.testing.assert_close(
        found.double(), dense_crf(image, scores.double(), **settings), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_the_same_as_in_double_precision(name):
    found = dense_crf(photograph(), likely(4), preset=name)
    expected = dense_crf(photograph(), likely(4).double(), preset=name)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-5)


def test_padding_neither_gives_nor_takes():
    images = torch.from_numpy(photograph()).permute(2, 0, 1)[None]
    logits, kept = likely(3)[None].log(), torch.ones(1, HEIGHT, WIDTH).bool()
    kept[..., -7:] = False
    found = dense_crf_logits(images, logits, preset=SMALL, kept=kept)
    expected = dense_crf_logits(images, logits.double(), preset=SMALL, kept=kept)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found[..., -7:], logits[..., -7:].exp())


@pytest.mark.parametrize("one", [{"gaussian": 0.0}, {"bilateral": 0.0}])
def test_one_kernel_is_enough(one):
    preset = CrfPreset(iterations=3, **one)
    expected = dense_crf(photograph(), likely(3).double(), preset=preset)
    found = dense_crf(photograph(), likely(3), preset=preset)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-5)


def test_huge_votes_and_logits_stay_finite():
    preset = CrfPreset(gaussian=500.0, bilateral=500.0)
    images = torch.from_numpy(photograph()).permute(2, 0, 1)[None]
    found = dense_crf_logits(images, 1e4 * likely(3)[None], preset=preset)
    torch.testing.assert_close(found.sum(1), torch.ones(1, HEIGHT, WIDTH))


def test_powers_are_as_exact_as_float32():
    values = np.linspace(-87, 0, 10_000, dtype=np.float32)
    powers = values.copy()
    module._exponentiate(powers, np.empty(len(powers), np.int32))
    np.testing.assert_allclose(powers, np.exp(values.astype(np.float64)), rtol=3e-7)
    nothing = np.array([-88, -1e9, -np.inf], np.float32)
    module._exponentiate(nothing, np.empty(3, np.int32))
    assert not nothing.any()


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
def test_several_threads_may_use_it_at_once(threads):
    cases = [(photograph(seed), likely(5, seed)) for seed in range(6)]
    alone = [dense_crf(*case, preset=SMALL) for case in cases]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda case: dense_crf(*case, preset=SMALL), cases))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)


FORKED = """
import os, torch
from hintseg.refine import dense_crf
torch.set_num_threads(2)
work = lambda: dense_crf(torch.zeros(1, 3, 9, 9).byte(), torch.rand(1, 3, 9, 9))
work()
child = os.fork()
if not child:
    torch.set_num_threads(1)  # torch's own threads do not survive a fork
    os._exit(0 if work().isfinite().all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_works_in_a_forked_process():
    run = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "0"


def test_compiles_where_nothing_can_be_kept_on_disk(monkeypatch):
    njit = numba.njit

    def refusing(*, cache=False, **settings):
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return njit(**settings)

    monkeypatch.setattr(numba, "njit", refusing)
    assert compiled(lambda x: x + 1)(2) == 3
