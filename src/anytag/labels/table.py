"""The review table: one row a name, what becomes of it, and why.

CSV, UTF-8, in spreadsheet programs too. A person edits four columns:

    name        the name as it shall be shown
    keep        yes or no
    merge_into  the name whose label this name shares; empty = a label of its own
    kind        object, scene, action, attribute, or empty: any

``id`` and ``proposed`` say what ``labels build`` proposed and let ``labels merge`` tell what was
changed; the other columns are evidence.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anytag.errors import LabelError
from anytag.files import display_path
from anytag.labels.labelset import KINDS, fold_name

COLUMNS = (
    "id",
    "name",
    "keep",
    "merge_into",
    "kind",
    "count",
    "sources",
    "reason",
    "score",
    "suggest",
    "suggest_reason",
    "kinds",
    "proposed",
)
#: a column of translations is called translation:LANGUAGE
TRANSLATION = "translation:"
_REQUIRED = ("name", "keep", "merge_into")
_YES, _NO = ("yes", "y", "true", "1", "x"), ("no", "n", "false", "0", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One name."""

    #: of the label that the name has or shares; None where it is not kept
    id: int | None = None
    name: str
    keep: bool = True
    #: name of the label that it shares; "" = its own
    merge_into: str = ""
    #: one of `KINDS`, or "" = any
    kind: str = ""
    #: captions
    count: int = 0
    #: "corpus #12" and the names of category lists
    sources: tuple[str, ...] = ()
    #: why it is merged or not kept: a word, a colon, and the evidence
    reason: str = ""
    score: float | None = None
    #: another name that may be the same
    suggest: str = ""
    suggest_reason: str = ""
    #: captions by kind where there are several: "action 526, object 445"
    kinds: str = ""
    #: what was proposed: "keep", "drop" or "merge: NAME"
    proposed: str = ""
    #: language -> name
    translations: Mapping[str, str] = field(default_factory=dict)
    #: line of the file, 0 where it comes from none
    line: int = 0

    @property
    def decision(self) -> str:
        """What becomes of the name, as in ``proposed``."""
        if not self.keep:
            return "drop"
        return f"merge: {self.merge_into}" if self.merge_into else "keep"


def to_csv(rows: Iterable[Row]) -> str:
    """The text of the table."""
    rows = list(rows)
    languages = sorted({language for row in rows for language in row.translations})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(TRANSLATION + language for language in languages)])
    for row in rows:
        writer.writerow([*cells(row), *(row.translations.get(one, "") for one in languages)])
    return text.getvalue()


def cells(row: Row) -> list[str]:
    """The row in the order of `COLUMNS`."""
    return [
        "" if row.id is None else str(row.id),
        row.name,
        "yes" if row.keep else "no",
        row.merge_into,
        row.kind,
        str(row.count),
        "; ".join(row.sources),
        row.reason,
        "" if row.score is None else f"{row.score:g}",
        row.suggest,
        row.suggest_reason,
        row.kinds,
        row.proposed,
    ]


def read_table(path: Path) -> list[Row]:
    """The rows of an edited table; `problems` of its content are found by `review.apply_table`.

    Raises:
        LabelError: the file cannot be read, a column is missing, or a cell is not what it must be
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelError(f"{display_path(path)}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{display_path(path)}: not UTF-8 text; save it as CSV UTF-8") from error
    return from_csv(text, display_path(path))


def from_csv(text: str, source: str) -> list[Row]:
    """See `read_table`."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)  # spreadsheets of some countries write semicolons
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        raise LabelError(
            f"{source}: no column {missing[0]!r}; its first row is {', '.join(header) or 'empty'}. "
            "Expected a table that 'anytag labels build' wrote"
        )
    rows = []
    for values in reader:
        if any(value.strip() for value in values):
            where = f"{source}, row {reader.line_num}"
            named = dict(zip(header, (value.strip() for value in values), strict=False))
            rows.append(_row(named, where, reader.line_num))
    if not rows:
        raise LabelError(f"{source}: holds no rows")
    return rows


def _row(values: Mapping[str, str], where: str, line: int) -> Row:
    def get(name: str) -> str:
        return values.get(name, "")

    name = " ".join(get("name").split())
    if not name:
        raise LabelError(f"{where}: the name is empty; write one, or remove the row")
    keep = get("keep").casefold()
    if keep not in _YES + _NO:
        raise LabelError(f"{where} ({name!r}): keep is {get('keep')!r}, expected yes or no")
    kind = get("kind").casefold()
    if kind and kind not in KINDS:
        raise LabelError(
            f"{where} ({name!r}): kind is {get('kind')!r}, expected {', '.join(KINDS)}, or empty"
        )
    return Row(
        id=_number(get("id"), "id", where, name),
        name=name,
        keep=keep in _YES,
        merge_into=" ".join(get("merge_into").split()),
        kind=kind,
        count=_number(get("count"), "count", where, name) or 0,
        sources=tuple(part for part in get("sources").split("; ") if part),
        reason=get("reason"),
        score=_score(get("score"), where, name),
        suggest=get("suggest"),
        suggest_reason=get("suggest_reason"),
        kinds=get("kinds"),
        proposed=get("proposed"),
        translations={
            column.removeprefix(TRANSLATION): value
            for column, value in values.items()
            if column.startswith(TRANSLATION) and value
        },
        line=line,
    )


def _number(text: str, column: str, where: str, name: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise LabelError(f"{where} ({name!r}): {column} is {text!r}, expected a whole number")
    return int(text)


def _score(text: str, where: str, name: str) -> float | None:
    try:
        return float(text.replace(",", ".")) if text else None
    except ValueError:
        raise LabelError(f"{where} ({name!r}): score is {text!r}, expected a number") from None


def by_name(rows: Iterable[Row]) -> dict[str, Row]:
    """Rows by folded name, the first of each."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(fold_name(row.name), row)
    return found
