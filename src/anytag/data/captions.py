"""Captions from text, JSONL, CSV/TSV, parquet and webdataset files, one at a time.

Nothing in a file is fatal: a row that cannot be used becomes a `Caption` with an error, and reading
goes on. Text that is not UTF-8 is read as Windows-1252 and marked.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Literal, NamedTuple

from anytag.data.caption_blocks import CaptionBlock, captions_of, line_blocks, row_blocks
from anytag.data.caption_rows import FAILURES, Caption, open_file
from anytag.data.caption_tables import check_pyarrow, read_parquet, read_shard, read_table
from anytag.errors import UsageError
from anytag.files import display_path

__all__ = [
    "Caption",
    "LineRange",
    "line_ranges",
    "read_blocks",
    "read_captions",
    "read_lines",
    "read_range",
]

_LINES: dict[str, Literal["text", "json"]] = {".txt": "text", ".jsonl": "json", ".ndjson": "json"}
#: bytes that are searched for ends of lines at a time
_LOOK = 1 << 20
_TABLES = {".csv": read_table, ".tsv": read_table, ".parquet": read_parquet, ".tar": read_shard}


class LineRange(NamedTuple):
    """Some whole lines of a file."""

    #: first byte
    offset: int
    #: bytes
    size: int
    #: number of the first line
    row: int


def read_captions(path: Path, *, column: str | None = None) -> Iterator[Caption]:
    """All captions of a file in order; the format follows the name.

    Args:
        path: .txt, .jsonl, .csv, .tsv, .parquet or .tar, also with .gz
        column: column or key of the caption; found by its name if None

    Raises:
        UsageError: the name has none of these endings
        MissingExtraError: parquet without pyarrow
    """
    blocks = read_blocks(path, column=column)
    return (caption for block in blocks for caption in captions_of(block))


def read_blocks(path: Path, *, column: str | None = None) -> Iterator[CaptionBlock]:
    """The same in blocks, most of whose work is still to be done.

    Raises:
        UsageError, MissingExtraError: as `read_captions`
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    ending = suffixes[-1] if suffixes else ""
    if ending == ".gz" and len(suffixes) > 1:
        ending = suffixes[-2]
    ending = ".tar" if ending == ".tgz" else ending
    if ending in _LINES:
        return _read_lines(path, _LINES[ending], column)
    if ending not in _TABLES:
        known = ", ".join([*_LINES, *_TABLES])
        raise UsageError(f"{display_path(path)}: captions are read from {known} files")
    if ending == ".parquet":
        check_pyarrow()
    return row_blocks(_guarded(path, _TABLES[ending](path, column)))


def read_lines(handle: IO[bytes], source: str) -> Iterator[Caption]:
    """Captions of a stream, one a line."""
    blocks = line_blocks(handle, source, "text")
    return (caption for block in blocks for caption in captions_of(block))


def line_ranges(path: Path, size: int) -> Iterator[LineRange | None]:
    """The lines of a plain file in ranges of about ``size`` bytes, found in one pass.

    None stands for the whole of a file that has no such ranges: tables, archives, compressed
    files, UTF-16, and what cannot be read.
    """
    if path.suffix.lower() not in _LINES:
        yield None
        return
    try:
        with path.open("rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                yield None
                return
            file.seek(0)
            start = end = 0
            row = first = 1
            while block := file.read(_LOOK):
                found = block.rfind(b"\n")
                if found >= 0 and end + found + 1 - start >= size:
                    cut = end + found + 1
                    row += block.count(b"\n")
                    yield LineRange(start, cut - start, first)
                    start, first = cut, row
                else:
                    row += block.count(b"\n")
                end += len(block)
            if end > start:
                yield LineRange(start, end - start, first)
    except OSError:
        yield None


def read_range(
    path: Path, lines: LineRange, *, column: str | None = None
) -> Iterator[CaptionBlock]:
    """The captions of a range of `line_ranges`, as `read_blocks` gives them."""
    kind = _LINES[path.suffix.lower()]
    row = lines.row - 1
    try:
        with path.open("rb") as raw:
            raw.seek(lines.offset)
            handle = io.BytesIO(raw.read(lines.size))
        for block in line_blocks(handle, str(path), kind, column):
            yield replace(block, row=block.row + lines.row - 1)
    except FAILURES as error:
        yield from row_blocks([_failed(path, row, error)])


def _guarded(path: Path, captions: Iterator[Caption]) -> Iterator[Caption]:
    """Failures of the file itself as the last caption."""
    row = 0
    try:
        for caption in captions:
            row = caption.row
            yield caption
    except FAILURES as error:
        yield _failed(path, row, error)


def _read_lines(
    path: Path, kind: Literal["text", "json"], column: str | None
) -> Iterator[CaptionBlock]:
    row = 0
    try:
        with open_file(path) as handle:
            for block in line_blocks(handle, str(path), kind, column):
                row = block.row + block.data.count(b"\n") - 1
                yield block
    except FAILURES as error:
        yield from row_blocks([_failed(path, row, error)])


def _failed(path: Path, row: int, error: BaseException) -> Caption:
    if isinstance(error, FileNotFoundError):
        return Caption(source=str(path), row=0, error=("missing", "no such file"))
    message = f"reading stopped after row {row}: {error}"
    return Caption(source=str(path), row=0, error=("unreadable", message))
