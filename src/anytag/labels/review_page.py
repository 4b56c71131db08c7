"""The review table as one HTML page that needs no server and no other file.

The page (``data/review.html``) holds the table's cells as JSON; "Save CSV" writes them, edited, in
the form of `table.to_csv`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from anytag.labels.decision_page import fill_page
from anytag.labels.labelset import KINDS
from anytag.labels.table import COLUMNS, TRANSLATION, Row, cells


def review_page(rows: Iterable[Row], *, title: str) -> str:
    """The page."""
    rows = list(rows)
    languages = sorted({language for row in rows for language in row.translations})
    data = {
        "columns": [*COLUMNS, *(TRANSLATION + language for language in languages)],
        "kinds": KINDS,
        "rows": [
            [*cells(row), *(row.translations.get(one, "") for one in languages)] for row in rows
        ],
    }
    template = (files("anytag.labels") / "data" / "review.html").read_text(encoding="utf-8")
    return fill_page(template, data, title=title)
