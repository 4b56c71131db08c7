"""One shard at a time, in a process that may die at any moment.

A worker that dies leaves no half shard behind (`anytag.engine.steps`), and another one makes the
shard again. A shard that ends its worker again and again must not hold up a job for ever: after
`PLAIN_TRIES` it is made one image at a time, if whoever makes it can (`Careful`), and after
`MAX_TRIES` it is given up.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from anytag.distributed.storage import StorageError
from anytag.engine.steps import Counts, Step
from anytag.errors import AnytagError, OutputError
from anytag.files import display_path

#: tries at the usual speed
PLAIN_TRIES = 3
#: tries in all
MAX_TRIES = 30
#: seconds before the next look at storage that is away
STORAGE_WAITS = (1.0, 5.0, 25.0)
#: `Answer.error` of a shard that was not begun because the job is stopping
NOT_BEGUN = ("", "")
#: class of an error that is no `AnytagError`; its message is a traceback
UNEXPECTED = "unexpected"
_STOP = "stop"
_TRIES = ".tries"


class Make(Protocol):
    """Makes shards. It is sent to other processes, so it loads its model there, when first used."""

    def __call__(self, shard: int, /) -> Counts:
        """Write the files of a shard, atomically.

        Raises:
            StorageError: its inputs are away
            OutputError: it cannot be written
        """


@runtime_checkable
class Careful(Protocol):
    """A `Make` that can find out what ends its process."""

    def carefully(self, shard: int, /) -> Counts:
        """As a call; notes on disk what it does next, and leaves out what it died of before."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What has become of a shard."""

    shard: int
    #: None if it was not made
    counts: dict[str, int] | None = None
    #: how often it was begun in this run
    tries: int = 1
    #: class and message
    error: tuple[str, str] | None = None


class ShardWorker:
    """Makes shards of a step and never raises.

    Args:
        step: of the shards
        make: of its shards
        cwd: folder that relative names belong to; None = the process's own
        waits: seconds before each new look at storage that is away
    """

    def __init__(
        self,
        step: Step,
        make: Make,
        *,
        cwd: str | None = None,
        waits: Sequence[float] = STORAGE_WAITS,
    ) -> None:
        self._step = step
        self._make = make
        self._cwd = cwd
        self._waits = waits

    def __call__(self, shard: int) -> Answer:
        """Make a shard, unless it is there."""
        try:
            self._go_there()
            if stop_file(self._step).exists():
                return Answer(shard=shard, tries=0, error=NOT_BEGUN)
            done = self._step.counts(shard)
            if done is not None:
                return Answer(shard=shard, counts=dict(done))
            tries = _count_try(self._step, shard)
            counts = self._made(shard, tries)
            self._step.finish_shard(shard, counts)
            with contextlib.suppress(OSError):
                tries_file(self._step, shard).unlink()
        except AnytagError as error:
            return Answer(shard=shard, error=(type(error).__name__, str(error)))
        except Exception:  # to be raised where the job was started
            return Answer(shard=shard, error=(UNEXPECTED, traceback.format_exc()))
        return Answer(shard=shard, counts=dict(counts), tries=tries)

    def _go_there(self) -> None:
        if self._cwd is None:
            return
        try:
            os.chdir(self._cwd)
            os.stat(self._step.folder)  # noqa: PTH116
        except OSError as error:
            raise StorageError(
                f"{display_path(error.filename)} is not there on {socket.gethostname()}; all nodes "
                "must see inputs and output under the same names"
            ) from error

    def _made(self, shard: int, tries: int) -> Counts:
        if tries > MAX_TRIES:
            raise OutputError(f"shard {shard} has ended its worker {tries - 1} times")
        careful = tries > PLAIN_TRIES and isinstance(self._make, Careful)
        make = self._make.carefully if careful else self._make  # type: ignore[attr-defined]
        for wait in self._waits:
            try:
                counts: Counts = make(shard)
            except StorageError:
                time.sleep(wait)
            else:
                return counts
        last: Counts = make(shard)
        return last


def stop_file(step: Step) -> Path:
    """While it is there no shard of the step is begun."""
    return step.folder / _STOP


def tries_file(step: Step, shard: int) -> Path:
    """As many bytes as times that the shard was begun in this run."""
    return step.path(shard, _TRIES)


def forget_tries(step: Step) -> None:
    """For a new run: that an earlier one was killed says nothing of a shard."""
    stop_file(step).unlink(missing_ok=True)
    for left in step.folder.glob(f"*{_TRIES}"):
        left.unlink()


def _count_try(step: Step, shard: int) -> int:
    path = tries_file(step, shard)
    try:
        with path.open("ab") as file:
            file.write(b".")
            file.flush()
            return file.tell()
    except OSError as error:
        raise OutputError(f"cannot write {display_path(path)}: {error.strerror}") from error
