"""The review table as one HTML page that needs no server and no other file.

The page (``data/review.html``) holds the table's cells as JSON; "Save CSV" writes them, edited, in
the form of `table.to_csv`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files

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
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    page = (files("anytag.labels") / "data" / "review.html").read_text(encoding="utf-8")
    values = {"TITLE": escape(title), "DATA": text}
    return re.sub(r"{{(\w+)}}", lambda match: values[match[1]], page)
