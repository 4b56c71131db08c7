"""What ``anytag engine`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from anytag.cli.interrupts import interrupts_drain, interrupts_told
from anytag.config import from_plain
from anytag.distributed.engine import engine_runner
from anytag.distributed.pool import Pool
from anytag.engine.config import EngineConfig
from anytag.engine.pipeline import Engine, EngineResult, Report
from anytag.engine.report import write_report
from anytag.engine.steps import RunShards, run_shards
from anytag.errors import ConfigError, MissingExtraError, UsageError
from anytag.files import display_path
from anytag.training.config_file import change


def read_values(path: Path) -> dict[str, Any]:
    """The values of a YAML file.

    Raises:
        UsageError: it cannot be read, or holds no keys
        MissingExtraError: PyYAML is not installed
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", "engine") from error
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{display_path(path)}: cannot be read ({error.strerror})") from error
    except (ValueError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise UsageError(f"{display_path(path)}: no YAML: {why}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{display_path(path)}: expected keys and values, found {found!r:.60}")
    return found


def apply_changes(values: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Plain values with ``clean.num_categories=80`` and the like applied.

    Raises:
        UsageError: one is not of that form
    """
    try:
        return change(values, changes)
    except ConfigError as error:
        raise UsageError(str(error)) from error


def make_config(values: Mapping[str, Any]) -> EngineConfig:
    """The configuration of plain values.

    Raises:
        UsageError: a key or value is wrong; the message names it
    """
    try:
        return from_plain(EngineConfig, values, "config")
    except ConfigError as error:
        raise UsageError(str(error)) from error


def run_engine(
    config: EngineConfig,
    *,
    redo: bool,
    quiet: bool,
    pool: AbstractContextManager[Pool] | None = None,
) -> EngineResult:
    """Run, with progress and a table of counts on standard error, and write the report.

    Args:
        config: what to do
        redo: make steps anew that were made with other settings
        quiet: no progress, no table
        pool: who makes the shards of the long steps; None = this process
    """
    shown = not quiet and sys.stderr.isatty()
    told = interrupts_told("run the same command again to go on")
    with told, pool or nullcontext() as workers, steps_progress(shown=shown) as report:
        run: RunShards = run_shards
        if workers is not None:
            run = engine_runner(workers, interrupts_drain)
        engine = Engine(config, redo=redo, report=report, run=run)
        result = engine.run()
    write_report(config, result, Path(config.output) / "report.html")
    if not quiet:
        for problem in engine.problems.examples:
            typer.echo(f"{problem.kind}: {problem}", err=True)
        _print_counts(result)
        typer.echo(f"report: {display_path(Path(config.output) / 'report.html')}", err=True)
    return result


@contextmanager
def steps_progress(*, shown: bool) -> Iterator[Report]:
    """A bar for each step, in shards."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )
    tasks: dict[str, Any] = {}

    def report(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=total)
        progress.update(tasks[name], completed=done, total=total)

    with progress:
        yield report


def _print_counts(result: EngineResult) -> None:
    table = Table("step", "", "count", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    for step, counts in result.counts.items():
        for number, (name, count) in enumerate(sorted(counts.items())):
            table.add_row(step if number == 0 else "", name, f"{count:,}")
    Console(stderr=True, highlight=False).print(table)
