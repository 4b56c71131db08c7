"""ADE20K: the full sets of 2016 and 2021, and SceneParsing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anytag.data.problems import Problems
from anytag.data.sources.ade20k import read_ade20k, read_ade20k_150, scene_of

ATTRIBUTES = """001 # 0 # 0 # sky # sky # ""
002 # 0 # 1 # car, auto, automobile, machine, motorcar # cars # "moving, red"
003 # 0 # 0 # car, auto, automobile, machine, motorcar # car # ""
001 # 1 # 0 # wheel # wheel # ""
"""
INFO = (
    "Idx\tRatio   \tTrain\tVal  \tStuff\tName\n"
    "1   \t0.1576  \t11664\t1172 \t1    \twall\n"
    "2   \t0.1072  \t6046 \t612  \t1    \tbuilding, edifice\n"
    "3   \t0.0878  \t8265 \t796  \t1    \tsky\n"
)


def write_2021(folder: Path) -> None:
    folder.mkdir(parents=True)
    objects = [
        {"id": 0, "name_ndx": 2978, "hypernym": [], "raw_name": "wall", "name": "wall",
         "attributes": [], "crop": 0, "occluded": 0,
         "parts": {"hasparts": [], "ispartof": [], "part_level": 0}},
        {"id": 1, "name_ndx": 774, "raw_name": "door knob", "name": "knob, boss", "attributes": "",
         "parts": {"hasparts": [], "ispartof": 0, "part_level": 1}},
        {"id": 2, "raw_name": "café", "name": "café", "parts": {"part_level": "0"}},
    ]  # fmt: skip
    annotation = {
        "filename": "ADE_train_00016869.jpg", "folder": "ADE20K_2021_17_01/images/ADE/training",
        "imsize": [1536, 2048, 3], "source": {"folder": "", "filename": "", "origin": ""},
        "scene": ["urban", "street"], "object": objects,
    }  # fmt: skip
    text = json.dumps({"annotation": annotation}, ensure_ascii=False)
    (folder / "ADE_train_00016869.json").write_bytes(text.encode("latin-1"))


def test_full_set_of_2016(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "training" / "c" / "church" / "indoor"
    folder.mkdir(parents=True)
    (folder / "ADE_train_00000970_atr.txt").write_text(ATTRIBUTES + "\nbad line\n")
    (folder / "ADE_train_00000970_seg.png").touch()
    problems = Problems()
    (record,) = read_ade20k(tmp_path, problems)
    assert record.image == f"{folder}/ADE_train_00000970.jpg"
    assert record.tags == ("sky", "car", "church", "indoor")
    assert problems.counts == {"malformed": 1}
    assert problems.examples[0].line == 6
    (record,) = read_ade20k(tmp_path, Problems(), parts=True)
    assert record.tags[:3] == ("sky", "car", "wheel")


def test_full_set_of_2021(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "ADE" / "training" / "urban" / "street"
    write_2021(folder)
    problems = Problems()
    (record,) = read_ade20k(tmp_path, problems)
    assert record.image == f"{folder}/ADE_train_00016869.jpg"
    assert record.tags == ("wall", "café", "street")
    assert not problems.counts
    for number, text in enumerate(('{"annotation": {"object": [', '{"a": 1}', "[1]", "")):
        (folder / f"ADE_val_{number}.json").write_text(text)
    assert [record.tags[:-1] for record in read_ade20k(tmp_path, problems)][1:] == [()] * 4
    assert problems.counts == {"malformed": 4}


@pytest.mark.parametrize(
    ("folder", "tags"),
    [
        ("training/a/art_gallery", ["art gallery"]),
        ("training/outliers", []),
        ("images/training", []),
        ("training/b/bakery/shop", ["shop"]),
        ("c/casino/outdoor", ["casino", "outdoor"]),
    ],
)
def test_scenes(folder: str, tags: list[str]) -> None:
    assert scene_of(Path(folder)) == tags


def test_scene_parsing(tmp_path: Path) -> None:
    (tmp_path / "objectInfo150.txt").write_text(INFO)
    (tmp_path / "sceneCategories.txt").write_text(
        "ADE_train_00000001 airport_terminal\nADE_val_00000001 misc\n"
    )
    for split in ("training", "validation"):
        (tmp_path / "annotations" / split).mkdir(parents=True)
    mask = np.zeros((4, 5), np.uint8)
    mask[0], mask[1, 0] = 2, 3
    first = tmp_path / "annotations" / "training" / "ADE_train_00000001.png"
    Image.fromarray(mask).save(first)
    mask[2, 0] = 77
    second = tmp_path / "annotations" / "validation" / "ADE_val_00000001.png"
    Image.fromarray(mask).save(second)
    problems = Problems()
    records = list(read_ade20k_150(tmp_path, problems))
    assert [(record.image, record.tags) for record in records] == [
        (
            f"{tmp_path}/images/training/ADE_train_00000001.jpg",
            ("building", "sky", "airport terminal"),
        ),
        (f"{tmp_path}/images/validation/ADE_val_00000001.jpg", ("building", "sky")),
    ]
    assert problems.counts == {"malformed": 1}
    few = list(read_ade20k_150(tmp_path, Problems(), min_pixels=2))
    assert few[1].tags == ("building",)


def test_masks_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "objectInfo150.txt").write_text(INFO + "x\t1\ty\n")
    folder = tmp_path / "annotations" / "training"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"no picture")
    Image.new("RGB", (3, 3)).save(folder / "b.png")
    Image.new("L", (300, 300)).save(folder / "c.png")
    (folder / "c.png").write_bytes((folder / "c.png").read_bytes()[:60])
    problems = Problems()
    assert [record.tags for record in read_ade20k_150(tmp_path, problems)] == [(), (), ()]
    assert problems.counts == {"malformed": 4}
