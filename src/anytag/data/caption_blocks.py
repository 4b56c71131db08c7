"""Captions in blocks that are cheap to hand to another process: lines as raw bytes, rows as tuples.

Who reads a file only looks for the ends of lines; to decode them, and to read their JSON, is left
to who takes the block (`captions_of`). Files that are no lines (CSV, parquet, tar) are read here.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import IO, Any, Literal

from anytag.data import caption_rows
from anytag.data.caption_rows import FAILURES, Caption, decode, from_object, from_utf16, too_long

#: a block of lines ends at the first end of a line behind this many bytes
BLOCK_BYTES = 1 << 18
#: a block of rows ends at this many captions, or characters
BLOCK_ROWS = 2000
_BLOCK_CHARACTERS = 1 << 20
#: read at once; what was read before a failure is kept, so this is what a cut file loses
_CHUNK = 1 << 13
_AS_CAPTION = partial(tuple.__new__, Caption)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionBlock:
    """Some captions of a file in a row."""

    #: "text" one a line, "json" an object a line, "rows" read already
    kind: Literal["text", "json", "rows"]
    source: str = ""
    #: number of the first line
    row: int = 1
    #: whole lines
    data: bytes = b""
    #: key of the caption, for "json"
    column: str | None = None
    #: fields of `Caption`, for "rows"; plain tuples pickle several times faster
    rows: Sequence[tuple[Any, ...]] = ()


def captions_of(block: CaptionBlock) -> Iterable[Caption]:
    """The captions of a block, in order."""
    if block.kind == "rows":
        return map(_AS_CAPTION, block.rows)
    return _json_captions(block) if block.kind == "json" else _text_captions(block)


def row_blocks(captions: Iterable[Caption]) -> Iterator[CaptionBlock]:
    """Captions that are read already, in blocks of bounded count and length."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    for caption in captions:
        rows.append(tuple(caption))
        size += len(caption.text)
        if len(rows) >= BLOCK_ROWS or size >= _BLOCK_CHARACTERS:
            yield CaptionBlock(kind="rows", rows=rows)
            rows, size = [], 0
    if rows:
        yield CaptionBlock(kind="rows", rows=rows)


def line_blocks(
    handle: IO[bytes], source: str, kind: Literal["text", "json"], column: str | None = None
) -> Iterator[CaptionBlock]:
    """The lines of a stream; what was read before it fails still comes."""
    row = 1
    for data in _whole_lines(handle):
        yield CaptionBlock(kind=kind, source=source, row=row, data=data, column=column)
        row += data.count(b"\n")


def pass_over(blocks: Iterable[CaptionBlock], count: int) -> Iterator[CaptionBlock]:
    """The blocks without their first captions."""
    for block in blocks:
        if count:
            captions = iter(captions_of(block))
            count -= sum(1 for _ in islice(captions, count))
            yield from row_blocks(captions)
        else:
            yield block


def _whole_lines(handle: IO[bytes]) -> Iterator[bytes]:
    """Blocks that end with a line; of a line that is too long, as much as shows that it is."""
    limit = caption_rows.MAX_BYTES
    pending = bytearray()
    end = 0  # of the last whole line
    is_dropping = False
    try:
        for chunk in _chunks(handle):
            if is_dropping:
                _, newline, chunk = chunk.partition(b"\n")
                if not newline:
                    continue
                pending += newline
                end, is_dropping = len(pending), False
            found = chunk.rfind(b"\n")
            end = len(pending) + found + 1 if found >= 0 else end
            pending += chunk
            if len(pending) - end > limit:
                del pending[end + limit :]
                is_dropping = True
            if end >= BLOCK_BYTES:
                yield bytes(pending[:end])
                del pending[:end]
                end = 0
    except FAILURES:
        if end:
            yield bytes(pending[:end])
        raise
    if pending:
        yield bytes(pending)


def _chunks(handle: IO[bytes]) -> Iterator[bytes]:
    read: Any = getattr(handle, "read1", handle.read)  # Any: not every stream has it
    chunk = read(_CHUNK)
    if chunk[:2] in (b"\xff\xfe", b"\xfe\xff"):
        handle = from_utf16(chunk, handle)
        read = handle.read
        chunk = read(_CHUNK)
    while chunk:
        yield chunk
        chunk = read(_CHUNK)


def _text_captions(block: CaptionBlock) -> Iterable[Caption]:
    """One caption a line; empty lines are none."""
    try:
        text = block.data.decode("utf-8")
    except UnicodeDecodeError:
        return _odd_text_captions(block)
    if "\ufeff" in text or len(block.data) >= caption_rows.MAX_BYTES:
        return _odd_text_captions(block)
    return [
        _AS_CAPTION((block.source, row, caption, None, False, None))
        for row, line in enumerate(text.split("\n"), block.row)
        if (caption := line.strip("\r\n\0"))
    ]


def _odd_text_captions(block: CaptionBlock) -> Iterator[Caption]:
    """The same, each line decoded by itself."""
    for row, line in _lines(block):
        if isinstance(line, str):
            yield Caption(source=block.source, row=row, error=("too_long", line))
            continue
        text, recoded = decode(line)
        if text := text.strip("\r\n\0"):
            yield Caption(source=block.source, row=row, text=text, recoded=recoded)


def _json_captions(block: CaptionBlock) -> Iterator[Caption]:
    source = block.source
    for row, line in _lines(block):
        if isinstance(line, str):
            yield Caption(source=source, row=row, error=("too_long", line))
            continue
        text, recoded = decode(line)
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Caption(source=source, row=row, error=("bad_json", str(error)))
            continue
        yield from from_object(source, row, value, block.column, recoded)


def _lines(block: CaptionBlock) -> Iterator[tuple[int, bytes | str]]:
    """Lines with their ends and their numbers; instead of one that is too long, a message."""
    for row, line in enumerate(io.BytesIO(block.data), block.row):
        is_long = len(line) - line.endswith(b"\n") >= caption_rows.MAX_BYTES
        yield row, too_long() if is_long else line
