"""Visual Genome: the four files of versions 1.0 and 1.4, joined by image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anytag.data.problems import Problems
from anytag.data.records import Record
from anytag.data.sources.visual_genome import read_visual_genome

URL = "https://cs.stanford.edu/people/rak248/VG_100K_2/1.jpg"
REGIONS = [
    {
        "regions": [
            {"region_id": 1382, "width": 82, "height": 139, "image_id": 1, "x": 421, "y": 57,
             "phrase": "the clock is green in colour"},
            {"region_id": 1383, "width": 182, "height": 109, "image_id": 1, "x": 194, "y": 372,
             "phrase": "shade is along the street "},
        ],
        "id": 1,
    },
    {
        "regions": [
            {"region_id": 3, "width": 1, "height": 1, "image_id": 2, "x": 0, "y": 0,
             "phrase": "a road"}
        ],
        "id": 2,
    },
]  # fmt: skip
OBJECTS = [
    {
        "image_id": 1,
        "objects": [
            {"synsets": ["tree.n.01"], "h": 557, "object_id": 1058549, "merged_object_ids": [],
             "names": ["trees"], "w": 799, "y": 0, "x": 0},
            {"synsets": ["clock.n.01"], "h": 5, "object_id": 2, "merged_object_ids": [5046],
             "names": ["clock"], "w": 7, "y": 3, "x": 4},
        ],
        "image_url": URL,
    },
    {
        "image_id": 2,
        "objects": [
            {"synsets": ["road.n.01"], "h": 254, "object_id": 1023841, "merged_object_ids": [],
             "names": ["road"], "w": 364, "y": 345, "x": 0}
        ],
        "image_url": "https://cs.stanford.edu/people/rak248/VG_100K/2.jpg",
    },
]  # fmt: skip
ATTRIBUTES = [
    {
        "image_id": 1,
        "attributes": [
            {"synsets": ["clock.n.01"], "h": 339, "object_id": 1058498, "names": ["clock"],
             "w": 79, "attributes": ["green", "tall"], "y": 91, "x": 421},
            {"synsets": ["street.n.01"], "h": 262, "object_id": 5046, "names": ["street"],
             "w": 714, "y": 328, "x": 77},
        ],
    },
    {"image_id": 2, "attributes": []},
]  # fmt: skip
IMAGE_DATA = [
    {"width": 800, "url": URL, "height": 600, "image_id": 1, "coco_id": None, "flickr_id": None},
    {"width": 800, "height": 600, "image_id": 2, "coco_id": 3, "flickr_id": 4,
     "url": "https://cs.stanford.edu/people/rak248/VG_100K/2.jpg"},
]  # fmt: skip
ALL = {
    "region_descriptions.json": REGIONS,
    "objects.json": OBJECTS,
    "attributes.json": ATTRIBUTES,
    "image_data.json": IMAGE_DATA,
}


def write(folder: Path, **changes: list[Any]) -> Path:
    for name, content in ALL.items():
        content = changes.get(name.removesuffix(".json"), content)
        (folder / name).write_text(json.dumps(content))
    return folder


def expected(folder: Path) -> list[Record]:
    return [
        Record(
            image=f"{folder}/VG_100K_2/1.jpg",
            captions=("the clock is green in colour", "shade is along the street"),
            tags=("trees", "clock", "green", "tall", "street"),
            source="visual-genome",
        ),
        Record(
            image=f"{folder}/VG_100K/2.jpg",
            captions=("a road",),
            tags=("road",),
            source="visual-genome",
        ),
    ]


def test_a_folder_joins_its_files(tmp_path: Path) -> None:
    problems = Problems()
    assert list(read_visual_genome(write(tmp_path), problems)) == expected(tmp_path)
    assert not problems.counts


def test_another_order_and_missing_images(tmp_path: Path) -> None:
    write(tmp_path, objects=OBJECTS[::-1], attributes=ATTRIBUTES[:1])
    problems = Problems()
    records = sorted(read_visual_genome(tmp_path, problems), key=lambda one: one.image)
    first, second = sorted(expected(tmp_path), key=lambda one: one.image)
    assert [(record.image, set(record.tags)) for record in records] == [
        (first.image, set(first.tags)),
        (second.image, set(second.tags)),
    ]
    assert not problems.counts


@pytest.mark.parametrize(
    ("name", "captions", "tags"),
    [
        ("region_descriptions", 2, 0),
        ("objects", 0, 2),
        ("attributes", 0, 4),
    ],
)
def test_one_file(tmp_path: Path, name: str, captions: int, tags: int) -> None:
    records = list(read_visual_genome(write(tmp_path) / f"{name}.json", Problems()))
    assert (len(records[0].captions), len(records[0].tags)) == (captions, tags)


def test_without_urls_the_file_is_looked_for(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "images" / "VG_100K_2").mkdir(parents=True)
    (tmp_path / "images" / "VG_100K_2" / "1.jpg").touch()
    records = list(read_visual_genome(tmp_path / "region_descriptions.json", Problems()))
    assert [record.image for record in records] == [
        f"{tmp_path}/images/VG_100K_2/1.jpg",
        f"{tmp_path}/VG_100K/2.jpg",
    ]
    with_urls = list(read_visual_genome(tmp_path / "objects.json", Problems()))
    assert with_urls[0].image == f"{tmp_path}/images/VG_100K_2/1.jpg"


def test_version_1_0(tmp_path: Path) -> None:
    content = [
        {"id": 1, "attributes": [{"id": 5, "object_names": ["man"], "attributes": ["tall"]}]}
    ]
    (tmp_path / "attributes.json").write_text(json.dumps(content))
    (record,) = read_visual_genome(tmp_path, Problems())
    assert record.tags == ("man", "tall")


def test_what_is_wrong(tmp_path: Path) -> None:
    regions = [
        REGIONS[0],
        {"regions": [{"image_id": 9}], "id": 9},
        {"regions": []},
        REGIONS[0],
        5,
        {"regions": 5, "id": 10},
    ]
    (tmp_path / "region_descriptions.json").write_text(json.dumps(regions, indent=1))
    problems = Problems()
    records = list(read_visual_genome(tmp_path, problems))
    assert [len(record.captions) for record in records][:1] == [2]
    assert problems.counts == {"malformed": 4, "duplicate": 1}
    lines = (tmp_path / "region_descriptions.json").read_text().splitlines()
    assert problems.examples[0].line == lines.index('    "image_id": 9') - 2  # from 1, three above
    assert problems.examples[0].message == "item 1: no 'phrase'"
