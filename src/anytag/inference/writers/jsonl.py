"""JSON Lines (one record a line) and JSON (one array of the same records)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from anytag.inference.results import ItemError, Tag, TagResult
from anytag.inference.writers import Sink


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8, without a line end; never NaN, never half a character."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def result_from_record(record: Mapping[str, Any]) -> TagResult:
    """The result of which `TagResult.record` made this; it has no score vector and no parents.

    Raises:
        KeyError, TypeError: it is no such record
    """
    error = record["error"]
    return TagResult(
        path=record["path"],
        sha256=record["sha256"],
        width=record["width"],
        height=record["height"],
        model=record["model"],
        tags=tuple(Tag(**tag) for tag in record["tags"]),
        caption=record["caption"],
        error=None if error is None else ItemError(**error),
    )


class JsonlWriter:
    """One record a line."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, result: TagResult) -> None:
        self._sink.write(encode(result.record()) + b"\n")
        self._sink.flush()

    def close(self) -> None:
        """Nothing is left to do."""


class JsonWriter:
    """One array; a record a line, so that it can be read by people too."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._before = b"[\n"

    def write(self, result: TagResult) -> None:
        self._sink.write(self._before + encode(result.record()))
        self._sink.flush()
        self._before = b",\n"

    def close(self) -> None:
        self._sink.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")
        self._sink.flush()
