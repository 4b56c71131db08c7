"""One bar for work of many parts: the engine's steps and trainings, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from anytag.training.trainer import Losses
from anytag.training.validation import Validation


class StepsBar:
    """A bar, which is also a `Listener` of trainings.

    Args:
        console: where lines are printed
        progress: shows the bar
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._task = progress.add_task("", total=None, part="", what="")

    def begin(self, part: str) -> None:
        """A part begins."""
        self._progress.reset(self._task, total=None, part=part, what="")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(line)

    def engine(self, name: str, done: int, total: int) -> None:
        """The engine has done so many shards of a step."""
        self._progress.update(self._task, completed=done, total=total, what=name)

    def noted(self, text: str) -> None:
        """Print a note on the training's data."""
        self.say(f"note: {text}")

    def caching(self, done: int, total: int, size: int) -> None:
        """So many views are in a training's cache."""
        self._progress.update(self._task, completed=done, total=total, what="caching")

    def started(self, step: int, total: int) -> None:
        """Training begins or goes on."""
        self._progress.update(self._task, completed=step, total=total, what="training")

    def stepped(self, step: int, epoch: int, losses: Losses) -> None:
        """One training step is done."""
        self._progress.update(self._task, completed=step)

    def validated(self, step: int, validation: Validation, is_best: bool) -> None:
        """Nothing: what counts is told at the end of the part."""


@contextmanager
def steps_bar(*, shown: bool) -> Iterator[StepsBar]:
    """A bar on a terminal; lines are printed on standard error in any case."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    progress = Progress(
        TextColumn("{task.fields[part]}: {task.fields[what]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (shown and sys.stderr.isatty()),
    )
    with progress:
        yield StepsBar(console, progress)
