"""A page on which a person decides about rows and saves them as CSV; one file, no server.

The templates (``review.html`` here, ``audit.html`` of the data engine) differ in how a row is
drawn. What they share stands once: ``data/decisions.css``, and ``data/decisions.js``, which reads
the rows, shows more of them and saves them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any


def fill_page(template: str, data: Mapping[str, Any], *, title: str, **values: str) -> str:
    """The page.

    Args:
        template: HTML with ``{{TITLE}}``, ``{{STYLE}}``, ``{{SCRIPT}}`` and ``{{DATA}}``
        data: JSON values; ``columns`` (names) and ``rows`` (lists of texts) are what is saved
        title: as text
        values: HTML for further places of the template, by their names in small letters
    """
    folder = files("anytag.labels") / "data"
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    filled = {
        "TITLE": escape(title),
        "STYLE": (folder / "decisions.css").read_text(encoding="utf-8"),
        "SCRIPT": (folder / "decisions.js").read_text(encoding="utf-8"),
        # "<" could end the script element; the others end a line in old browsers
        "DATA": re.sub("[<\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text),
        **{name.upper(): html for name, html in values.items()},
    }
    return re.sub(r"{{(\w+)}}", lambda match: filled[match[1]], template)
