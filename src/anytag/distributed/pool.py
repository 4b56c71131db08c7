"""All missing shards of a step, made by a pool of workers, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from anytag import errors
from anytag.distributed.storage import StorageError
from anytag.distributed.worker import (
    NOT_BEGUN,
    UNEXPECTED,
    Answer,
    Make,
    ShardWorker,
    forget_tries,
    stop_file,
)
from anytag.engine.steps import Step
from anytag.errors import AnytagError, OutputError

#: told each shard that is done
Report = Callable[[Answer], None]


class Pool(Protocol):
    """Workers somewhere."""

    def __call__(self, step: Step, make: Make, shards: Sequence[int], /) -> Iterator[Answer]:
        """Make shards; answers come in any order."""


def here(step: Step, make: Make, shards: Sequence[int]) -> Iterator[Answer]:
    """The pool of one worker in this process, without Ray."""
    return map(ShardWorker(step, make), shards)


def run_shards_on(
    pool: Pool,
    step: Step,
    num_shards: int,
    make: Make,
    *,
    report: Report = lambda answer: None,
) -> Counter[str]:
    """Make what is missing of a step.

    Args:
        pool: who makes it
        step: with what an earlier run has left
        num_shards: of the step
        make: see `Make`
        report: told of every shard, those done earlier first

    Returns:
        counts of the whole step

    Raises:
        KeyboardInterrupt: `request_stop` was called before all was done, by a signal's handler
        OutputError: the output cannot be written, or inputs are away; what is done stays done
        AnytagError: of a worker, for instance a model that cannot be read
    """
    forget_tries(step)
    missing = []
    for shard in range(num_shards):
        done = step.counts(shard)
        if done is None:
            missing.append(shard)
        else:
            report(Answer(shard=shard, counts=dict(done), tries=0))
    failure, away = None, []
    for answer in pool(step, make, missing) if missing else ():
        if answer.counts is not None:
            report(answer)
        elif answer.error is not None and answer.error[0] == StorageError.__name__:
            away.append(answer.error[1])  # the others' may be there
        elif answer.error is not None and answer.error != NOT_BEGUN:
            failure = failure or answer.error
            request_stop(step)  # the next shard would fail likewise
    stopped = stop_file(step).exists()
    stop_file(step).unlink(missing_ok=True)
    if failure is not None:
        raise _as_exception(*failure)
    if stopped:
        raise KeyboardInterrupt
    if away:
        raise OutputError(f"{len(away):,} shards were left undone: {away[0]}")
    return step.finish(num_shards)


def request_stop(step: Step) -> None:
    """Begin no more shards; those at work are completed."""
    with suppress(OSError):  # the disk may be full: then they fail one by one
        stop_file(step).touch()


def _as_exception(kind: str, message: str) -> Exception:
    if kind == UNEXPECTED:
        return RuntimeError(message)
    found = getattr(errors, kind, None)
    try:
        if isinstance(found, type) and issubclass(found, AnytagError):
            return found(message)
    except TypeError:  # some take more than a message
        pass
    return AnytagError(message)
