"""The kernels of a GPU give the loss of the tiles; here Triton interprets them on the CPU."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not find_spec("triton"), reason="Triton is not there")

SCRIPT = """
import contextlib

import torch
from test_contrastive import gradients, make_case

from hintseg.losses import contrastive, fused, sweep

# the interpreter has no bfloat16 and no device
fused._PART = torch.float16
torch.cuda.device = lambda _: contextlib.nullcontext()


launched = []
sums_of_pairs = fused.sums_of_pairs
fused.sums_of_pairs = lambda *given, **how: launched.append(1) or sums_of_pairs(*given, **how)


def both(function, case):
    tiles = gradients(function, *case, concentration=7.0)
    single = *(tensor.float() for tensor in case[:2]), *case[2:]
    sweep._kernels = lambda _: fused
    kernels = gradients(function, *single, concentration=7.0)
    sweep._kernels = lambda _: None
    return tiles, kernels


for seed in range(4):
    case = make_case(seed, pixels=150, segments=70 + seed, groups=4, dim=(6, 16, 20, 33)[seed])
    plain = *case[:5], case[6]
    for function, given in (
        (contrastive.segment_contrastive_loss, case),
        (contrastive.own_segment_loss, plain),
    ):
        for one, other in zip(*both(function, given), strict=True):
            torch.testing.assert_close(other.double(), one, atol=1e-5, rtol=1e-5)
assert len(launched) == 8

# nothing attracts, no group at all, exponents far beyond that of a float32
embeddings, prototypes, own, pixel_group, segment_group, attract, repel = make_case(
    0, dtype=torch.float32
)
sweep._kernels = lambda _: fused
given = embeddings.requires_grad_(), prototypes, own
empty = torch.zeros(0, 0, dtype=torch.bool)
for group, table in ((pixel_group, attract & False), (pixel_group, empty)):
    loss = contrastive.segment_contrastive_loss(
        *given, group, segment_group, table, table, concentration=1.0
    )
    assert loss.item() == 0 and not torch.autograd.grad(loss, embeddings)[0].any()
groups = pixel_group, segment_group, attract, repel
loss = contrastive.segment_contrastive_loss(*given, *groups, concentration=1e4)
assert loss.isfinite() and torch.autograd.grad(loss, embeddings)[0].isfinite().all()
"""


def test_kernels_give_the_loss_of_the_tiles():
    paths = [str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
