"""One shard: skipped, waited for, tried again, given up; never an exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anytag.distributed.storage import StorageError, check_storage, is_readable, witnesses
from anytag.distributed.worker import (
    MAX_TRIES,
    NOT_BEGUN,
    PLAIN_TRIES,
    ShardWorker,
    forget_tries,
    stop_file,
    tries_file,
)
from anytag.engine.steps import Counts, Step
from anytag.errors import OutputError


class Make:
    """Writes down what it was asked for, and fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.asked: list[int] = []
        self.carefully_asked: list[int] = []
        self._failures = list(failures)

    def __call__(self, shard: int) -> Counts:
        self.asked.append(shard)
        if self._failures:
            raise self._failures.pop(0)
        return {"images": shard + 1}

    def carefully(self, shard: int) -> Counts:
        self.carefully_asked.append(shard)
        return {"images": 0}


def worker(step: Step, make: Callable[[int], Counts]) -> ShardWorker:
    return ShardWorker(step, make, waits=(0.0, 0.0))


def test_a_shard_is_made_once(step: Step) -> None:
    make = Make()
    work = worker(step, make)
    first, second = work(3), work(3)
    assert (first.counts, first.tries) == ({"images": 4}, 1)
    assert (second.counts, second.tries) == ({"images": 4}, 1)
    assert make.asked == [3]
    assert not tries_file(step, 3).exists()


def test_storage_that_comes_back(step: Step) -> None:
    make = Make(StorageError("away"), StorageError("away"))
    assert worker(step, make)(0).counts == {"images": 1}
    assert make.asked == [0, 0, 0]


def test_storage_that_stays_away(step: Step) -> None:
    answer = worker(step, Make(*[StorageError("away")] * 3))(0)
    assert (answer.counts, answer.error) == (None, ("StorageError", "away"))
    assert step.counts(0) is None


def test_errors_are_answers(step: Step) -> None:
    assert worker(step, Make(OutputError("full")))(0).error == ("OutputError", "full")
    answer = worker(step, Make(ZeroDivisionError("why")))(0)
    assert answer.error is not None
    kind, trace = answer.error
    assert kind == "unexpected"
    assert "ZeroDivisionError: why" in trace


def test_nothing_is_begun_while_the_job_stops(step: Step) -> None:
    stop_file(step).touch()
    make = Make()
    assert worker(step, make)(0).error == NOT_BEGUN
    assert make.asked == []


def test_a_shard_that_kills_is_made_carefully_then_given_up(step: Step) -> None:
    make = Make()
    tries_file(step, 0).write_bytes(b"." * (PLAIN_TRIES - 1))
    assert worker(step, make)(0).tries == PLAIN_TRIES
    assert (make.asked, make.carefully_asked) == ([0], [])
    tries_file(step, 1).write_bytes(b"." * PLAIN_TRIES)
    assert worker(step, make)(1).counts == {"images": 0}
    assert (make.asked, make.carefully_asked) == ([0], [1])
    tries_file(step, 2).write_bytes(b"." * MAX_TRIES)
    assert worker(step, make)(2).error == (
        "OutputError",
        f"shard 2 has ended its worker {MAX_TRIES} times",
    )


def test_a_make_that_cannot_be_careful_goes_on_as_before(step: Step) -> None:
    tries_file(step, 0).write_bytes(b"." * 9)
    assert worker(step, lambda shard: {"images": 5})(0).counts == {"images": 5}


def test_tries_of_an_earlier_run_do_not_count(step: Step) -> None:
    tries_file(step, 0).write_bytes(b"." * 9)
    stop_file(step).touch()
    forget_tries(step)
    assert worker(step, Make())(0).tries == 1


def test_a_node_that_does_not_see_the_output(tmp_path: Path) -> None:
    away = Step(name="s", folder=tmp_path / "nowhere", fingerprint="f")
    answer = ShardWorker(away, Make(), cwd=str(tmp_path), waits=())(0)
    assert answer.error is not None
    assert answer.error[0] == "StorageError"
    assert "nowhere is not there on" in answer.error[1]


def test_witnesses_are_files_that_are_there(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}" for number in range(5)]
    for path in paths[:4]:
        path.write_bytes(b"")
    assert witnesses(paths) == [paths[0], paths[2]]
    assert witnesses(paths[:1]) == paths[:1]
    assert witnesses([]) == []


def test_a_folder_is_no_readable_file(tmp_path: Path) -> None:
    assert not is_readable(tmp_path)


def test_a_missing_file_is_no_lost_storage(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"x")
    check_storage([there], [tmp_path / "gone"])
    check_storage([], [tmp_path / "gone"])
    check_storage([tmp_path / "gone"], [])


def test_lost_storage(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(StorageError, match="was there when the job was planned"):
        check_storage([gone], [gone])


def test_storage_that_was_away_for_a_while(tmp_path: Path) -> None:
    back = tmp_path / "back"
    back.write_bytes(b"x")
    with pytest.raises(StorageError, match="could not be read for a while"):
        check_storage([back], [back])
