"""Several batches at a time: order, errors, torch's threads, and the same scores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from anytag import Tagger
from anytag.inference.parallel import map_batches, runs_apart


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Torch's number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_are_in_order_and_each_batch_has_one_thread(threads: int) -> None:
    seen = []

    def work(batch: int) -> int:
        seen.append(torch.get_num_threads())
        return batch * 2

    assert map_batches(work, range(20)) == [2 * number for number in range(20)]
    assert map_batches(work, []) == []
    assert seen == [1] * 20
    assert torch.get_num_threads() == threads


def test_batches_run_at_the_same_time() -> None:
    """Each waits until the other has begun."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    both = threading.Barrier(2, timeout=30)
    try:
        assert sorted(map_batches(lambda _: both.wait(), [0, 0])) == [0, 1]
    finally:
        torch.set_num_threads(before)


def test_an_error_is_raised_and_the_threads_are_given_back(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        map_batches(lambda number: 1 // number, [1, 0, 1])
    assert torch.get_num_threads() == threads


def test_small_networks_on_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch.nn.Linear(10, 10)
    assert runs_apart(network, "cpu")
    assert not runs_apart(network, "cuda")
    monkeypatch.setattr("anytag.inference.parallel.MAX_BYTES", 439)  # it has 440
    assert not runs_apart(network, "cpu")


def test_scores_do_not_depend_on_the_number_of_batches(tiny_model: Path, threads: int) -> None:
    tagger = Tagger.from_pretrained(tiny_model, device="cpu", dtype="float32")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    many = tagger.score_many(pixels)
    np.testing.assert_allclose(many, tagger.score(pixels), atol=1e-5)
    for start in (0, 4, 8):
        np.testing.assert_array_equal(
            tagger.score_many(pixels[start : start + 4]), many[start:][:4]
        )
    assert tagger.score_many(pixels[:0]).shape == (0, len(tagger.labels))
