"""The gold captions: their form, and that the parser does not fall back on the tuning half.

The held-out half is scored by tools/parser_report.py alone (docs/parser.md).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from anytag.labels.labelset import LabelSet
from anytag.labels.parse import CaptionParser

GOLD = Path(__file__).parent.parent / "gold"
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (GOLD / "captions.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_form_of_the_gold() -> None:
    assert len({row["caption"] for row in ROWS}) == len(ROWS) >= 300
    styles = Counter((row["style"], row["half"]) for row in ROWS)
    assert len(styles) == 8
    assert min(styles.values()) >= 35
    for row in ROWS:
        for tag in row["tags"]:
            start, end = tag["span"]
            assert row["caption"][start:end].strip() == row["caption"][start:end] != ""


def same_class(one: str | None, other: str) -> bool:
    things = ("object", "scene")
    return one == other or (one in things and other in things)


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_tags_of_the_tuning_half(mode: str) -> None:
    labels = LabelSet.load(GOLD / "labels.json")
    parser = CaptionParser.open() if mode == "open" else CaptionParser.closed(labels)
    wanted = found = 0
    for row in ROWS:
        if row["half"] != "tuning":
            continue
        tags = {(tag.name, tag.negated) for tag in parser.parse(row["caption"])}
        for tag in row["tags"]:
            label = labels.find(tag["names"][0])
            if mode == "closed" and (label is None or not same_class(label.kind, tag["kind"])):
                continue
            wanted += 1
            found += any((name, bool(tag.get("negated"))) in tags for name in tag["names"])
    assert found / wanted > (0.97 if mode == "open" else 0.95)
