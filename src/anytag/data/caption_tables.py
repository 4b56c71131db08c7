"""Captions from CSV, TSV and parquet files and from webdataset shards."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from anytag.data.caption_rows import (
    CAPTION_KEYS,
    IMAGE_KEYS,
    MAX_BYTES,
    Caption,
    decode,
    from_object,
    lines_of,
    open_file,
)
from anytag.errors import MissingExtraError, UsageError
from anytag.files import display_path


def read_table(path: Path, column: str | None) -> Iterator[Caption]:
    is_tsv = ".tsv" in [suffix.lower() for suffix in path.suffixes]
    recoded_rows = 0

    def texts(handle: IO[bytes]) -> Iterator[str]:
        nonlocal recoded_rows
        for _, line in lines_of(handle):
            text, recoded = decode(line) if isinstance(line, bytes) else ("", False)
            recoded_rows += recoded
            yield text.replace("\0", "")

    with open_file(path) as handle, _wide_fields():
        lines = texts(handle)
        rows = (
            csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            if is_tsv
            else csv.reader(lines)
        )
        place: tuple[int, int | None] | None = None
        row, before = 0, 0
        while True:
            row += 1
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield Caption(source=str(path), row=row, error=("bad_row", str(error)))
                continue
            recoded, before = recoded_rows > before, recoded_rows
            if not any(cells):
                continue
            if place is None:
                place, is_header = _columns(path, cells, column)
                if is_header:
                    continue
            yield _from_cells(str(path), row, cells, place, recoded)


def _from_cells(
    source: str, row: int, cells: list[str], place: tuple[int, int | None], recoded: bool
) -> Caption:
    text_at, image_at = place
    image = cells[image_at] if image_at is not None and image_at < len(cells) else None
    if text_at >= len(cells):
        message = f"{len(cells)} columns, the caption is in column {text_at + 1}"
        return Caption(source=source, row=row, image=image, error=("bad_row", message))
    text = cells[text_at]
    if not text.strip():
        return Caption(source=source, row=row, image=image, error=("no_caption", "empty cell"))
    return Caption(source=source, row=row, text=text, image=image, recoded=recoded)


def _columns(
    path: Path, cells: list[str], column: str | None
) -> tuple[tuple[int, int | None], bool]:
    """Columns of caption and image, and whether this row is the header.

    Without a header (CC3M, SBU) the caption is the cell with the most words that is no URL.
    """
    names = [cell.strip().lower() for cell in cells]
    if column is not None:
        if column.lower() not in names:
            raise UsageError(f"{display_path(path)}: no column {column!r} in its first row")
        text_at: int | None = names.index(column.lower())
    else:
        text_at = next((names.index(name) for name in CAPTION_KEYS if name in names), None)
    if text_at is not None:
        image_at = next((names.index(name) for name in IMAGE_KEYS if name in names), None)
        return (text_at, image_at), True
    best = max(range(len(cells)), key=lambda at: cells[at].count(" ") - 99 * ("://" in cells[at]))
    other = next((at for at in range(len(cells)) if at != best), None)
    return (best, other), False


@contextmanager
def _wide_fields() -> Iterator[None]:
    """The csv module's limit is global; it is put back."""
    before = csv.field_size_limit(MAX_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def check_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet") from None


def read_parquet(path: Path, column: str | None) -> Iterator[Caption]:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = {name.lower(): name for name in file.schema_arrow.names}
            wanted = (column.lower(),) if column else CAPTION_KEYS
            text_name = next((names[name] for name in wanted if name in names), None)
            if text_name is None:
                raise UsageError(
                    f"{display_path(path)}: no caption column; name one of "
                    f"{', '.join(file.schema_arrow.names)} with --column"
                )
            image_name = next((names[name] for name in IMAGE_KEYS if name in names), None)
            row = 0
            for batch in file.iter_batches(1024, columns=[text_name, *filter(None, [image_name])]):
                for value in batch.to_pylist():
                    row += 1
                    yield from from_object(str(path), row, value, text_name)
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        yield Caption(source=str(path), row=0, error=("unreadable", str(error)))


def read_shard(path: Path, column: str | None) -> Iterator[Caption]:
    """A webdataset shard: members of one sample share the name up to the first dot."""
    key, parts, row = "", dict[str, bytes](), 0
    with tarfile.open(path, mode="r|*") as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            stem, _, kind = name.partition(".")
            stem = f"{folder}/{stem}" if folder else stem
            if not member.isfile():
                continue
            if stem != key:
                if row:
                    yield from _from_sample(str(path), row, key, parts, column)
                key, parts, row = stem, {}, row + 1
            if kind.lower() in ("txt", "caption", "cap", "json") and member.size < MAX_BYTES:
                handle = archive.extractfile(member)
                parts[kind.lower()] = handle.read() if handle else b""
            archive.members.clear()  # type: ignore[attr-defined]  # the list would grow for ever
        if row:
            yield from _from_sample(str(path), row, key, parts, column)


def _from_sample(
    source: str, row: int, key: str, parts: Mapping[str, bytes], column: str | None
) -> Iterator[Caption]:
    plain = next((parts[kind] for kind in ("txt", "caption", "cap") if kind in parts), None)
    if plain is not None and column is None:
        text, recoded = decode(plain)
        if text.strip():
            yield Caption(source=source, row=row, text=text.strip(), image=key, recoded=recoded)
        else:
            yield Caption(source=source, row=row, image=key, error=("no_caption", "empty text"))
        return
    try:
        value = json.loads(decode(parts["json"])[0]) if "json" in parts else None
    except ValueError as error:
        yield Caption(source=source, row=row, image=key, error=("bad_json", str(error)))
        return
    for caption in from_object(source, row, value, column):
        yield Caption(source=source, row=row, text=caption.text, image=key, error=caption.error)
