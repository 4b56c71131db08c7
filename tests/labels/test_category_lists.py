"""Category lists in the forms in which data sets publish them."""

from __future__ import annotations

from pathlib import Path

import pytest

from anytag.errors import LabelError
from anytag.labels.category_lists import Category, clean_name, read_category_list

COCO = '{"images": [], "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "hot dog"}]}'
LVIS = '{"categories": [{"name": "aerosol_can", "synonyms": ["aerosol_can", "spray_can"]}]}'
ADE20K = "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11664\t1172\t1\twall\n14\t0.01\t1\t1\t0\t"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "# COCO\nperson\n\nHot_Dog\nperson\n", [("person",), ("hot dog",)]),
        ("imagenet.txt", "tench, Tinca tinca\n", [("tench", "tinca tinca")]),
        ("coco.json", COCO, [("person",), ("hot dog",)]),
        ("lvis.json", LVIS, [("aerosol can", "spray can")]),
        ("names.json", '["Dog", "Cat"]', [("dog",), ("cat",)]),
        (
            "class-descriptions.csv",
            "/m/011k07,Tortoise\n/m/0121tl,Crane (Machine)\n",
            [("tortoise",), ("crane",)],
        ),
        ("oi7.csv", "LabelName,DisplayName\n/m/011k07,Tortoise\n", [("tortoise",)]),
        ("objectInfo150.txt", ADE20K + "door;double door\n", [("wall",), ("door", "double door")]),
        ("mine.tsv", "id\tlabel\tsynonyms\n1\tdog\thound|doggy\n", [("dog", "hound", "doggy")]),
    ],
)
def test_formats(tmp_path: Path, name: str, text: str, expected: list[tuple[str, ...]]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    found = [(one.name, *one.synonyms) for one in read_category_list(path)]
    assert found == expected


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        ("Crane_(machine)", "crane"),
        ("wall-other-merged", "wall"),
        ("church_indoor", "church"),
        ("indoor", "indoor"),
        ("window-blind", "window-blind"),
    ],
)
def test_what_is_written_for_programs_goes(written: str, tag: str) -> None:
    assert clean_name(written) == tag


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"id,words\n1,dog\n", "no column of names; its first row is id, words"),
        ("a.json", b"{}", "expected a list of names"),
        ("a.json", b'[{"id": 1}]', "entry 1 has no name"),
        ("a.json", b"{", "not valid JSON"),
        ("a.txt", b"# nothing\n", "holds no names"),
        ("a.txt", b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LabelError, match=message):
        read_category_list(tmp_path / name)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="cannot be read"):
        read_category_list(tmp_path / "none.txt")


def test_an_entry_has_its_own_name_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("dog, Dog, hound\n", encoding="utf-8")
    assert read_category_list(tmp_path / "a.txt") == [Category("dog", ("hound",))]
