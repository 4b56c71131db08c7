"""A run of ``anytag parse``: read, parse, write; resumed at the last whole block.

``OUT.run.json`` beside OUT says how many captions are done and how long OUT then was. A resumed run
cuts OUT to that length, passes over as many captions, and goes on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from anytag.cli.interrupts import interrupts_wait
from anytag.cli.parse_batches import Output, ParserSpec, parse_blocks
from anytag.cli.parse_output import CSV_COLUMNS
from anytag.data.caption_blocks import CaptionBlock, line_blocks, pass_over
from anytag.data.captions import read_blocks
from anytag.errors import OutputError, UsageError
from anytag.files import atomic_write, display_path

#: errors that are shown
MAX_SHOWN = 10
#: a run that is killed loses as much
_SECONDS_BETWEEN_NOTES = 1.0


@dataclass
class Progress:
    """What is in OUT."""

    captions: int = 0
    bytes: int = 0
    tags: int = 0
    recoded: int = 0
    failed: int = 0

    def add(self, done: Output) -> None:
        """Count a block that was written."""
        self.captions += done.num_captions
        self.bytes += len(done.data)
        self.tags += done.num_tags
        self.recoded += done.num_recoded
        self.failed += len(done.errors)


def run(
    inputs: Sequence[str],
    spec: ParserSpec,
    *,
    column: str | None = None,
    out: Path | None = None,
    processes: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> int:
    """Parse all captions of the inputs.

    Returns:
        the exit code: 1 if a row could not be used, else 0

    Raises:
        UsageError: an input has no known format, OUT exists, or belongs to another run
    """
    readers = [_reader(path, column) for path in inputs]  # wrong names are found before any work
    blocks = chain.from_iterable(readers)
    settings = {"inputs": list(inputs), "column": column, **asdict(spec)}
    if out is None:
        progress = _to_stdout(blocks, spec, processes)
    else:
        with _opened(out, settings, resume=resume, overwrite=overwrite) as (file, progress):
            note = _Note(out, settings)
            rest = pass_over(blocks, progress.captions)
            try:
                for done in parse_blocks(rest, spec, processes=processes):
                    with interrupts_wait():
                        _write(file, done.data, out)
                        progress.add(done)
                        note.keep_up(progress)
                    _show(done, progress)
            finally:
                note.write(progress)
    if not quiet:
        summary(progress)
    return 1 if progress.failed else 0


def _reader(path: str, column: str | None) -> Iterator[CaptionBlock]:
    if path == "-":
        return line_blocks(sys.stdin.buffer, "-", "text")
    return read_blocks(Path(path), column=column)


def _to_stdout(blocks: Iterator[CaptionBlock], spec: ParserSpec, processes: int) -> Progress:
    progress = Progress()
    if spec.form == "csv":
        sys.stdout.buffer.write(header())
    for done in parse_blocks(blocks, spec, processes=processes):
        sys.stdout.buffer.write(done.data)
        sys.stdout.buffer.flush()
        progress.add(done)
        _show(done, progress)
    return progress


def header() -> bytes:
    """First line of CSV."""
    return (",".join(CSV_COLUMNS) + "\n").encode()


def _write(file: IO[bytes], data: bytes, out: Path) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        raise OutputError(f"cannot write {display_path(out)}: {error.strerror}") from error


def _note_path(out: Path) -> Path:
    return out.with_name(out.name + ".run.json")


def write_note(out: Path, settings: dict[str, Any], progress: Progress) -> None:
    """``OUT.run.json``: what OUT holds."""
    with atomic_write(_note_path(out), text=True) as file:
        json.dump({"settings": settings, "progress": asdict(progress)}, file, indent=1)


class _Note:
    """``OUT.run.json``; written now and then only, as each time the disk is waited for."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self._out = out
        self._settings = settings
        self._written = time.monotonic()

    def keep_up(self, progress: Progress) -> None:
        """Write it if the last time is long ago."""
        if time.monotonic() - self._written >= _SECONDS_BETWEEN_NOTES:
            self.write(progress)

    def write(self, progress: Progress) -> None:
        write_note(self._out, self._settings, progress)
        self._written = time.monotonic()


@contextmanager
def _opened(
    out: Path, settings: dict[str, Any], *, resume: bool, overwrite: bool
) -> Iterator[tuple[IO[bytes], Progress]]:
    """OUT, ready to be added to, and what it holds."""
    if out.exists() and not (resume or overwrite):
        raise UsageError(f"{display_path(out)} exists; use --resume or --overwrite")
    progress = _resumed(out, settings) if resume and out.exists() else Progress()
    try:
        file = out.open("r+b" if progress.bytes else "wb")
    except OSError as error:
        raise OutputError(f"cannot write {display_path(out)}: {error.strerror}") from error
    with file:
        file.seek(progress.bytes)
        file.truncate()
        if not progress.bytes and settings["form"] == "csv":
            _write(file, header(), out)
            progress.bytes = len(header())
        _Note(out, settings).write(progress)
        yield file, progress


def _resumed(out: Path, settings: dict[str, Any]) -> Progress:
    note = _note_path(out)
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        before, progress = known["settings"], Progress(**known["progress"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{display_path(out)} cannot be resumed: {display_path(note)} is missing or broken; "
            "use --overwrite"
        ) from error
    different = sorted(key for key in settings if settings[key] != before.get(key))
    if different:
        raise UsageError(
            f"{display_path(out)} is of a run with another {different[0]}; use --overwrite"
        )
    if out.stat().st_size < progress.bytes:
        raise UsageError(f"{display_path(out)} is shorter than its run wrote; use --overwrite")
    return progress


def _show(done: Output, progress: Progress) -> None:
    """Errors on standard error, the first ones only; all are in the output."""
    shown = progress.failed - len(done.errors)
    for message in done.errors[: max(0, MAX_SHOWN - shown)]:
        print(f"anytag: {display_path(message)}", file=sys.stderr)
    if shown < MAX_SHOWN <= progress.failed:
        print("anytag: further errors are in the output only", file=sys.stderr)


def summary(progress: Progress) -> None:
    """The last line on standard error."""
    parts = [f"{progress.captions - progress.failed:,} captions, {progress.tags:,} tags"]
    if progress.failed:
        parts.append(f"{progress.failed:,} rows without a caption")
    if progress.recoded:
        parts.append(f"{progress.recoded:,} not UTF-8, read as Windows-1252")
    print("; ".join(parts), file=sys.stderr)
