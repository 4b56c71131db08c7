"""A bar on standard error: images per second, time left, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Advance(Protocol):
    """Tells the bar that some more images are done, and how many of them failed."""

    def __call__(self, *, failed: int, num: int = 1) -> None: ...


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} images/s")


@contextmanager
def progress_bar(*, shown: bool, count: Callable[[], int] | None) -> Iterator[Advance]:
    """A bar around a run.

    Args:
        shown: False gives a bar that does nothing
        count: counts the images, in a thread, as a large tree takes a while; None if they cannot
            be counted before
    """
    progress = Progress(
        TextColumn("tagging"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[errors]}"),
        console=Console(stderr=True),
        disable=not shown,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    num_failed = 0
    with progress:
        task = progress.add_task("tagging", total=None, errors="")
        if shown and count is not None:
            Thread(target=lambda: progress.update(task, total=count()), daemon=True).start()

        def advance(*, failed: int, num: int = 1) -> None:
            nonlocal num_failed
            num_failed += failed
            progress.update(task, advance=num, errors=f"{num_failed} failed" if num_failed else "")

        yield advance
