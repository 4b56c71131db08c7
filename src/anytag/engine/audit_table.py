"""Suspect labels as a CSV table, and the decisions that a person writes into it.

    image,tag,kind,confidence,score,decision,box
    coco/val2017/1.jpg,cat,missing,0.8312,0.9120,yes,0.1000 0.2000 0.6000 0.9000
    coco/val2017/2.jpg,dog,wrong,0.7702,0.0031,no,

``decision`` is empty, yes (it is a fault: correct it), no (the label is right) or unsure. ``box``
is where a missing tag was found: left, top, right and bottom as fractions of the picture.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

from anytag.data.text_files import decode_file
from anytag.engine.ground import Box
from anytag.errors import UsageError
from anytag.files import display_path

Kind: TypeAlias = Literal["missing", "wrong"]
KINDS = ("missing", "wrong")
COLUMNS = ("image", "tag", "kind", "confidence", "score", "decision", "box")
_NEEDED = ("image", "tag", "kind", "decision")
_DECISIONS = {
    **dict.fromkeys(("yes", "y", "true", "1"), True),
    **dict.fromkeys(("no", "n", "false", "0"), False),
    **dict.fromkeys(("unsure", "u", ""), None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A label that is probably faulty."""

    image: str
    tag: str
    kind: Kind
    #: that it is faulty, in [0, 1]
    confidence: float
    #: of the model, for the tag
    score: float
    #: where a missing tag was found
    box: Box | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A fault that a person has confirmed."""

    #: of the table, from 1
    line: int
    image: str
    tag: str
    kind: Kind
    box: Box | None


def cells(one: Suspect) -> list[str]:
    """The row of a suspect."""
    box = "" if one.box is None else " ".join(f"{side:.4f}" for side in one.box)
    return [one.image, one.tag, one.kind, f"{one.confidence:.4f}", f"{one.score:.4f}", "", box]


def to_csv(rows: Iterable[Sequence[str]]) -> bytes:
    """The table of rows of `cells`; names of files that are no text keep their bytes."""
    lines = "".join(csv_line(row) for row in (COLUMNS, *rows))
    return lines.encode("utf-8", "surrogateescape")


def csv_line(row: Iterable[str], separator: str = ",", end: str = "\n") -> str:
    """A row as text; unlike the csv module's, with quotes around a carriage return on its own."""
    marks = (separator, '"', "\r", "\n")
    quoted = [
        '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in marks) else cell
        for cell in row
    ]
    return separator.join(quoted) + end


def read_decisions(path: Path) -> list[Decision]:
    """The rows whose decision is yes.

    Raises:
        UsageError: it is no such table; the message names the line
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{display_path(path)}: cannot be read ({error.strerror})") from error
    try:
        text = raw.decode("utf-8-sig", "surrogateescape")
        text = text if b"\0" not in raw else decode_file(raw)[0]
        first = text.partition("\n")[0]
        separator = ";" if first.count(";") > first.count(",") else ","
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        header = [name.strip().lower() for name in next(reader, [])]
        lacking = [name for name in _NEEDED if name not in header]
        if lacking:
            raise UsageError(
                f"{display_path(path)}, line 1: no column {lacking[0]!r}; expected the table of "
                f"'anytag engine audit' ({', '.join(COLUMNS)})"
            )
        found, line = [], reader.line_num
        for row in reader:
            line, first_line = reader.line_num, line + 1
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise UsageError(
                    f"{display_path(path)}, line {first_line}: {len(header)} columns expected, "
                    f"found {len(row)}"
                )
            one = _decision(dict(zip(header, row, strict=True)), path, first_line)
            if one is not None:
                found.append(one)
    except csv.Error as error:
        raise UsageError(
            f"{display_path(path)}, line {reader.line_num}: is no CSV row ({error})"
        ) from error
    return found


def _decision(row: dict[str, str], path: Path, line: int) -> Decision | None:
    where = f"{display_path(path)}, line {line}"
    word = row["decision"].strip().lower()
    if word not in _DECISIONS:
        raise UsageError(f"{where}: decision {row['decision']!r}; expected yes, no or unsure")
    kind = row["kind"].strip().lower()
    if kind not in KINDS:
        raise UsageError(f"{where}: kind {row['kind']!r}; expected missing or wrong")
    box = _box(row.get("box", ""), where)
    if not _DECISIONS[word]:
        return None
    return Decision(line=line, image=row["image"], tag=row["tag"], kind=cast(Kind, kind), box=box)


def _box(text: str, where: str) -> Box | None:
    if not text.strip():
        return None
    try:
        left, top, right, bottom = map(float, text.split())
    except ValueError as error:
        raise UsageError(f"{where}: box {text!r:.60}; expected four numbers") from error
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UsageError(
            f"{where}: box {text!r:.60}; expected left < right and top < bottom within [0, 1]"
        )
    return left, top, right, bottom
