"""Figures that others have published, as data with their sources (``data/published.json``).

They stand beside what is measured and are never mixed with it: other photos, other code, percent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

#: what else a row says of its method, and in what
_DETAILS = {
    "training_tags": "tags",
    "training_images": "images",
    "prompt": "prompts",
    "backbone": "",
}
#: how the papers' footnotes are shown
MARKS = {"unsupported-left-out": "†", "supervised": " (supervised)"}


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """One table of a paper."""

    id: str
    title: str
    source: str
    #: "map", "precision-recall" or "counts"
    measure: str
    columns: tuple[str, ...]
    #: {"method", details ..., "values": {column: percent or [precision, recall]}, "marks"}
    rows: tuple[Mapping[str, Any], ...]  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """What a paper says of one method on one test set; fractions."""

    method: str
    #: backbone, number of training images and the like
    details: str
    source: str
    map: float | None = None
    precision: float | None = None
    recall: float | None = None
    #: of the papers' footnotes, see `MARKS`
    marks: tuple[str, ...] = ()
    #: what is special about the set
    note: str = ""


@cache
def published_tables() -> tuple[PublishedTable, ...]:
    """All tables: RAM's 1 to 5 and RAM++'s 2, 8 and 14."""
    text = (files("anytag.evaluation") / "data" / "published.json").read_text(encoding="utf-8")
    return tuple(
        PublishedTable(**{**row, "columns": tuple(row["columns"]), "rows": tuple(row["rows"])})
        for row in json.loads(text)["tables"]
    )


def published_table(name: str) -> PublishedTable:
    """The table of an id, such as "ram-5"."""
    return next(table for table in published_tables() if table.id == name)


def published_figures(columns: Mapping[str, str]) -> list[PublishedFigure]:
    """The published comparisons on a test set; ablations (tables 4 and 5) are left out.

    Args:
        columns: of the tables, and what is special about each
    """
    found: list[PublishedFigure] = []
    for table in published_tables():
        if table.measure == "counts" or table.id in ("ram-4", "ram-5"):
            continue
        for column, note in columns.items():
            for row in table.rows:
                if column in row["values"]:
                    _add(found, _figure(table, row, column, note))
    return found


def _add(found: list[PublishedFigure], new: PublishedFigure) -> None:
    """Add a figure; precision and recall go to the mAP of the same method and paper, if it is one.

    RAM's table 2 has mAP, its table 3 precision and recall, mostly of the same methods.
    """
    same = [
        place
        for place, one in enumerate(found)
        if _paper(one) == _paper(new)
        and one.method.split(" (")[0] == new.method
        and one.precision is None
        and one.note == new.note
    ]
    if new.precision is None or len(same) != 1:
        found.append(new)
        return
    one = found[same[0]]
    details = [text for text in (one.details, new.details) if text and text not in one.method]
    found[same[0]] = replace(
        one,
        details=", ".join(details),
        precision=new.precision,
        recall=new.recall,
        marks=tuple(dict.fromkeys((*one.marks, *new.marks))),
        source=f"{one.source} and {new.source.rpartition(', table ')[2]}",
    )


def _paper(one: PublishedFigure) -> str:
    return one.source.partition(", table ")[0]


def sources(figures: Sequence[PublishedFigure]) -> list[str]:
    """Each paper once, with its tables."""
    tables: dict[str, list[str]] = {}
    for one in figures:
        for number in one.source.rpartition(", table ")[2].split(" and "):
            tables.setdefault(_paper(one), []).append(number)
    return [
        f"{paper}, table {', '.join(sorted(set(numbers), key=int))}"
        for paper, numbers in tables.items()
    ]


def _figure(
    table: PublishedTable, row: Mapping[str, Any], column: str, note: str
) -> PublishedFigure:
    value = row["values"][column]
    details = [f"{row[key]} {unit}".strip() for key, unit in _DETAILS.items() if row.get(key)]
    pair = [one / 100 for one in value] if isinstance(value, list) else None
    return PublishedFigure(
        method=row["method"],
        details=", ".join(filter(None, details)),
        source=table.source,
        map=None if pair else value / 100,
        precision=pair[0] if pair else None,
        recall=pair[1] if pair else None,
        marks=tuple(row.get("marks", {}).get(column, ())),
        note=note,
    )
