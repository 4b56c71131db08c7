"""Counts of findings, and telling keys apart."""

from __future__ import annotations

import pytest

from anytag.data.problems import Problems, SeenKeys


def test_all_are_counted_and_few_are_kept() -> None:
    problems = Problems(max_examples=2)
    for line in range(5):
        problems.add("malformed", "a\n.tsv", line, "is bad")
    problems.add("missing_image", "b.jpg", None, "is not there")
    assert problems.counts == {"malformed": 5, "missing_image": 1}
    assert [str(one) for one in problems.examples] == [
        "a\\n.tsv, line 0: is bad",
        "a\\n.tsv, line 1: is bad",
        "b.jpg: is not there",
    ]


def test_seen_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SeenKeys, "_RECENT", 7)
    seen = SeenKeys()
    assert all(seen.add(f"{number}") for number in range(100))
    assert not any(seen.add(f"{number}") for number in range(100))
    assert seen.add("\udce9")
    assert len(seen) == 101
