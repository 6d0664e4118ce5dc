"""The order of images is a function of the seed and the step; threads change nothing."""

import gc
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hintseg.data.loading import Order, collate, iterate
from hintseg.data.samples import load_hinted
from hintseg.data.transforms import Augmentation, augment
from hintseg.errors import DataError
from hintseg.structures import VOID, Sample, WeakLabels

NAMES = tuple("abcdefg")


def sample(name, value=0):
    weak = WeakLabels(
        labels=np.full((4, 6), value, np.int16),
        tags=np.array([True, False]),
        absent=np.array([False, True]),
        boxes=np.zeros((0, 5)),
    )
    return Sample(name, np.full((4, 6, 3), value, np.uint8), weak)


def load(name):
    return sample(name, ord(name))


def random_view(given_sample, rng):
    weak = given_sample.weak
    drawn = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Sample(given_sample.name, drawn, weak)


def batches(order, **options):
    return list(iterate(order, load, random_view, **options))


def same(one, other):
    names, *tensors, maps = one.fields()
    other_names, *other_tensors, other_maps = other.fields()
    pairs = [*zip(tensors, other_tensors, strict=True)]
    pairs += [(maps[name], other_maps[name]) for name in maps]
    return (
        names == other_names
        and maps.keys() == other_maps.keys()
        and all(torch.equal(a, b) for a, b in pairs)
    )


# The order


@given(
    count=st.integers(1, 30), batch=st.integers(1, 9), seed=st.integers(0, 99), epochs=st.just(3)
)
def test_every_epoch_is_a_permutation_of_all_images(count, batch, seed, epochs):
    names = tuple(f"n{index}" for index in range(count))
    order = Order(names, batch, seed)
    drawn = [order.name(position) for position in range(epochs * count)]
    for epoch in range(epochs):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == sorted(names)


@given(batch=st.integers(1, 12), ranks=st.integers(1, 5), step=st.integers(0, 50))
def test_the_ranks_share_the_samples_of_a_step(batch, ranks, step):
    whole = list(Order(NAMES, batch, 0).positions(step))
    shares = [list(Order(NAMES, batch, 0, rank, ranks).positions(step)) for rank in range(ranks)]
    assert sorted(position for share in shares for position in share) == whole
    assert whole == list(range(step * batch, (step + 1) * batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_epochs_and_seeds_give_different_orders():
    names = tuple(f"n{index}" for index in range(40))
    first, other = Order(names, 4, 0), Order(names, 4, 1)
    drawn = [
        tuple(order.name(position) for position in range(start, start + 40))
        for order, start in [(first, 0), (first, 40), (other, 0)]
    ]
    assert len(set(drawn)) == 3


def test_every_position_has_its_own_randomness_whatever_the_rank():
    draws = [Order(NAMES, 4, 0).generator(position).random() for position in range(20)]
    assert len(set(draws)) == 20
    assert [Order(NAMES, 4, 0, 1, 2).generator(p).random() for p in range(20)] == draws
    assert [Order(NAMES, 4, 1).generator(p).random() for p in range(20)] != draws


# Batches


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("start", [0, 1, 5])
def test_a_step_gives_the_same_batch_from_any_start_with_any_number_of_threads(threads, start):
    order = Order(NAMES, 3, 0)
    expected = batches(order, start=0, stop=9)[start:]
    found = batches(order, start=start, stop=9, threads=threads)
    assert len(found) == 9 - start
    assert all(same(a, b) for a, b in zip(expected, found, strict=True))


def test_a_batch_may_be_larger_than_the_data_set():
    (batch,) = batches(Order(("a", "b"), 7, 0), start=3, stop=4)
    assert len(batch) == 7
    assert {batch.names.count("a"), batch.names.count("b")} == {3, 4}


def test_views_of_one_image_in_a_batch_differ():
    (batch,) = batches(Order(("a",), 2, 0), start=0, stop=1)
    assert not torch.equal(batch.images[0], batch.images[1])


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (6, 5)])
def test_no_steps_give_no_batches(start, stop):
    assert batches(Order(NAMES, 2, 0), start=start, stop=stop) == []


def test_batches_of_a_real_data_set_are_the_same_in_every_process_and_thread(dataset):
    order = Order(dataset.names("train"), 4, 0)
    settings = Augmentation(crop=32)

    def make(threads):
        return list(
            iterate(
                order,
                lambda name: load_hinted(dataset, name, size=None),
                lambda seen, rng: augment(seen, rng, settings=settings),
                start=0,
                stop=4,
                threads=threads,
            )
        )

    first, second = make(1), make(4)
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    assert first[0].images.shape == (4, 3, 32, 32)
    assert first[0].images.dtype == torch.uint8
    assert first[0].labels.dtype == torch.int64


def test_every_thread_has_a_batch_to_make():
    together = threading.Barrier(6)

    def slow(name):
        together.wait(timeout=10)  # broken unless six batches are made at once
        return load(name)

    order = Order(NAMES, 1, 0)
    assert len(list(iterate(order, slow, random_view, start=0, stop=6, threads=6))) == 6


def test_only_a_few_batches_are_made_ahead():
    made = []

    def counted(name):
        made.append(name)
        return load(name)

    source = iterate(Order(NAMES, 1, 0), counted, random_view, start=0, stop=100)
    next(source)
    time.sleep(0.05)
    assert len(made) <= 6
    source.close()


# Trouble


def broken(name):
    if name == "d":
        raise DataError("d.png: damaged image; replace it or remove it")
    return load(name)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_in_a_thread_reaches_the_caller_at_its_step(threads):
    order = Order(NAMES, 1, 0)
    place = [order.name(position) for position in range(7)].index("d")
    source = iterate(order, broken, random_view, start=0, stop=50, threads=threads)
    received = []
    with pytest.raises(DataError, match=r"d\.png: damaged image"):
        received.extend(batch.names for batch in source)
    assert len(received) in (0, place)  # extend keeps what came before the error
    assert list(source) == []


def test_closing_early_stops_the_threads():
    source = iterate(Order(NAMES, 1, 0), load, random_view, start=0, stop=10**9, threads=3)
    next(source)
    began = time.perf_counter()
    source.close()
    assert time.perf_counter() - began < 5
    assert not [t for t in threading.enumerate() if t.name.startswith("batches") and t.is_alive()]


def test_closing_early_drops_the_batches_that_nobody_has_begun():
    made, gate = [], threading.Event()

    def slow(name):
        made.append(name)
        if len(made) > 1:
            gate.wait(timeout=10)
        return load(name)

    source = iterate(Order(NAMES, 1, 0), slow, random_view, start=0, stop=100, threads=1)
    next(source)
    threading.Timer(0.1, gate.set).start()
    source.close()
    assert len(made) <= 2  # the first, and the one in the making


def test_a_forgotten_iterator_stops_its_threads():
    source = iterate(Order(NAMES, 1, 0), load, random_view, start=0, stop=10**9, threads=2)
    next(source)
    del source
    gc.collect()
    assert not [t for t in threading.enumerate() if t.name.startswith("batches") and t.is_alive()]


# Tensors


@given(data=st.data())
@settings(max_examples=10)
def test_samples_become_tensors_with_channels_first(data):
    values = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=4))
    samples = [sample(f"n{value}", value) for value in values]
    samples[0].weak.labels[1, 2] = VOID
    samples[0].image[1, 2] = (1, 2, 3)
    batch = collate(samples)
    assert batch.names == tuple(f"n{value}" for value in values)
    assert batch.images.shape == (len(values), 3, 4, 6)
    assert batch.images[0, :, 1, 2].tolist() == [1, 2, 3]
    assert batch.labels[0, 1, 2] == VOID
    assert batch.labels[:, 0, 0].tolist() == values
    assert batch.tags.tolist() == [[True, False]] * len(values)
    assert batch.absent.tolist() == [[False, True]] * len(values)


def test_mirrored_arrays_become_tensors_too():
    straight = sample("a")
    straight.image[:, 0] = 9
    mirrored = Sample("a", straight.image[:, ::-1], straight.weak)
    assert collate([mirrored]).images[0, 0, 0].tolist() == [0] * 5 + [9]
