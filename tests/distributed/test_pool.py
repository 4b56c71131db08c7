"""All shards of a step: what is missing is made, whatever goes wrong with one."""

from __future__ import annotations

import pytest

from anytag.distributed.pool import here, request_stop, run_shards_on
from anytag.distributed.storage import StorageError
from anytag.distributed.worker import Answer, ShardWorker
from anytag.engine.steps import Counts, Step
from anytag.errors import AnytagError, ImageError, ModelError, OutputError


class Make:
    """Fails for some shards."""

    def __init__(self, failures: dict[int, Exception] | None = None) -> None:
        self.failures = failures or {}
        self.asked: list[int] = []

    def __call__(self, shard: int) -> Counts:
        self.asked.append(shard)
        if shard in self.failures:
            raise self.failures[shard]
        return {"images": 10}


def impatient(step, make, shards):  # type: ignore[no-untyped-def]
    return map(ShardWorker(step, make, waits=()), shards)


def test_all_are_made_and_counted(step: Step) -> None:
    answers: list[Answer] = []
    make = Make()
    assert run_shards_on(here, step, 3, make, report=answers.append) == {"images": 30}
    assert [answer.shard for answer in answers] == [0, 1, 2]
    assert step.manifest is not None
    assert step.manifest["num_shards"] == 3


def test_what_is_done_is_not_made_again(step: Step) -> None:
    step.finish_shard(1, {"images": 7})
    make, answers = Make(), []
    assert run_shards_on(here, step, 3, make, report=answers.append) == {"images": 27}
    assert make.asked == [0, 2]
    assert [(one.shard, one.tries) for one in answers] == [(1, 0), (0, 1), (2, 1)]


def test_no_shards(step: Step) -> None:
    assert run_shards_on(here, step, 0, Make()) == {}


def test_lost_storage_of_one_shard_does_not_stop_the_others(step: Step) -> None:
    make = Make({1: StorageError("x is away")})
    with pytest.raises(OutputError, match=r"1 shards were left undone: x is away"):
        run_shards_on(impatient, step, 4, make)
    assert make.asked == [0, 1, 2, 3]
    make.failures.clear()
    assert run_shards_on(impatient, step, 4, make) == {"images": 40}
    assert make.asked[4:] == [1]


def test_a_full_disk_stops_the_job(step: Step) -> None:
    make = Make({1: OutputError("the disk is full")})
    with pytest.raises(OutputError, match="the disk is full"):
        run_shards_on(here, step, 100, make)
    assert make.asked == [0, 1]
    make.failures.clear()
    assert run_shards_on(here, step, 100, make) == {"images": 1000}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ModelError("no such model"), ModelError),
        (ImageError("missing", "why"), AnytagError),
        (ZeroDivisionError("why"), RuntimeError),
    ],
)
def test_errors_come_back_as_what_they_were(
    step: Step, error: Exception, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=str(error)):
        run_shards_on(here, step, 2, Make({0: error}))


def test_a_stop_completes_what_is_begun(step: Step) -> None:
    make = Make()

    def report(answer: Answer) -> None:
        if answer.shard == 1:
            request_stop(step)

    with pytest.raises(KeyboardInterrupt):
        run_shards_on(here, step, 5, make, report=report)
    assert make.asked == [0, 1]
    assert run_shards_on(here, step, 5, make) == {"images": 50}
    assert make.asked == [0, 1, 2, 3, 4]
