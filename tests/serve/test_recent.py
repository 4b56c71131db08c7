"""The memory of what was made lately."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from anytag.serve.recent import Recent


def test_the_one_not_asked_for_the_longest_goes() -> None:
    recent, made = Recent(2), []

    def get(key: str) -> str:
        return recent.get(key, lambda: made.append(key) or key.upper())

    assert [get(key) for key in "abacb"] == ["A", "B", "A", "C", "B"]
    assert made == ["a", "b", "c", "b"]
    assert len(recent) == 2


def test_many_threads_make_it_once() -> None:
    recent, made, ready = Recent(4), [], threading.Barrier(4)

    def make() -> object:
        made.append(1)
        return object()

    def get(_: int) -> object:
        ready.wait(10)
        return recent.get("key", make)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(get, range(4)))
    assert made == [1]
    assert len(set(map(id, found))) == 1


def test_what_fails_is_not_kept() -> None:
    recent = Recent(4)

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        recent.get("key", fail)
    assert recent.get("key", lambda: 5) == 5
