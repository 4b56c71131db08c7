"""A run of ``anytag parse``: read, parse, write; resumed at the last whole block.

``OUT.run.json`` beside OUT says how many captions are done and how long OUT then was. A resumed run
cuts OUT to that length, passes over as many captions, and goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from anytag.cli.interrupts import interrupts_wait
from anytag.cli.parse_batches import CSV_COLUMNS, Block, ParserSpec, parse_blocks
from anytag.data.captions import Caption, read_captions, read_lines
from anytag.errors import OutputError, UsageError
from anytag.files import atomic_write, display_path

_MAX_SHOWN = 10


@dataclass
class Progress:
    """What is in OUT."""

    captions: int = 0
    bytes: int = 0
    tags: int = 0
    recoded: int = 0
    failed: int = 0

    def add(self, block: Block) -> None:
        """Count a block that was written."""
        self.captions += block.num_captions
        self.bytes += len(block.data)
        self.tags += block.num_tags
        self.recoded += block.num_recoded
        self.failed += len(block.errors)


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
    settings = {"inputs": list(inputs), "column": column, **asdict(spec)}
    if out is None:
        progress = _to_stdout(_captions(readers), spec, processes)
    else:
        with _opened(out, settings, resume=resume, overwrite=overwrite) as (file, progress):
            captions = islice(_captions(readers), progress.captions, None)
            for block in parse_blocks(captions, spec, processes=processes):
                with interrupts_wait():
                    _write(file, block.data, out)
                    progress.add(block)
                    _note(out, settings, progress)
                _show(block, progress)
    if not quiet:
        _summary(progress)
    return 1 if progress.failed else 0


def _reader(path: str, column: str | None) -> Iterator[Caption]:
    if path == "-":
        return read_lines(sys.stdin.buffer, "-")
    return read_captions(Path(path), column=column)


def _captions(readers: list[Iterator[Caption]]) -> Iterator[Caption]:
    for reader in readers:
        yield from reader


def _to_stdout(captions: Iterator[Caption], spec: ParserSpec, processes: int) -> Progress:
    progress = Progress()
    if spec.form == "csv":
        sys.stdout.buffer.write(_header())
    for block in parse_blocks(captions, spec, processes=processes):
        sys.stdout.buffer.write(block.data)
        sys.stdout.buffer.flush()
        progress.add(block)
        _show(block, progress)
    return progress


def _header() -> bytes:
    return (",".join(CSV_COLUMNS) + "\n").encode()


def _write(file: IO[bytes], data: bytes, out: Path) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        raise OutputError(f"cannot write {display_path(out)}: {error.strerror}") from error


def _note_path(out: Path) -> Path:
    return out.with_name(out.name + ".run.json")


def _note(out: Path, settings: dict[str, Any], progress: Progress) -> None:
    with atomic_write(_note_path(out), text=True) as file:
        json.dump({"settings": settings, "progress": asdict(progress)}, file, indent=1)


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
            _write(file, _header(), out)
            progress.bytes = len(_header())
        _note(out, settings, progress)
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


def _show(block: Block, progress: Progress) -> None:
    """Errors on standard error, the first ones only; all are in the output."""
    shown = progress.failed - len(block.errors)
    for message in block.errors[: max(0, _MAX_SHOWN - shown)]:
        print(f"anytag: {display_path(message)}", file=sys.stderr)
    if shown < _MAX_SHOWN <= progress.failed:
        print("anytag: further errors are in the output only", file=sys.stderr)


def _summary(progress: Progress) -> None:
    parts = [f"{progress.captions - progress.failed:,} captions, {progress.tags:,} tags"]
    if progress.failed:
        parts.append(f"{progress.failed:,} rows without a caption")
    if progress.recoded:
        parts.append(f"{progress.recoded:,} not UTF-8, read as Windows-1252")
    print("; ".join(parts), file=sys.stderr)
