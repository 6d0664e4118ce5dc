"""What the gradients of dilated depthwise convolutions cost, by torch and by hintseg.

    python benchmarks/depthwise.py [--backbone tf_efficientnet_lite0] [--rounds 8]

Prints the time of a training step of a network as a feature pyramid (batch 8, forward and
backward, no optimiser) with torch's layers and with ours, and the ratio, for crops of several
sides. One thread; the two take turns, and the quickest of the rounds counts.
"""

import argparse
import copy
import time

import torch
from torch import nn

from hintseg.models.backbone import Backbone
from hintseg.models.depthwise import DilatedDepthwise


def plain_twin(network: nn.Module) -> nn.Module:
    """A copy with torch's own layers."""
    twin = copy.deepcopy(network)
    for layer in twin.modules():
        if isinstance(layer, DilatedDepthwise):
            layer.__class__ = nn.Conv2d
    return twin


def step(network: nn.Module, images: torch.Tensor) -> float:
    """Seconds of one forward and backward pass."""
    network.zero_grad()
    start = time.perf_counter()
    sum(feature.square().mean() for feature in network(images)).backward()
    return time.perf_counter() - start


def main() -> None:
    """Compare both for crops of several sides."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours = Backbone(options.backbone).train().to(memory_format=torch.channels_last)
    torchs = plain_twin(ours)
    print("| crop | torch, s a step | hintseg, s a step | ratio |\n|---|---|---|---|")
    for side in (64, 96, 128, 160, 192, 224, 320):
        images = torch.rand(8, 3, side, side).mul(255)
        images = images.contiguous(memory_format=torch.channels_last)
        rounds = [(step(torchs, images), step(ours, images)) for _ in range(options.rounds)]
        before, after = (min(times) for times in zip(*rounds, strict=True))
        print(f"| {side} | {before:.3f} | {after:.3f} | {after / before:.2f} |", flush=True)


if __name__ == "__main__":
    main()
