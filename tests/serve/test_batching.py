"""The batcher alone: what goes together, in which order, and what errors do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from anytag.serve.batching import Batcher


class Recorder:
    """A task that notes its batches; the first one waits for ``go``."""

    def __init__(self, log: list[Any], name: str, go: threading.Event | None = None) -> None:
        self.log = log
        self.name = name
        self.go = go
        self.entered = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.entered.set()
        if self.go is not None:
            assert self.go.wait(10)
        self.log.append((self.name, list(items)))
        return [item * 10 for item in items]


@pytest.fixture
def log() -> list[Any]:
    return []


@pytest.fixture
def go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def busy(batcher: Batcher[int], log: list[Any], go: threading.Event) -> Recorder:
    """Keeps the thread in a first batch, which is [0]."""
    first = Recorder(log, "first", go)
    batcher.submit(first, 0)
    assert first.entered.wait(10)
    return first


def test_a_batch_gathers_while_the_model_works(log: list[Any], go: threading.Event) -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=3, max_delay_s=0.0)
    busy(batcher, log, go)
    task = Recorder(log, "next")
    futures = [batcher.submit(task, number) for number in range(1, 6)]
    assert batcher.num_waiting == 5
    go.set()
    assert [future.result(10) for future in futures] == [10, 20, 30, 40, 50]
    assert log == [("first", [0]), ("next", [1, 2, 3]), ("next", [4, 5])]
    batcher.close()


def test_only_the_same_task_goes_together_and_the_oldest_first(
    log: list[Any], go: threading.Event
) -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=8, max_delay_s=0.0)
    busy(batcher, log, go)
    one, other = Recorder(log, "one"), Recorder(log, "other")
    order = [(other, 1), (one, 2), (other, 3), (one, 4)]
    futures = [batcher.submit(task, number) for task, number in order]
    go.set()
    assert [future.result(10) for future in futures] == [10, 20, 30, 40]
    assert log[1:] == [("other", [1, 3]), ("one", [2, 4])]
    batcher.close()


def test_large_batches_are_cut_to_a_multiple(log: list[Any], go: threading.Event) -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=16, max_delay_s=0.0, multiple=4)
    busy(batcher, log, go)
    task = Recorder(log, "next")
    futures = [batcher.submit(task, number) for number in range(11)]
    go.set()
    for future in futures:
        future.result(10)
    assert [len(items) for _, items in log[1:]] == [8, 3]
    batcher.close()


def test_an_idle_model_waits_for_a_full_batch(log: list[Any]) -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=2, max_delay_s=3600.0)
    task = Recorder(log, "task")
    first = batcher.submit(task, 1)
    assert not task.entered.wait(0.05)
    second = batcher.submit(task, 2)
    assert (first.result(10), second.result(10)) == (10, 20)
    assert log == [("task", [1, 2])]
    batcher.close()


def test_an_item_waits_no_longer_than_the_delay(log: list[Any]) -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=100, max_delay_s=0.01)
    assert batcher.submit(Recorder(log, "task"), 7).result(10) == 70
    batcher.close()


def test_closing_finishes_what_waits_and_refuses_more(log: list[Any]) -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=100, max_delay_s=3600.0)
    futures = [batcher.submit(Recorder(log, "task"), number) for number in range(3)]
    batcher.close()
    assert [future.result(0) for future in futures] == [0, 10, 20]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(Recorder(log, "task"), 1)


def test_a_cancelled_item_is_left_out(log: list[Any], go: threading.Event) -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=8, max_delay_s=0.0)
    busy(batcher, log, go)
    task = Recorder(log, "next")
    futures = [batcher.submit(task, number) for number in (1, 2, 3)]
    alone = batcher.submit(Recorder(log, "cancelled"), 4)
    assert futures[1].cancel()
    assert alone.cancel()
    go.set()
    batcher.close()
    assert log[1:] == [("next", [1, 3])]


def test_one_bad_item_does_not_take_the_others_with_it(go: threading.Event) -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=8, max_delay_s=0.0)
    busy(batcher, [], go)

    def divide(items: Sequence[int]) -> list[int]:
        return [100 // item for item in items]

    futures = [batcher.submit(divide, number) for number in (5, 0, 4)]
    go.set()
    assert futures[0].result(10) == 20
    assert futures[2].result(10) == 25
    with pytest.raises(ZeroDivisionError):
        futures[1].result(10)
    batcher.close()


def test_a_task_that_loses_results_is_an_error() -> None:
    batcher: Batcher[int] = Batcher("test", max_batch=1, max_delay_s=0.0)
    with pytest.raises(ValueError, match="zip"):
        batcher.submit(lambda items: [], 1).result(10)
    batcher.close()


def test_every_batch_is_observed(log: list[Any], go: threading.Event) -> None:
    seen: list[tuple[int, float]] = []
    batcher: Batcher[int] = Batcher(
        "test", max_batch=2, max_delay_s=0.0, observe=lambda *batch: seen.append(batch)
    )
    busy(batcher, log, go)
    task = Recorder(log, "next")
    for number in range(3):
        batcher.submit(task, number, Future())
    go.set()
    batcher.close()
    assert [size for size, _ in seen] == [1, 2, 1]
    assert all(seconds >= 0 for _, seconds in seen)
