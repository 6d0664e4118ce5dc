"""The random walk over pairs of neighbours against squaring the dense transition.

    python benchmarks/pair_walk.py [--height 375] [--width 500] [--stride 4] [--steps 256]
                                   [--classes 4] [--squaring 2]

Random affinities of all pairs within 5 cells, as AffinityNet and IRNet have them. A squaring of the
dense transition takes minutes at stride 4; the time of all is that of as many as are asked for
(--squaring), times log2(steps). Prints seconds and the largest memory of the process before and
after each.
"""

import argparse
import math
import resource
import time

import torch

from hintseg.refine import neighbour_pairs, random_walk

RADIUS, BETA = 5, 8


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--squaring", type=int, default=2)
    given = parser.parse_args()
    torch.manual_seed(0)
    rows, columns = math.ceil(given.height / given.stride), math.ceil(given.width / given.stride)
    pairs = neighbour_pairs(rows, columns, radius=RADIUS)
    affinities = torch.rand(pairs.shape[1])
    scores = torch.rand(given.classes, rows, columns)
    print(f"{rows} x {columns} cells, {pairs.shape[1]} pairs; {memory()}")

    began = time.perf_counter()
    random_walk(scores, affinities, pairs=pairs, beta=BETA, steps=given.steps)
    ours = time.perf_counter() - began
    print(f"applied {given.steps} times: {ours:.2f} s; {memory()}")

    transition = torch.eye(rows * columns)
    transition[pairs[0], pairs[1]] = transition[pairs[1], pairs[0]] = affinities**BETA
    transition /= transition.sum(dim=0)
    began = time.perf_counter()
    for _ in range(given.squaring):
        transition = transition @ transition
    one = (time.perf_counter() - began) / max(1, given.squaring)
    whole = one * math.log2(given.steps)
    doublings, longer = math.log2(given.steps), whole / ours
    print(f"squared {doublings:.0f} times: {whole:.0f} s ({longer:.0f} times as long); {memory()}")


def memory() -> str:
    """The most that the process has used."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB at most"


if __name__ == "__main__":
    main()
