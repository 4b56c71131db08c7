"""RAM's released annotation JSON."""

from __future__ import annotations

import json
from pathlib import Path

from anytag.data.problems import Problems
from anytag.data.records import Record
from anytag.data.sources.ram import read_ram

ROWS = [
    {
        "image_path": "visual-genome/VG_100K/1.jpg",
        "caption": ["trees line the sidewalk", "a clock"],
        "union_label_id": [2, 0, 1],
        "parse_label_id": [[2, 1], []],
    },
    {"image_path": "coco/2.jpg", "caption": ["a dog"], "parse_label_id": [[0]]},
]
NAMES = ["dog", "sidewalk", "tree"]


def test_with_and_without_the_tag_list(tmp_path: Path) -> None:
    file = tmp_path / "vg_ram.json"
    file.write_text(json.dumps(ROWS))
    problems = Problems()
    assert list(read_ram(file, problems, names=NAMES, images=Path("data"))) == [
        Record(
            image="data/visual-genome/VG_100K/1.jpg",
            captions=("trees line the sidewalk", "a clock"),
            tags=("tree", "dog", "sidewalk"),
            parsed_tags=(("tree", "sidewalk"), ()),
            source="vg_ram",
        ),
        Record(
            image="data/coco/2.jpg", captions=("a dog",), parsed_tags=(("dog",),), source="vg_ram"
        ),
    ]
    first = next(iter(read_ram(file, problems)))
    assert (first.tags, first.image) == (("2", "0", "1"), f"{tmp_path}/visual-genome/VG_100K/1.jpg")
    assert not problems.counts


def test_what_is_wrong(tmp_path: Path) -> None:
    bad = [
        {"caption": ["x"]},
        {"image_path": 5, "caption": ["x"]},
        {"image_path": "a", "caption": [5]},
        {"image_path": "a", "caption": ["x"], "union_label_id": [3]},
        {"image_path": "a", "caption": ["x"], "union_label_id": ["dog"]},
        {"image_path": "a", "caption": ["x"], "parse_label_id": [[0], [1]]},
        {"image_path": "a", "caption": ["x"], "parse_label_id": [-1]},
        None,
    ]
    text = json.dumps([*ROWS, *bad, ROWS[1]], indent=1)
    file = tmp_path / "coco_ram.json"
    file.write_text(text[:-2])  # and cut off
    problems = Problems()
    assert len(list(read_ram(file, problems, names=NAMES))) == 3
    assert problems.counts == {"malformed": 8, "duplicate": 1, "truncated": 1}
    messages = [str(one) for one in problems.examples if one.kind == "malformed"]
    assert messages[0].endswith("item 2: no 'image_path'")
    assert messages[3].endswith("item 5: id 3 is not in the tag list, which has 3 tags")
