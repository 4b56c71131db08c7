"""What is done stays done; what is torn, or made otherwise, is made again or refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from anytag.engine.steps import Step, Steps, read_rows, run_shards, write_rows
from anytag.errors import OutputError, UsageError


class Made:
    """Writes shards and remembers which."""

    def __init__(self, step: Step, fail_at: int | None = None) -> None:
        self.step, self.fail_at = step, fail_at
        self.shards: list[int] = []

    def __call__(self, shard: int) -> Counter[str]:
        self.shards.append(shard)
        if shard == self.fail_at:
            raise KeyboardInterrupt
        write_rows(self.step.path(shard), iter([{"shard": shard}]))
        return Counter(rows=1)


def test_goes_on_at_the_shard_that_is_missing(tmp_path: Path) -> None:
    first = Made(Steps(tmp_path).open("a", {}), fail_at=2)
    with pytest.raises(KeyboardInterrupt):
        run_shards(first.step, 4, first)
    (tmp_path / "a" / ".anytag-0123.tmp").write_text("half a ro")
    again = Made(Steps(tmp_path).open("a", {}))
    assert run_shards(again.step, 4, again) == Counter(rows=4)
    assert again.shards == [2, 3]
    assert not list(tmp_path.glob("a/.anytag*"))
    third = Made(Steps(tmp_path).open("a", {}))
    assert run_shards(third.step, 4, third) == Counter(rows=4)
    assert third.shards == []


def test_a_shard_without_its_counts_is_made_again(tmp_path: Path) -> None:
    made = Made(Steps(tmp_path).open("a", {}))
    run_shards(made.step, 2, made)
    (tmp_path / "a" / "00001.json").unlink()
    (tmp_path / "a" / "manifest.json").unlink()
    again = Made(Steps(tmp_path).open("a", {}))
    run_shards(again.step, 2, again)
    assert again.shards == [1]


def test_other_settings_are_refused_or_made_anew(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    for name in ("a", "b"):
        made = Made(steps.open(name, {"threshold": 0.5}))
        run_shards(made.step, 1, made)
    with pytest.raises(UsageError, match=r"threshold = 0\.5, now it is 0\.7.*--redo"):
        Steps(tmp_path).open("a", {"threshold": 0.7})
    # a step made of another one is another one
    steps = Steps(tmp_path, redo=True)
    for name, threshold in (("a", 0.7), ("b", 0.5)):
        made = Made(steps.open(name, {"threshold": threshold}))
        run_shards(made.step, 1, made)
        assert made.shards == [0]


def test_a_folder_that_was_half_removed_is_not_trusted(tmp_path: Path) -> None:
    made = Made(Steps(tmp_path).open("a", {}))
    run_shards(made.step, 2, made)
    (tmp_path / "a" / "settings.json").unlink()
    again = Made(Steps(tmp_path).open("a", {}))
    run_shards(again.step, 2, again)
    assert again.shards == [0, 1]


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "00000.jsonl"
    path.write_text('{"a": 1}\n{"a"\n')
    with pytest.raises(OutputError, match=r"00000\.jsonl, line 2"):
        list(read_rows(path))
