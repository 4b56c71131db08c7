"""Orders of epochs are permutations, differ, and keep blocks together."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.training.order import Order


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**31), st.integers(0, 50), st.sampled_from([1, 4, 7]))
def test_every_example_comes_once(num: int, seed: int, epoch: int, block: int) -> None:
    order = Order(num=num, seed=seed, epoch=epoch, block=block, window=3)
    found = order.at(np.arange(num))
    np.testing.assert_array_equal(np.sort(found), np.arange(num))
    start = num // 3
    np.testing.assert_array_equal(order.at(np.arange(start, num)), found[start:])


def test_large_numbers_need_no_memory() -> None:
    order = Order(num=14_000_000, seed=1, epoch=2)
    found = order.at(np.arange(0, 14_000_000, 1000))
    assert len(np.unique(found)) == 14_000
    assert found.min() >= 0
    assert found.max() < 14_000_000
    assert abs(found.mean() / 7_000_000 - 1) < 0.03
    assert abs(np.corrcoef(np.arange(14_000), found)[0, 1]) < 0.03


def test_epochs_and_seeds_differ() -> None:
    orders = [
        Order(num=1000, seed=seed, epoch=epoch).at(np.arange(1000))
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    for number, one in enumerate(orders):
        assert abs(np.corrcoef(one, np.arange(1000))[0, 1]) < 0.15
        assert all((one == other).mean() < 0.02 for other in orders[:number])


def test_each_example_is_at_each_place_equally_often() -> None:
    counts = np.zeros((10, 10), int)
    for epoch in range(2000):
        counts[np.arange(10), Order(num=10, seed=0, epoch=epoch).at(np.arange(10))] += 1
    assert counts.min() > 130
    assert counts.max() < 270


def test_neighbours_come_near_one_another() -> None:
    order = Order(num=10_000, seed=0, epoch=0, block=16, window=8)
    found = order.at(np.arange(10_000))
    windows = found[: 77 * 128].reshape(77, 128)
    shift = int((found - 0).min())  # blocks begin anywhere; two halves of one may be seen
    assert shift == 0
    blocks = [len(np.unique(np.sort(one) // 16)) for one in windows]
    assert max(blocks) <= 2 * 8
    assert (np.diff(windows, axis=1) == 1).mean() < 0.05  # mixed within the window
    first = Order(num=10_000, seed=0, epoch=1, block=16, window=8).at(np.arange(9984, 10_000))
    assert set(first) != set(found[9984:])  # the rest behind the blocks is another one
