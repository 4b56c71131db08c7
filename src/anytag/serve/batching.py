"""Single items in, batches to the model: one thread, and a queue in front of it.

Items of the same task form a batch. While the model works the next one gathers by itself; where it
is idle, the first item waits a little for others. Of the tasks that are due, the one whose first
item has waited longest comes next, so that none starves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: items -> as many results; tasks are told apart by identity
Task = Callable[[Sequence[T]], Sequence[R]]


@dataclass(slots=True)
class _Entry(Generic[T]):
    item: T
    future: Future[Any]
    arrived: float = field(default_factory=time.monotonic)


class Batcher(Generic[T]):
    """Runs tasks on batches in a thread of its own, started at once.

    Args:
        name: of the thread
        max_batch: most items of a batch
        max_delay_s: seconds that an item waits for others while the thread is idle
        multiple: a batch above this many items is cut to a multiple of it
        observe: told the size of every batch, and the seconds it took
    """

    def __init__(
        self,
        name: str,
        *,
        max_batch: int,
        max_delay_s: float,
        multiple: int = 1,
        observe: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self._max_batch = max_batch
        self._max_delay_s = max_delay_s
        self._multiple = multiple
        self._observe = observe
        self._waiting: dict[int, tuple[Task[T, Any], deque[_Entry[T]]]] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Items that are not in the model yet."""
        with self._changed:
            return sum(len(entries) for _, entries in self._waiting.values())

    def submit(self, task: Task[T, R], item: T, future: Future[R] | None = None) -> Future[R]:
        """Put an item into the next batch of a task.

        Args:
            task: what to do with it
            item: any value
            future: gets the result; cancelling it takes a waiting item out

        Raises:
            RuntimeError: the batcher is closed
        """
        entry = _Entry(item, Future() if future is None else future)
        with self._changed:
            if self._closing:
                raise RuntimeError("the batcher is closed")
            self._waiting.setdefault(id(task), (task, deque()))[1].append(entry)
            self._changed.notify()
        return entry.future

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not (batch := self._take()):
                    if self._closing and not self._waiting:
                        return
                    self._changed.wait(self._next_due())
            task, entries = batch
            started = time.monotonic()
            _run(task, entries)
            self._observe(len(entries), time.monotonic() - started)
            del batch, entries  # an image is not held until the next one comes

    def _take(self) -> tuple[Task[T, Any], list[_Entry[T]]] | None:
        """The batch that is due, if one is; called with the lock held."""
        latest = time.monotonic() - self._max_delay_s
        due = [
            (entries[0].arrived, key)
            for key, (_, entries) in self._waiting.items()
            if self._closing or len(entries) >= self._max_batch or entries[0].arrived <= latest
        ]
        if not due:
            return None
        _, key = min(due)
        task, entries = self._waiting[key]
        size = min(len(entries), self._max_batch)
        if size > self._multiple:
            size -= size % self._multiple
        taken = [entries.popleft() for _ in range(size)]
        if not entries:
            del self._waiting[key]
        kept = [entry for entry in taken if entry.future.set_running_or_notify_cancel()]
        return (task, kept) if kept else self._take()

    def _next_due(self) -> float | None:
        """Seconds until an item has waited long enough; None if there is none."""
        oldest = min((entries[0].arrived for _, entries in self._waiting.values()), default=None)
        if oldest is None:
            return None
        return max(0.0, oldest + self._max_delay_s - time.monotonic())


def _run(task: Task[T, Any], entries: Sequence[_Entry[T]]) -> None:
    try:
        results = task([entry.item for entry in entries])
        pairs = list(zip(entries, results, strict=True))
    except Exception as error:
        if len(entries) == 1:
            entries[0].future.set_exception(error)
            return
        for entry in entries:  # each alone: one item must not take the others with it
            _run(task, [entry])
        return
    for entry, result in pairs:
        entry.future.set_result(result)
