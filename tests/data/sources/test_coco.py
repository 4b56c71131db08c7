"""COCO: captions, instances, panoptic, alone and joined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anytag.data.problems import Problems
from anytag.data.records import Record
from anytag.data.sources.coco import read_coco

IMAGES = [
    {
        "license": 2, "file_name": f"{number:012}.jpg", "id": number, "height": 426, "width": 640,
        "coco_url": f"http://images.cocodataset.org/val2017/{number:012}.jpg",
        "flickr_url": "http://farm9.staticflickr.com/1.jpg", "date_captured": "2013-11-21 01:34:01",
    }
    for number in (139, 285, 632)
]  # fmt: skip
CAPTIONS = [
    {"image_id": 139, "id": 1, "caption": "A woman stands in the dining area.\n"},
    {"image_id": 285, "id": 2, "caption": "A big burly grizzly bear."},
    {"image_id": 139, "id": 3, "caption": "A room with chairs."},
]
INSTANCES = [
    {
        "segmentation": [[240.86, 211.31, 240.16, 197.19]], "area": 1481.38, "iscrowd": 0,
        "image_id": 139, "bbox": [236.98, 142.51, 24.7, 69.5], "category_id": 64, "id": 26547,
    },
    {
        "segmentation": {"counts": [272, 2], "size": [426, 640]}, "area": 1, "iscrowd": 1,
        "image_id": 139, "bbox": [1, 2, 3, 4], "category_id": 62, "id": 9,
    },
    {"image_id": 139, "category_id": 64, "id": 10, "bbox": [1, 2, 3, 4], "iscrowd": 0},
]  # fmt: skip
PANOPTIC = [
    {
        "segments_info": [
            {"id": 3226956, "category_id": 23, "iscrowd": 0, "bbox": [1, 2, 3, 4], "area": 5},
            {"id": 6979964, "category_id": 193, "iscrowd": 0, "bbox": [1, 2, 3, 4], "area": 5},
        ],
        "file_name": "000000000285.png", "image_id": 285,
    }
]  # fmt: skip
CATEGORIES = [
    {"supercategory": "furniture", "id": 62, "name": "chair"},
    {"supercategory": "furniture", "id": 64, "name": "potted plant"},
]
PANOPTIC_CATEGORIES = [
    {"supercategory": "animal", "isthing": 1, "id": 23, "name": "bear"},
    {"supercategory": "plant", "isthing": 0, "id": 193, "name": "grass-merged"},
]


def write(file: Path, annotations: list[Any], categories: list[Any] | None, **more: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {"info": {"year": 2017}, "licenses": [{"id": 1}], "images": IMAGES}
    content |= {"annotations": annotations}
    if categories is not None:
        content["categories"] = categories
    file.write_text(json.dumps(content | more))
    return file


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """The folder that the archives of val2017 unpack to."""
    folder = tmp_path / "annotations"
    write(folder / "captions_val2017.json", CAPTIONS, None)
    write(folder / "instances_val2017.json", INSTANCES, CATEGORIES)
    write(folder / "panoptic_val2017.json", PANOPTIC, PANOPTIC_CATEGORIES)
    (tmp_path / "val2017").mkdir()
    return tmp_path


def test_a_folder_joins_its_files(coco: Path) -> None:
    problems = Problems()
    expected = [
        Record(
            image=f"{coco}/val2017/000000000139.jpg",
            captions=("A woman stands in the dining area.", "A room with chairs."),
            tags=("potted plant", "chair"),
            source="coco",
        ),
        Record(
            image=f"{coco}/val2017/000000000285.jpg",
            captions=("A big burly grizzly bear.",),
            tags=("bear", "grass-merged"),
            source="coco",
        ),
        Record(image=f"{coco}/val2017/000000000632.jpg", source="coco"),
    ]
    assert list(read_coco(coco, problems)) == expected
    assert list(read_coco(coco / "annotations", problems)) == expected
    assert not problems.counts


@pytest.mark.parametrize(
    ("name", "num_captions", "num_tags"),
    [("captions", 3, 0), ("instances", 0, 2), ("panoptic", 0, 2)],
)
def test_one_file(coco: Path, name: str, num_captions: int, num_tags: int) -> None:
    file = coco / "annotations" / f"{name}_val2017.json"
    records = list(read_coco(file, Problems(), images=Path("elsewhere")))
    assert sum(len(record.captions) for record in records) == num_captions
    assert sum(len(record.tags) for record in records) == num_tags
    assert records[0].image == "elsewhere/000000000139.jpg"


def test_annotations_before_images(tmp_path: Path) -> None:
    content = {"annotations": CAPTIONS, "images": IMAGES}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    problems = Problems()
    records = list(read_coco(tmp_path / "mine.json", problems))
    assert [len(record.captions) for record in records] == [2, 1, 0]
    assert records[0].image == f"{tmp_path.parent}/000000000139.jpg"
    (tmp_path / "000000000139.jpg").touch()
    records = list(read_coco(tmp_path / "mine.json", problems))
    assert records[0].image == f"{tmp_path}/000000000139.jpg"
    assert not problems.counts


def test_what_is_wrong(tmp_path: Path) -> None:
    images = [*IMAGES, IMAGES[0], {"id": 5}, "nothing", {"id": None, "file_name": "a.jpg"}]
    annotations = [
        *INSTANCES,
        {"image_id": 139, "category_id": 999},
        {"image_id": 77, "category_id": 62},
        {"image_id": 139, "caption": 5},
        {"image_id": 139},
        None,
    ]
    file = write(tmp_path / "instances_x.json", annotations, CATEGORIES, images=images)
    problems = Problems()
    records = list(read_coco(file, problems))
    assert [record.tags for record in records] == [("potted plant", "chair"), (), ()]
    assert problems.counts == {"malformed": 8, "duplicate": 1}
    text = "\n".join(map(str, problems.examples))
    assert "line 1: item 4 of 'images': no 'file_name'" in text
    assert "item 4 of 'annotations': no image has the id 77" in text
    assert "no category has the id 999" in text


def test_a_file_that_is_cut_off(coco: Path) -> None:
    file = coco / "annotations" / "captions_val2017.json"
    text = file.read_text()
    file.write_text(text[: text.index("A room with")])
    problems = Problems()
    records = list(read_coco(file, problems))
    assert [len(record.captions) for record in records] == [1, 1, 0]
    assert problems.counts == {"truncated": 1}
