"""Running a training from the command line: bar, lines of validation, the closing word."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from anytag.training.config import TrainConfig
from anytag.training.run import train
from anytag.training.trainer import Losses
from anytag.training.validation import Validation

#: steps over which the loss that is shown is averaged
_SMOOTH = 20


class Bar:
    """A `Listener` that shows a bar on a terminal, and validations as lines on any output."""

    def __init__(self, batch_size: int, *, shown: bool) -> None:
        self._console = Console(stderr=True)
        self._batch_size = batch_size
        self._loss: float | None = None
        self._shown = shown
        self._progress = Progress(
            TextColumn("{task.fields[part]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (shown and self._console.is_terminal),
        )
        self._task = self._progress.add_task("", total=None, part="", rate="", loss="")
        self._is_caching = False

    def noted(self, text: str) -> None:
        """Print it."""
        if self._shown:
            self._console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)

    def caching(self, done: int, total: int, size: int) -> None:
        """Show a bar of the cache, and first a line of what it takes."""
        if not self._is_caching and self._shown:
            self._console.print(
                f"caching what the frozen backbone gives, {size / 1e6:,.0f} MB in the run's cache/",
                highlight=False,
            )
            self._progress.start()
        self._is_caching = True
        speed = self._progress.tasks[0].speed
        rate = "" if speed is None else f"{speed:.1f} views/s"
        self._progress.update(self._task, completed=done, total=total, part="caching", rate=rate)

    def started(self, step: int, total: int) -> None:
        """Show the bar of the steps."""
        self._progress.reset(
            self._task, total=total, completed=step, part="epoch 1", rate="", loss="loss –"
        )
        self._progress.start()
        if step and self._shown:
            self._console.print(f"going on at step {step:,} of {total:,}")

    def stepped(self, step: int, epoch: int, losses: Losses) -> None:
        """Move the bar."""
        loss = losses["total"]
        mean = loss if self._loss is None else self._loss + (loss - self._loss) / _SMOOTH
        self._loss = mean
        speed = self._progress.tasks[0].speed
        rate = "" if speed is None else f"{speed * self._batch_size:.1f} images/s"
        self._progress.update(
            self._task,
            completed=step,
            part=f"epoch {epoch + 1}",
            loss=f"loss {mean:.3f}",
            rate=rate,
        )

    def validated(self, step: int, validation: Validation, is_best: bool) -> None:
        """Print a line."""
        if not self._shown:
            return
        value = validation.mean
        shown = "no tag occurs in the validation pictures"
        if value is not None:
            shown = f"mAP {100 * value:.1f} % over {validation.num_tags} tags"
        best = "  (best so far, saved)" if is_best else ""
        self._console.print(f"step {step:,}: {shown}{best}", highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def run_training(config: TrainConfig, *, resume: bool) -> None:
    """Train, write the report, say where the model is.

    Raises:
        AnytagError: see `anytag.training.run.train`
    """
    from anytag.training.run_report import write_report

    main = _is_main_process()
    bar = Bar(config.run.batch_size, shown=main)
    try:
        done = train(config, bar, resume=resume)
    except KeyboardInterrupt:
        bar.close()
        if main:
            typer.echo(
                f"anytag: interrupted; go on with: anytag train --resume -o {config.output}",
                err=True,
            )
        sys.exit(130)
    finally:
        bar.close()
    if not main:
        return
    report = write_report(done.folder)
    best = done.progress.best_map
    measured = "" if best is None else f", validation mAP {100 * best:.1f} %"
    skipped = done.progress.num_skipped
    if skipped:
        typer.echo(f"{skipped:,} times a picture could not be read and was replaced", err=True)
    typer.echo(f"model: {done.model}{measured}")
    typer.echo(f"report: {report}")


def _is_main_process() -> bool:
    from os import environ

    return environ.get("RANK", "0") == "0"
