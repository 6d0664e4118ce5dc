"""Slow storage: many reads are under way at once, so the loop does not wait for each of them."""

import time

import numpy as np

from hintseg.data.loading import Order, iterate
from hintseg.structures import Sample, WeakLabels

READ = 0.1  # seconds


def slow(name):
    time.sleep(READ)
    tags = np.zeros(2, bool)
    weak = WeakLabels(np.zeros((4, 4), np.int16), tags, ~tags, np.zeros((0, 5)))
    return Sample(name, np.zeros((4, 4, 3), np.uint8), weak)


def test_reads_of_several_batches_are_under_way_at_once():
    order = Order(tuple("abcdefgh"), batch=1, seed=0)
    steps, began = 24, time.perf_counter()
    batches = iterate(order, slow, lambda sample, _: sample, start=0, stop=steps, threads=8)
    assert len(list(batches)) == steps
    assert time.perf_counter() - began < 0.75 * steps * READ  # one after the other takes all of it
