"""Work on many images by threads, limits of it, and what ranks have done put together."""

import threading
import time

import numpy as np
import pytest
import torch

from hintseg.cores import each
from hintseg.methods.job import spaced
from hintseg.predict.retrieval.index import PrototypeIndex
from hintseg.predict.retrieval.joining import joined


@pytest.fixture
def cores():
    """As on a machine with so many."""
    before = torch.get_num_threads()

    def use(count):
        torch.set_num_threads(count)

    yield use
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(cores, count):
    cores(count)

    def work(number):
        time.sleep(0.01 * (number % 3))
        return -number

    assert list(each(work, range(20))) == [-number for number in range(20)]
    assert torch.get_num_threads() == count


def test_several_items_are_worked_on_at_once_and_few_are_ahead(cores):
    cores(4)
    taken, meeting = [], threading.Barrier(3, timeout=60)

    def items():
        for number in range(60):
            taken.append(number)
            yield number

    def work(number):
        meeting.wait()  # three have to be here at once
        return number, torch.get_num_threads()

    results = each(work, items(), most=3)
    first = next(results)
    assert first == (0, 1)
    assert len(taken) <= 8
    assert [number for number, _ in results] == list(range(1, 60))


def test_an_error_ends_it_and_what_waits_is_not_begun(cores):
    cores(2)
    begun = []

    def work(number):
        begun.append(number)
        if number == 3:
            raise ValueError("the fourth")
        return number

    with pytest.raises(ValueError, match="the fourth"):
        list(each(work, range(100)))
    assert len(begun) < 20
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("count", [1, 3])
def test_threads_record_gradients_as_the_caller_does(cores, count):
    cores(count)

    def work(_):
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    assert set(each(work, range(5))) == {(True, False)}
    with torch.inference_mode():
        assert set(each(work, range(5))) == {(False, True)}


@pytest.mark.parametrize(
    ("most", "kept"),
    [(None, "abcdefg"), (7, "abcdefg"), (9, "abcdefg"), (1, "a"), (3, "ace"), (6, "abcdef")],
)
def test_so_many_names_evenly_spread(most, kept):
    assert spaced(tuple("abcdefg"), most) == tuple(kept)


def index_of(images, rng):
    """Three segments of every image but the second, which has none."""
    counts = [0 if number == 1 else 3 for number in range(images)]
    total = sum(counts)
    return PrototypeIndex(
        rng.normal(size=(total, 4)).astype(np.float32),
        rng.integers(0, 3, total).astype(np.int32),
        np.repeat(np.arange(images, dtype=np.int32), counts),
        rng.integers(0, 50, (total, 4)).astype(np.int32),
        tuple(f"image {number}" for number in range(images)),
        grid=6,
    )


def test_joined_parts_are_the_whole():
    rng = np.random.default_rng(0)
    first, second = index_of(3, rng), index_of(2, rng)
    whole = joined([first, second])
    assert whole.names == (*first.names, *second.names)
    assert whole.image.tolist() == [0, 0, 0, 2, 2, 2, 3, 3, 3]
    assert np.array_equal(whole.vectors, np.concatenate([first.vectors, second.vectors]))
    assert np.array_equal(whole.box[6:], second.box[:3])
    assert whole.grid == 6
