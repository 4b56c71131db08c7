"""Large JSON files, one item at a time: memory is that of the longest item.

COCO's, Visual Genome's and RAM's annotations are one array or an object of arrays, up to gigabytes.
A file that is cut off gives all its whole items; a broken item is left out.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anytag.data.problems import Problems

#: characters that are read at once
_CHUNK = 1 << 20
#: characters; an item that does not end within them is given up
_MAX_ITEM = 1 << 28
_BLANKS = re.compile(r"[ \t\r\n]*")
#: what follows a value; at the end of what was read, a number might go on (1 -> 1.5e3)
_NUMBER_END = re.compile(r"[.eE+\-\d]*[^.eE+\-\d]")
#: beginnings of which a file that is cut off may end
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class JsonItem:
    """One value."""

    #: of the top-level object; empty if the file is one array
    key: str
    #: place in the array, from 0; None if the value is no part of one
    index: int | None
    #: on which it begins, from 1
    line: int
    value: Any  # Any: it is JSON


def json_items(path: Path, problems: Problems) -> Iterator[JsonItem]:
    """The items of all top-level arrays, and top-level values that are no arrays.

    Bytes that are no UTF-8 become U+DC80 to U+DCFF in the texts: see `text_files.clean_text`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(3)
            file.seek(0)
            encoding = next((name for bom, name in _BOMS if start.startswith(bom)), "utf-8")
            errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
            reader = io.TextIOWrapper(file, encoding, errors, newline="")
            yield from _Parser(path, reader, problems).items()
    except OSError as error:
        problems.add("unreadable", path, None, f"cannot be read: {error.strerror}")


class _Stop(Exception):
    """The rest of the file cannot be used; it has been reported."""


class _Parser:
    def __init__(self, path: Path, reader: io.TextIOWrapper, problems: Problems) -> None:
        self._path = path
        self._reader = reader
        self._problems = problems
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._place = 0
        self._line = 1
        self._at_end = False

    def items(self) -> Iterator[JsonItem]:
        try:
            first = self._peek()
            if first == "[":
                yield from self._array("")
            elif first == "{":
                yield from self._object()
            else:
                self._give_up("malformed", "is no JSON array or object")
        except _Stop:
            return
        except ValueError as error:  # outside of an array
            self._problems.add("malformed", self._path, self._line, f"is no JSON: {error}")

    def _object(self) -> Iterator[JsonItem]:
        self._advance(1)
        if self._peek() == "}":
            return
        while True:
            line = self._line
            key = self._value()
            if not isinstance(key, str) or self._peek() != ":":
                self._give_up("malformed", "is no JSON: a name and ':' expected")
            self._advance(1)
            if self._peek() == "[":
                yield from self._array(key)
            else:
                yield JsonItem(key, None, line, self._value())
            if self._peek() == "}":
                return
            self._comma()

    def _array(self, key: str) -> Iterator[JsonItem]:
        self._advance(1)
        index = 0
        first_name = ""
        if self._peek() == "]":
            self._advance(1)
            return
        while True:
            self._peek()
            line = self._line
            try:
                value = self._value()
            except ValueError as error:
                name = f"item {index} of {key!r}" if key else f"item {index}"
                self._problems.add("malformed", self._path, self._line, f"{name}: {error}")
                self._skip_to_object(first_name)
                index += 1
                continue
            if not first_name and isinstance(value, dict):
                first_name = next(iter(value), "")
            yield JsonItem(key, index, line, value)
            index += 1
            if self._peek() == "]":
                self._advance(1)
                return
            self._comma()

    def _value(self) -> Any:
        """One value; reads on until it is whole.

        Raises:
            ValueError: it is no JSON
        """
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
                if self._at_end or _NUMBER_END.match(self._text, end):
                    self._advance(end - self._place)
                    return value
            except json.JSONDecodeError as error:
                if not self._is_unfinished(error):
                    raise ValueError(error.msg) from error
                if self._at_end:
                    self._give_up("truncated", "the file ends within a value")
            except RecursionError as error:
                raise ValueError("is nested too deeply") from error
            if len(self._text) - self._place > _MAX_ITEM:
                self._give_up("malformed", f"a value has more than {_MAX_ITEM:,} characters")
            self._read_more()

    def _is_unfinished(self, error: json.JSONDecodeError) -> bool:
        """Whether what follows may make it right (or might have, at the end of the file)."""
        rest = self._text[error.pos :].strip()
        if "Unterminated" in error.msg or not rest.strip(".eE+-0123456789"):
            return True
        if "escape" in error.msg:
            return len(rest) < len("\\u0000")
        return any(word.startswith(rest) for word in _WORDS)

    def _peek(self) -> str:
        """The next character that is no blank."""
        while True:
            match = _BLANKS.match(self._text, self._place)
            self._advance((match.end() if match else self._place) - self._place)
            if self._place < len(self._text):
                return self._text[self._place]
            if self._at_end:
                self._give_up("truncated", "the file ends too early")
            self._read_more()

    def _comma(self) -> None:
        if self._peek() != ",":
            self._give_up("malformed", "is no JSON: ',' expected")
        self._advance(1)

    def _skip_to_object(self, first_name: str) -> None:
        """To the next object that begins as the others of its array do, not to one inside one."""
        name = re.escape(json.dumps(first_name)) if first_name else ""
        beginning = re.compile(r"\}\s*,\s*(?=\{\s*" + name + ")")
        while True:
            match = beginning.search(self._text, self._place)
            if match:
                self._advance(match.end() - self._place)
                return
            if self._at_end:
                raise _Stop
            self._advance(max(0, len(self._text) - self._place - 256))
            self._read_more()

    def _advance(self, num: int) -> None:
        self._line += self._text.count("\n", self._place, self._place + num)
        self._place += num

    def _read_more(self) -> None:
        """Double what is held, so that a long item is parsed a few times only."""
        held = self._text[self._place :]
        new = self._reader.read(max(_CHUNK, len(held)))
        self._at_end = not new
        self._text = held + new
        self._place = 0

    def _give_up(self, kind: Any, message: str) -> None:  # Any: a ProblemKind
        self._problems.add(kind, self._path, self._line, f"{message}; the rest is not used")
        raise _Stop
