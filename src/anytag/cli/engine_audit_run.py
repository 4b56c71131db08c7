"""What ``anytag engine audit`` does; apart from its options, as this imports the heavy parts."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from anytag.cli.engine_run import steps_progress
from anytag.cli.interrupts import interrupts_told
from anytag.data.sources import open_source
from anytag.engine.audit_run import Audit, AuditOptions, examples, run_audit, summary
from anytag.engine.config import GroundConfig
from anytag.engine.corrected import correct
from anytag.errors import ConfigError, UsageError
from anytag.files import display_path
from anytag.inference.tagger import Tagger

#: pictures that cannot be read, and rows that are not well, which are named
_NUM_SHOWN = 5


def run_audit_command(
    dataset: Path,
    kind: str,
    images: Path | None,
    output: Path,
    *,
    model: str,
    device: str,
    limit: int,
    least: float,
    detector: str,
    quiet: bool,
) -> int:
    """Audit; the exit code: 1 where pictures were left out."""
    options = AuditOptions(limit=limit, least=least, detector=detector)
    if detector != "none":
        try:
            GroundConfig(detector=detector)
        except ConfigError as error:
            raise UsageError(f"{error}, or none") from error
    source = open_source(dataset, kind, images=images)
    tagger = Tagger.from_pretrained(model, device=device)
    shown = not quiet and sys.stderr.isatty()
    told = interrupts_told("run the same command again to go on")
    with told, steps_progress(shown=shown) as report:
        audit = run_audit(source, tagger, output, options, report)
    typer.echo(output / "audit.csv")
    if not quiet:
        _tell(audit, limit, output)
    return 1 if audit.unreadable else 0


def _tell(audit: Audit, limit: int, output: Path) -> None:
    for problem in audit.problems.examples[:_NUM_SHOWN]:
        typer.echo(f"{problem.kind}: {problem}", err=True)
    for why in examples(audit, _NUM_SHOWN):
        typer.echo(why, err=True)
    for line in summary(audit, limit):
        typer.echo(line, err=True)
    typer.echo(f"page: {display_path(output / 'audit.html')}", err=True)


def run_apply(
    dataset: Path,
    kind: str,
    images: Path | None,
    decisions: Path,
    output: Path,
    *,
    link: bool,
    quiet: bool,
) -> None:
    """Write the corrected set."""
    source = open_source(dataset, kind, images=images)
    done = correct(source, decisions, output, link=link)
    typer.echo(output)
    if not quiet:
        for note in done.notes:
            typer.echo(note, err=True)
        typer.echo(f"{done.added:,} labels added, {done.removed:,} removed", err=True)
