"""Captions and their tags as lines of JSON, or rows of CSV.

The lines are put together by hand: `json.dumps` takes longer than parsing.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from anytag.data.caption_rows import Caption
from anytag.labels.parse import PlainTag

CSV_COLUMNS = [
    "source",
    "row",
    "image",
    "caption",
    "tag",
    "kind",
    "start",
    "end",
    "negated",
    "quantity",
    "id",
    "error",
    "message",
]
#: parts of records that are remembered
_MAX_PARTS = 20_000
_text = json.encoder.encode_basestring  # as json.dumps does it


class _Heads(dict["tuple[str, str]", str]):
    """(name, kind) -> the start of a tag."""

    def __missing__(self, key: tuple[str, str]) -> str:
        if len(self) >= _MAX_PARTS:
            self.clear()
        name, kind = key
        found = self[key] = f'{{"name": {_text(name)}, "kind": "{kind}", "span": ['
        return found


class _Tails(dict["tuple[bool, int | None, int | None]", str]):
    """(negated, quantity, id) -> the end of a tag."""

    def __missing__(self, key: tuple[bool, int | None, int | None]) -> str:
        if len(self) >= _MAX_PARTS:
            self.clear()
        negated, quantity, label = key
        found = self[key] = (
            f'], "negated": {"true" if negated else "false"}, '
            f'"quantity": {"null" if quantity is None else quantity}'
            + ("}" if label is None else f', "id": {label}}}')
        )
        return found


class JsonLines:
    """One record a caption."""

    def __init__(self) -> None:
        self._heads, self._tails = _Heads(), _Tails()
        self._source = ("", _text(""))

    def __call__(self, caption: Caption, tags: Sequence[PlainTag]) -> str:
        source, row, text, image, _, error = caption
        if source != self._source[0]:
            self._source = (source, _text(source))
        heads, tails = self._heads, self._tails
        parts = [
            f"{heads[name, kind]}{start}, {end}{tails[negated, quantity, label]}"
            for name, kind, start, end, negated, quantity, label in tags
        ]
        return (
            f'{{"source": {self._source[1]}, "row": {row}, '
            f'"image": {"null" if image is None else _text(image)}, '
            f'"caption": {_text(text)}, "tags": [{", ".join(parts)}], '
            f'"error": {"null" if error is None else _error(error)}}}\n'
        )


def _error(error: tuple[str, str]) -> str:
    kind, message = error
    return f'{{"type": {_text(kind)}, "message": {_text(message)}}}'


def csv_rows(caption: Caption, tags: Sequence[PlainTag]) -> str:
    """One row a tag; a caption without tags, or an error, has one row too."""
    place = (caption.source, caption.row, caption.image, caption.text)
    rows: list[tuple[object, ...]] = [
        (*place, name, kind, start, end, "true" if negated else "false", quantity, label, "", "")
        for name, kind, start, end, negated, quantity, label in tags
    ]
    text = io.StringIO()
    if not rows:
        rows = [(*place, *[""] * 7, *(caption.error or ("", "")))]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
