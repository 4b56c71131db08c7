"""The audit as one HTML page that needs no server and no other file.

The page (``data/audit.html``) holds rows of the table and small pictures; "Save decisions" writes
them as ``decisions.csv``, which `anytag.engine.audit_table.read_decisions` reads.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from anytag.data.images import open_image
from anytag.engine.audit_set import Report
from anytag.engine.audit_table import COLUMNS, Suspect, cells
from anytag.engine.pictures import Pictures, content
from anytag.errors import AnytagError
from anytag.labels.decision_page import fill_page

#: longest side of a small picture, and its JPEG quality: some 10 kB
_SIDE, _QUALITY = 256, 75


def thumbnails(images: Sequence[str], report: Report) -> dict[str, bytes]:
    """A small JPEG of each picture; none of those that cannot be read."""
    pictures, found = Pictures(), {}
    names = list(dict.fromkeys(images))
    for number, name in enumerate(names, 1):
        try:
            image = open_image(content(pictures.source(name)), target_size=_SIDE)
        except (AnytagError, OSError):
            continue
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_QUALITY)
        found[name] = file.getvalue()
        report(number, len(names))
    return found


def audit_page(
    suspects: Sequence[Suspect],
    pictures: Mapping[str, bytes],
    *,
    title: str,
    facts: Sequence[str],
) -> str:
    """The page.

    Args:
        suspects: in the order in which they are shown
        pictures: image -> JPEG
        title: of the page
        facts: sentences that stand above
    """
    data = {
        "columns": COLUMNS,
        "rows": [cells(one) for one in suspects],
        "pictures": {name: base64.b64encode(jpeg).decode() for name, jpeg in pictures.items()},
    }
    lines = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    template = (files("anytag.engine") / "data" / "audit.html").read_text(encoding="utf-8")
    return fill_page(template, data, title=title, facts=lines)
