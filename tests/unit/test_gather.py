"""Several processes teach what one teaches: the same losses, gradients and memory.

This file is also the program of such a process: `python test_gather.py RANK RANKS FOLDER`.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from hintseg.distributed import rank, ranks, total
from hintseg.losses.image_level import tag_loss
from hintseg.methods.spml.learner import RelationLearner
from hintseg.methods.spml.settings import SPMLSettings
from hintseg.models.saved import ModelDescription, build_segmenter
from hintseg.structures import UNLABELLED, VOID, Batch

RANKS, IMAGES, SIDE, CLASSES, STEPS = 2, 8, 64, 4, 3
EVERY = {"annotation": 1.0, "cooccurrence": 0.5, "similarity": 0.1, "affinity": 0.3}
CASES = {
    "all": {"relations": EVERY, "affinity": {"threshold": 0.5}},
    "background": {"relations": EVERY, "absent": 1.0},
    "plain": {"relations": EVERY, "plain": True, "memory": 0, "detach": False, "located": False},
    "across": {"relations": EVERY, "plain": True, "across": True},
}


def make_batch(step):
    """Blobs of colour; the images with even numbers have many labelled pixels, the others few."""
    generator = torch.Generator().manual_seed(step)
    shape = (IMAGES, 3, SIDE // 8, SIDE // 8)
    blobs = torch.randint(0, 256, shape, generator=generator).float()
    images = torch.nn.functional.interpolate(blobs, size=(SIDE, SIDE), mode="bicubic")
    chosen = torch.rand(IMAGES, CLASSES, generator=generator) < 0.5
    chosen[:, 0] = True
    labels = torch.full((IMAGES, SIDE, SIDE), UNLABELLED)
    for index in range(IMAGES):
        for label in chosen[index].nonzero()[:, 0].tolist():
            top, left = torch.randint(0, SIDE - 20, (2,), generator=generator).tolist()
            side = 4 if index % 2 else 20
            if step < 2 or index % 2 == 0:  # in the last step one process has no label at all
                labels[index, top : top + side, left : left + side] = label
    labels[:, -6:] = VOID
    regions = torch.randint(0, 5, (IMAGES, SIDE // 16, SIDE // 16), generator=generator)
    regions = regions.repeat_interleave(16, 1).repeat_interleave(16, 2)
    absent = ~chosen & (torch.rand(chosen.shape, generator=generator) < 0.8)
    names = tuple(map(str, range(IMAGES)))
    return Batch(names, images.clamp(0, 255).byte(), labels, chosen, absent, {"regions": regions})


def every(batch, first, step):
    """The share of one process."""
    names, *tensors, maps = batch.fields()
    regions = maps["regions"][first::step].contiguous()
    own = (tensor[first::step].contiguous() for tensor in tensors)
    return Batch(names[first::step], *own, {"regions": regions})


@cache
def learn(case):
    """Losses and gradients of this process's shares of the batches, and its memory."""
    torch.manual_seed(0)
    small = "test_efficientnet"
    description = ModelDescription(tuple("abcd"), backbone=small, dim=8, width=16, unit=True)
    model = build_segmenter(description).eval()  # batch statistics as they are
    background = 0 if case == "background" else None
    learner = RelationLearner(model, SPMLSettings(**CASES[case]), background=background)
    found = {}
    for step in range(STEPS):
        losses = learner.losses(every(make_batch(step), rank(), ranks()), 0)
        model.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        found |= {f"loss.{step}.{key}": value.detach() for key, value in losses.items()}
        found |= {
            f"gradient.{step}.{key}": value.grad.clone()
            for key, value in model.named_parameters()
            if value.grad is not None
        }
    found = {key: total(value) / ranks() for key, value in found.items()}  # as DDP does
    return found | {f"memory.{key}": value for key, value in learner.memory().items()}


def tags(case):
    """The loss of tags, of which the processes know different numbers."""
    del case
    batch = every(make_batch(0), rank(), ranks())
    known = torch.arange(IMAGES)[rank() :: ranks(), None] % 2 == 0
    present, absent = batch.tags & known, batch.absent & known
    scores = batch.images.float().mean(dim=(2, 3))[:, :1] * torch.linspace(-0.01, 0.01, CLASSES)
    return {"loss": total(tag_loss(scores, present, absent)) / ranks()}


def work(folder):
    for case in CASES:
        save_file(
            {key: value.contiguous() for key, value in learn(case).items()},
            folder / f"{case}.{rank()}",
        )
    save_file(tags(""), folder / f"tags.{rank()}")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    words = [sys.executable, __file__]
    started = [
        subprocess.Popen(
            [*words, str(number), str(RANKS), str(folder)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(RANKS)
    ]
    messages = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], messages
    return lambda case, number: load_file(folder / f"{case}.{number}")


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_losses_and_gradients_of_one(two, case):
    one, first, second = learn(case), two(case, 0), two(case, 1)
    assert one.keys() == first.keys() == second.keys()
    assert sum(key.startswith("loss.0") for key in one) >= 5
    for key in one:
        if not key.startswith("memory"):
            assert torch.equal(first[key], second[key])
            torch.testing.assert_close(first[key], one[key], atol=1e-5, rtol=1e-5, msg=key)
    assert any(value.abs().max() > 0.1 for key, value in one.items() if "gradient" in key)


@pytest.mark.parametrize("case", CASES)
def test_they_remember_the_same_as_one_in_another_order(two, case):
    one, first, second = (memory_of(found) for found in (learn(case), two(case, 0), two(case, 1)))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    came = torch.cat([torch.arange(IMAGES)[number::RANKS] for number in range(RANKS)])
    assert len(one) == (0 if case == "plain" else 2 * 6)
    for age in range(len(one) // 6):
        image = came[first[f"{age}.image"]]
        order = image.argsort(stable=True)
        assert torch.equal(image[order], one[f"{age}.image"])
        for name in ("vectors", "label", "sets"):
            torch.testing.assert_close(first[f"{age}.{name}"][order], one[f"{age}.{name}"])
        for name in ("tags", "absent"):
            assert torch.equal(first[f"{age}.{name}"][came.argsort()], one[f"{age}.{name}"])


def memory_of(found):
    return {k.removeprefix("memory."): v for k, v in found.items() if k.startswith("memory.")}


def test_the_loss_of_tags_counts_what_all_know(two):
    torch.testing.assert_close(two("tags", 0)["loss"], tags("")["loss"])


def test_alone_there_is_one_rank():
    assert (ranks(), rank()) == (1, 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    number, count, place = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    dist.init_process_group(
        "gloo", init_method=f"file://{place}/rendezvous", rank=number, world_size=count
    )
    work(place)
    dist.destroy_process_group()
