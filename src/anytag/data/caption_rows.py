"""One caption of a file, and what all of its readers need: lines, decoding, JSON values."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

#: columns and keys that hold captions, and those that name the image, by precedence
CAPTION_KEYS = ("caption", "captions", "text", "sentence", "sentences", "raw", "alt", "title")
IMAGE_KEYS = (
    "image",
    "image_path",
    "path",
    "file_name",
    "filename",
    "key",
    "image_id",
    "id",
    "url",
)
#: longest line, field or archive member that is read, in bytes
MAX_BYTES = 1 << 24
#: what reading a damaged file raises
FAILURES = (OSError, EOFError, zlib.error, tarfile.TarError)


class Caption(NamedTuple):
    """One caption of a file, or why there is none."""

    #: file as given
    source: str
    #: line or row, from 1; 0 for the file as a whole
    row: int
    text: str = ""
    #: image or key that the row names
    image: str | None = None
    #: was not UTF-8
    recoded: bool = False
    #: stable word and message: ``missing``, ``unreadable``, ``bad_json``, ``bad_row``,
    #: ``no_caption``, ``too_long``, ``bad_archive``
    error: tuple[str, str] | None = None


def decode(data: bytes) -> tuple[str, bool]:
    """Bytes as text, and whether they were not UTF-8.

    >>> decode(b"caf\\xe9")
    ('caf\\xe9', True)
    """
    try:
        return data.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), True


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile(fileobj=raw) as unzipped:
                yield io.BufferedReader(unzipped)
        else:
            yield raw


def lines_of(handle: IO[bytes]) -> Iterator[tuple[int, bytes | str]]:
    """Lines with their numbers; instead of one that is too long, a message."""
    start = handle.readline(MAX_BYTES)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        handle = from_utf16(start, handle)
        start = handle.readline(MAX_BYTES)
    row, line = 1, start
    while line:
        if len(line) >= MAX_BYTES and not line.endswith(b"\n"):
            while (rest := handle.readline(MAX_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield row, too_long()
        else:
            yield row, line
        row += 1
        line = handle.readline(MAX_BYTES)


def too_long() -> str:
    """What is wrong with a line."""
    return f"the line is longer than {MAX_BYTES} bytes"


def from_utf16(start: bytes, rest: IO[bytes]) -> IO[bytes]:
    """A stream that begins with ``start``, as UTF-8."""
    text = (start + rest.read(MAX_BYTES)).decode("utf-16", "replace")
    return io.BytesIO(text.encode("utf-8", "replace"))


def from_object(
    source: str, row: int, value: object, column: str | None, recoded: bool = False
) -> Iterator[Caption]:
    """Captions of a JSON value: a string, or an object with one or more of them."""
    image = None
    found: object = value
    if isinstance(value, Mapping):
        keys = {str(key).lower(): key for key in value}
        chosen = value.get(column) if column else _first(value, keys, CAPTION_KEYS)
        found = chosen
        named = _first(value, keys, IMAGE_KEYS)
        image = None if named is None else str(named)
    texts = _texts(found)
    if not texts:
        wanted = column or " or ".join(CAPTION_KEYS[:3])
        message = f"no caption under {wanted}"
        yield Caption(source=source, row=row, image=image, error=("no_caption", message))
    for text in texts:
        yield Caption(source=source, row=row, text=text, image=image, recoded=recoded)


def _first(value: Mapping[Any, Any], keys: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((value[keys[name]] for name in names if name in keys), None)


def _texts(found: object) -> list[str]:
    """A string, a list of strings, or objects that hold one ("raw" in the Karpathy splits)."""
    if isinstance(found, str):
        return [found] if found.strip() else []
    if isinstance(found, Mapping):
        return next((_texts(found[key]) for key in CAPTION_KEYS if key in found), [])
    if isinstance(found, (list, tuple)):
        return [text for item in found for text in _texts(item)]
    return []
