"""Sections of RESULTS.md on versions of nano.

One function for each ``kind`` of JSON file: its figures -> Markdown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from report_parts import table, when

Figures = dict[str, Any]


def _share(value: float) -> str:
    return f"{100 * value:.1f}"


def _with_interval(value: float, low: float, high: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f} ({100 * low:{sign}.1f}–{100 * high:{sign}.1f})"


def _versions(figures: Figures) -> list[str]:
    quality, points = [], []
    for row in figures["sets"]:
        name = f"{row['set']} ({row['photos']} photos, {row['tags_with_photos']} tags)"
        own = [_with_interval(f["map"], *f["interval"]) for f in row["figures"].values()]
        gains = [
            f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            for value, low, high in row["less"].values()
        ]
        quality.append([name, *own, *gains])
        for system, found in row["figures"].items():
            at = found["at_thresholds"]
            columns = ("macro_precision", "macro_recall", "macro_f1")
            columns += ("micro_precision", "micro_recall", "micro_f1")  # type: ignore[assignment]
            points.append([f"{row['set']}: {system}", *(_share(at[key]) for key in columns)])
    first = figures["sets"][0]
    head = ["mAP, %", *first["figures"], *(f"{first['of']} less {name}" for name in first["less"])]
    note = (
        "Intervals of 95 % over photos; differences are paired. The classifier is MobileNetV2's "
        "ImageNet classifier, its classes summed to tags through WordNet; the ImageNet samples are "
        "from its own training set. Precision and recall at each model's own thresholds, for the "
        "classifier at the one threshold that is best on the very set."
    )
    return [
        table(head, quality),
        table(["%", "P", "R", "F1", "overall P", "overall R", "overall F1"], points),
        when(figures, note),
    ]


def _unseen(figures: Figures) -> list[str]:
    rows = [
        [
            f"{row['set']} ({len(row['tags'])} tags, {row['photos']} photos)",
            _with_interval(row["unseen"]["map"], *row["unseen"]["interval"]),
            _with_interval(row["nearest"]["map"], *row["nearest"]["interval"]),
            f"{100 * row['chance']:.1f}",
            "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * one for one in row["less_nearest"])),
        ]
        for row in figures["sets"]
    ]
    head = ["mAP, %", "asked by name", "nearest trained tag instead", "chance"]
    head += ["by name less nearest"]
    note = (
        "A network that was trained without these tags, their synonyms and all kinds of them; its "
        "backbone had seen ImageNet's photos. Chance is the share of photos that have the tag."
    )
    return [table(head, rows), when(figures, note)]


def _captions(figures: Figures) -> list[str]:
    rows = [
        [
            name,
            f"{row['cider']:.1f}",
            f"{row['bleu4']:.1f}",
            _share(row["precision"]),
            _share(row["recall"]),
            _share(row["different"]),
        ]
        for name, row in figures["rows"].items()
    ]
    head = ["captions of", "CIDEr-D", "BLEU-4", "tags: precision, %", "recall, %", "different, %"]
    note = f"{figures['photos']} photos that were not trained on; {figures['model']}."
    return [table(head, rows), when(figures, note)]


#: kind -> heading and the function that writes its section, in the order of the page
SECTIONS: dict[str, tuple[str, Callable[[Figures], list[str]]]] = {
    "nano-versions": ("Versions of nano", _versions),
    "nano-unseen": ("Tags that were never trained", _unseen),
    "nano-captions": ("Captions of nano", _captions),
}
