"""A comparison as a table of text, ``results.json`` and ``per_class.csv``."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anytag.evaluation.compare import Comparison, Figures
from anytag.evaluation.published import MARKS, PublishedFigure
from anytag.files import atomic_write

HEADER = ("system", "mAP", "95 % interval", "P", "R", "F1", "oP", "oR", "oF1", "own P/R", "ECE")
#: of the columns
LEGEND = (
    "In percent. P, R, F1: means over classes at one threshold for all; oP, oR, oF1: of all "
    "decisions together; own P/R: means with the system's own thresholds; ECE: calibration error. "
    "†: classes that the system does not support are left out of its means."
)


def table_rows(comparison: Comparison, published: Sequence[PublishedFigure]) -> list[list[str]]:
    """Measured systems, then published ones; percent."""
    rows = [_measured(one) for one in comparison.figures]
    return rows + [published_row(one) for one in published]


def _measured(one: Figures) -> list[str]:
    at, own = one.at_threshold, one.own
    dagger = "†" if one.unsupported else ""
    values = (at.macro_precision, at.macro_recall, at.macro_f1)
    overall = (at.micro_precision, at.micro_recall, at.micro_f1)
    return [
        one.name,
        percent(one.map) + dagger,
        "" if math.isnan(one.interval[0]) else "-".join(map(percent, one.interval)),
        *(percent(value) for value in (*values, *overall)),
        "" if own is None else f"{percent(own.macro_precision)}/{percent(own.macro_recall)}",
        "" if one.reliability is None else percent(one.reliability.error),
    ]


def published_row(one: PublishedFigure) -> list[str]:
    """One row of the table for what a paper says."""
    marks = "".join(MARKS.get(mark, "") for mark in one.marks)
    about = ", ".join(filter(None, (one.details, one.note)))
    name = f"published: {one.method}" + (f" ({about})" if about else "")
    return [
        name,
        "" if one.map is None else percent(one.map) + marks,
        "",
        "" if one.precision is None else percent(one.precision) + marks,
        "" if one.recall is None else percent(one.recall) + marks,
        *[""] * (len(HEADER) - 5),
    ]


def percent(value: float) -> str:
    """A fraction in percent, with one digit.

    >>> percent(0.8654), percent(float("nan"))
    ('86.5', '')
    """
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns that stand below each other; the first one left, the others right; empty ones not
    at all.

    >>> print(text_table(["a", "b"], [["x", "1.0"], ["long", ""]]))
    a       b
    x     1.0
    long
    """
    shown = [i for i in range(len(header)) if i == 0 or any(row[i] for row in rows)]
    cells = [[row[i] for i in shown] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(shown))]
    lines = []
    for row in cells:
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join((row[0].ljust(widths[0]), *rest)).rstrip())
    return "\n".join(lines)


def results(
    comparison: Comparison, about: dict[str, Any], published: Sequence[PublishedFigure]
) -> dict[str, Any]:  # Any: JSON
    """The content of ``results.json``; fractions, None where nothing is defined."""
    annotations = comparison.annotations
    return {
        **about,
        "images": len(annotations.images),
        "classes": len(annotations.classes),
        "labels": int(annotations.truth.sum()),
        "without_positives": list(comparison.without_positives),
        "threshold_rule": comparison.rule,
        "notes": list(comparison.notes),
        "systems": [_system(one) for one in comparison.figures],
        "published": [
            {
                "method": one.method,
                "details": one.details,
                "map": one.map,
                "precision": one.precision,
                "recall": one.recall,
                "marks": list(one.marks),
                "note": one.note,
                "source": one.source,
            }
            for one in published
        ],
    }


def _system(one: Figures) -> dict[str, Any]:
    names = ("precision", "recall", "f1")

    def values(result: Any) -> dict[str, float | None]:
        found = {f"{kind}_{name}" for kind in ("macro", "micro") for name in names}
        return {name: number(getattr(result, name)) for name in sorted(found)}

    return {
        "name": one.name,
        "map": number(one.map),
        "interval": [number(end) for end in one.interval],
        "classes_counted": int((~_nan(one.per_class)).sum()),
        "unsupported": list(one.unsupported),
        "threshold": number(one.threshold),
        "at_threshold": values(one.at_threshold),
        "own_thresholds": None if one.own is None else values(one.own),
        "expected_calibration_error": None
        if one.reliability is None
        else number(one.reliability.error),
        "reference": {key: number(value) for key, value in one.reference.items()},
    }


def number(value: float) -> float | None:
    """A JSON number; None for NaN."""
    return None if math.isnan(value) or math.isinf(value) else float(value)


def _nan(values: Any) -> Any:
    import numpy as np

    return np.isnan(values)


def per_class_csv(comparison: Comparison) -> str:
    """A row for each class: positives, and AP, precision, recall and F1 of each system."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["class", "positives"]
    for one in comparison.figures:
        header += [f"{one.name} {what}" for what in ("AP", "precision", "recall", "F1")]
    writer.writerow(header)
    known = comparison.annotations.known
    truth = comparison.annotations.truth
    positives = (truth if known is None else truth & known).sum(axis=0)
    for place, name in enumerate(comparison.annotations.classes):
        row: list[object] = [name, int(positives[place])]
        for one in comparison.figures:
            at = one.at_threshold
            cells = (one.per_class, at.precision, at.recall, at.f1)
            row += ["" if math.isnan(v[place]) else f"{v[place]:.4f}" for v in cells]
        writer.writerow(row)
    return text.getvalue()


def write_comparison(
    folder: Path,
    comparison: Comparison,
    about: dict[str, Any],
    published: Sequence[PublishedFigure],
) -> None:
    """``results.json`` and ``per_class.csv``, each atomically.

    Raises:
        OutputError: they cannot be written
    """
    plain = results(comparison, about, published)
    texts = {
        "results.json": json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        "per_class.csv": per_class_csv(comparison),
    }
    for name, text in texts.items():
        with atomic_write(folder / name, text=True) as file:
            file.write(text)
