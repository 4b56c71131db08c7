"""Plans on disk: written once, read a line at a time, followed after a restart."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.distributed.job import Job, locked, open_job
from anytag.errors import UsageError

ROWS: list[tuple[dict[str, Any], int | None]] = [({"items": ["a", "b"]}, 2), ({"items": ["ü"]}, 1)]


def opened(out: Path, **changes: Any) -> Job:
    wanted: dict[str, Any] = {
        "settings": {"model": "m"}, "plan": lambda: ROWS, "suffix": ".jsonl", "mode": "new",
        "in_parts": False,
    }  # fmt: skip
    wanted |= changes
    return open_job(out, wanted.pop("settings"), wanted.pop("plan"), **wanted)


def test_a_plan_is_read_by_shard(tmp_path: Path) -> None:
    job = opened(tmp_path / "out")
    assert (job.num_shards, job.num_inputs) == (2, 3)
    assert [job.shard(1), job.shard(0)] == [{"items": ["ü"]}, {"items": ["a", "b"]}]
    assert job.part(1) == tmp_path / "out.job" / "00001.jsonl"


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.text(), st.text(st.characters(codec="utf-8"))), max_size=5))
def test_any_plan_comes_back(rows: list[dict[str, str]]) -> None:
    rows = [{key.encode("utf-8", "replace").decode(): row[key] for key in row} for row in rows]
    with tempfile.TemporaryDirectory() as name:
        job = opened(Path(name) / "out", plan=lambda: [(row, 1) for row in rows])
        assert [job.shard(number) for number in range(job.num_shards)] == rows


def test_inputs_are_not_counted_if_one_shard_does_not_know(tmp_path: Path) -> None:
    assert opened(tmp_path / "out", plan=lambda: [*ROWS, ({}, None)]).num_inputs is None


def test_a_restart_follows_the_plan_that_is_there(tmp_path: Path) -> None:
    first = opened(tmp_path / "out")

    def other() -> Iterator[Any]:
        raise AssertionError("was planned twice")
        yield

    assert opened(tmp_path / "out", plan=other, mode="resume") == first


def test_a_plan_that_was_killed_is_made_anew(tmp_path: Path) -> None:
    job = opened(tmp_path / "out")
    (job.folder / "job.json").unlink()
    (job.folder / "00007.json").write_text("{}")
    again = opened(tmp_path / "out", plan=lambda: [({"items": ["c"]}, 1)])
    assert (again.num_shards, again.shard(0)) == (1, {"items": ["c"]})
    assert again.step.counts(7) is None


@pytest.mark.parametrize(
    ("mode", "changed", "message"),
    [
        ("new", {"model": "m"}, "was begun; continue with --resume"),
        ("resume", {"model": "n"}, 'was begun with model = "m", this run has "n"'),
        ("resume", {"model": "m", "top_k": 3}, "top_k = null, this run has 3"),
    ],
)
def test_another_job_is_refused(tmp_path: Path, mode: str, changed: Any, message: str) -> None:
    opened(tmp_path / "out")
    with pytest.raises(UsageError, match=message):
        opened(tmp_path / "out", mode=mode, settings=changed)


def test_settings_are_compared_as_json(tmp_path: Path) -> None:
    opened(tmp_path / "out", settings={"exclude": ("a", "b")})
    opened(tmp_path / "out", settings={"exclude": ["a", "b"]}, mode="resume")


@pytest.mark.parametrize("mode", ["new", "resume"])
def test_an_output_is_not_replaced_by_accident(tmp_path: Path, mode: str) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        opened(tmp_path / "out", mode=mode)
    assert opened(tmp_path / "out", mode="overwrite").num_shards == 2
    assert (tmp_path / "out").read_text() == "mine"


def test_parts_stand_in_the_folder_itself(tmp_path: Path) -> None:
    job = opened(tmp_path / "out", in_parts=True, suffix=".csv")
    assert job.part(0) == tmp_path / "out" / "00000.csv"
    assert job.folder == tmp_path / "out" / "_job"


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        opened(tmp_path, in_parts=True, mode="overwrite")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_overwrite_removes_the_parts_of_the_job(tmp_path: Path) -> None:
    job = opened(tmp_path / "out", in_parts=True)
    job.part(0).write_text("old")
    opened(tmp_path / "out", in_parts=True, mode="overwrite")
    assert not job.part(0).exists()


def test_what_killed_workers_left_is_removed(tmp_path: Path) -> None:
    job = opened(tmp_path / "out")
    left = job.folder / ".anytag-0123.tmp"
    left.write_text("half")
    opened(tmp_path / "out", mode="resume")
    assert not left.exists()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    job = opened(tmp_path / "out")
    with locked(job), pytest.raises(UsageError, match="another run works in"), locked(job):
        pass
    with locked(job):
        pass
