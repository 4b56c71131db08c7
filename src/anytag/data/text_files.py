"""Text files of unknown quality -> lines: any encoding, any length, bounded memory.

Lines end with LF or CR LF only: captions hold other line separators of Unicode.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anytag.data.problems import Problems

#: bytes; a longer line is no caption: it is counted as malformed and left out
MAX_LINE = 64 * 1024 * 1024
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end."""

    #: from 1
    number: int
    text: str
    #: position in the file, in bytes, behind the line
    end: int


def read_lines(
    path: Path, problems: Problems, *, offset: int = 0, number: int = 0
) -> Iterator[Line]:
    """The lines of a text file; what is no UTF-8 is read as Windows-1252 and counted.

    Args:
        path: the file; if it cannot be read there are no lines, and a problem
        problems: gets what is wrong
        offset: where to begin, in bytes; the start of a line
        number: lines before that
    """
    try:
        with path.open("rb") as file:
            if file.read(2) in _UTF16:
                problems.add("encoding", path, None, "is UTF-16; convert it to UTF-8 to read it")
                return
            file.seek(offset)
            while raw := file.readline(MAX_LINE):
                number += 1
                if len(raw) == MAX_LINE and not raw.endswith(b"\n"):
                    while raw and not raw.endswith(b"\n"):
                        raw = file.readline(MAX_LINE)
                    problems.add("malformed", path, number, f"has more than {MAX_LINE:,} bytes")
                    continue
                raw = raw.removesuffix(b"\n").removesuffix(b"\r")
                if number == 1:
                    raw = raw.removeprefix(codecs.BOM_UTF8)
                text, is_clean = decode(raw)
                if not is_clean:
                    problems.add("encoding", path, number, "is not UTF-8; read as Windows-1252")
                yield Line(number, text, file.tell())
    except OSError as error:
        problems.add("unreadable", path, None, f"cannot be read: {error.strerror}")


def decode(raw: bytes) -> tuple[str, bool]:
    """Text of bytes, and whether they were UTF-8; never fails.

    >>> decode("café".encode()), decode("café".encode("cp1252"))
    (('café', True), ('café', False))
    """
    try:
        return raw.decode("utf-8"), True
    except UnicodeDecodeError:
        try:
            return raw.decode("cp1252"), False
        except UnicodeDecodeError:  # five bytes have no meaning there
            return raw.decode("latin-1"), False


def decode_file(raw: bytes) -> tuple[str, bool]:
    """As `decode`, for the content of a small file, which may begin with a byte order mark."""
    if raw.startswith(_UTF16):
        return raw.decode("utf-16", "replace"), True
    return decode(raw.removeprefix(codecs.BOM_UTF8))


def clean_text(text: str, path: object, line: int | None, problems: Problems) -> str:
    """One text field: no blanks around it, no NUL, only characters that can be written as UTF-8."""
    text = text.replace("\0", "").strip()
    if _SURROGATES.search(text):
        problems.add("encoding", path, line, "is not UTF-8; read as Windows-1252")
        # bytes that `json_items` has let through as U+DC80 to U+DCFF; the rest are halves of pairs
        text = _SURROGATES.sub(_repair, text)
    return text


def _repair(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return decode(bytes([code - 0xDC00]))[0]
    return "\N{REPLACEMENT CHARACTER}"


def split_csv(text: str) -> list[str]:
    """The fields of one CSV line.

    Raises:
        ValueError: a quoted field does not end, or is longer than Python's csv module accepts
    """
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise ValueError(f"is no CSV row ({error})") from error
