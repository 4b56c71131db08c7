"""Captions from text, JSONL, CSV/TSV, parquet and webdataset files, one at a time.

Nothing in a file is fatal: a row that cannot be used becomes a `Caption` with an error, and reading
goes on. Text that is not UTF-8 is read as Windows-1252 and marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from anytag.data.caption_blocks import CaptionBlock, captions_of, line_blocks, row_blocks
from anytag.data.caption_rows import FAILURES, Caption, open_file
from anytag.data.caption_tables import check_pyarrow, read_parquet, read_shard, read_table
from anytag.errors import UsageError
from anytag.files import display_path

__all__ = ["Caption", "read_blocks", "read_captions", "read_lines"]

_LINES: dict[str, Literal["text", "json"]] = {".txt": "text", ".jsonl": "json", ".ndjson": "json"}
_TABLES = {".csv": read_table, ".tsv": read_table, ".parquet": read_parquet, ".tar": read_shard}


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
