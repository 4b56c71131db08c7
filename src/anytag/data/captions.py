"""Captions from text, JSONL, CSV/TSV, parquet and webdataset files, one at a time.

Nothing in a file is fatal: a row that cannot be used becomes a `Caption` with an error, and reading
goes on. Text that is not UTF-8 is read as Windows-1252 and marked.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from anytag.data.caption_rows import Caption, decode, from_object, lines_of, open_file
from anytag.data.caption_tables import check_pyarrow, read_parquet, read_shard, read_table
from anytag.errors import UsageError
from anytag.files import display_path

__all__ = ["Caption", "read_captions", "read_lines"]


def read_captions(path: Path, *, column: str | None = None) -> Iterator[Caption]:
    """All captions of a file in order; the format follows the name.

    Args:
        path: .txt, .jsonl, .csv, .tsv, .parquet or .tar, also with .gz
        column: column or key of the caption; found by its name if None

    Raises:
        UsageError: the name has none of these endings
        MissingExtraError: parquet without pyarrow
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    ending = suffixes[-1] if suffixes else ""
    if ending == ".gz" and len(suffixes) > 1:
        ending = suffixes[-2]
    ending = ".tar" if ending == ".tgz" else ending
    reader = _READERS.get(ending)
    if reader is None:
        known = ", ".join(_READERS)
        raise UsageError(f"{display_path(path)}: captions are read from {known} files")
    if ending == ".parquet":
        check_pyarrow()
    return _guarded(path, reader(path, column))


def read_lines(handle: IO[bytes], source: str) -> Iterator[Caption]:
    """Captions of a stream, one a line."""
    for row, line in lines_of(handle):
        if isinstance(line, str):
            yield Caption(source=source, row=row, error=("too_long", line))
            continue
        text, recoded = decode(line)
        if text := text.strip("\r\n\0"):
            yield Caption(source=source, row=row, text=text, recoded=recoded)


def _guarded(path: Path, captions: Iterator[Caption]) -> Iterator[Caption]:
    """Failures of the file itself as the last caption."""
    row = 0
    try:
        for caption in captions:
            row = caption.row
            yield caption
    except FileNotFoundError:
        yield Caption(source=str(path), row=0, error=("missing", "no such file"))
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        message = f"reading stopped after row {row}: {error}"
        yield Caption(source=str(path), row=0, error=("unreadable", message))


def _read_text(path: Path, column: str | None) -> Iterator[Caption]:
    with open_file(path) as handle:
        yield from read_lines(handle, str(path))


def _read_jsonl(path: Path, column: str | None) -> Iterator[Caption]:
    with open_file(path) as handle:
        for row, line in lines_of(handle):
            if isinstance(line, str):
                yield Caption(source=str(path), row=row, error=("too_long", line))
                continue
            text, recoded = decode(line)
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield Caption(source=str(path), row=row, error=("bad_json", str(error)))
                continue
            yield from from_object(str(path), row, value, column, recoded)


_READERS: dict[str, Callable[[Path, str | None], Iterator[Caption]]] = {
    ".txt": _read_text,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".csv": read_table,
    ".tsv": read_table,
    ".parquet": read_parquet,
    ".tar": read_shard,
}
