"""Unreadable pictures are counted and named; too many are an error."""

from __future__ import annotations

import pytest

from anytag.errors import TrainingError
from anytag.training.skipping import WINDOW, Failure, Skipped


def fail(number: int) -> Failure:
    return Failure(f"{number}.jpg", "missing", f"{number}.jpg does not exist")


def test_counts_all_and_names_some() -> None:
    skipped = Skipped(10_000)
    for start in range(0, 1000, 10):
        skipped.add(30, [fail(number) for number in range(start, start + 10)])
    skipped.add(30, [fail(0), fail(1)])
    assert skipped.total == 1002
    assert list(skipped.failures)[:2] == ["0.jpg", "1.jpg"]
    assert len(skipped.failures) == 100


@pytest.mark.parametrize(("num_examples", "window"), [(10**6, WINDOW), (200, 200)])
def test_more_than_half_is_an_error(num_examples: int, window: int) -> None:
    skipped = Skipped(num_examples)
    for _ in range(10):
        skipped.add(window // 10, [fail(n) for n in range(window // 20)])  # half of them
    for _ in range(20):
        skipped.add(window // 10, [])  # good ones before do not help later
    failures = [fail(n) for n in range(window // 10)]
    for _ in range(5):
        skipped.add(window // 10, failures)
    message = rf"600 of the last 1,000 pictures .* {len(failures) - 1}\.jpg does not exist\. Check"
    if window == 200:
        message = message.replace("600", "120").replace("1,000", "200")
    with pytest.raises(TrainingError, match=message):
        skipped.add(window // 10, failures)


def test_a_bad_start_alone_is_none() -> None:
    skipped = Skipped(10**6)
    skipped.add(100, [fail(n) for n in range(100)])
    skipped.add(900, [])
    assert skipped.total == 100
