"""The corrected set: every format without a change and with changes, read back."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as cases
from hypothesis import strategies as st
from PIL import Image

from anytag.data.records import Record
from anytag.data.sources import Source, open_source
from anytag.engine.audit_table import COLUMNS, csv_line
from anytag.engine.corrected import Corrected, correct
from anytag.errors import UsageError

Tags: TypeAlias = dict[str, tuple[str, ...]]
SET: Tags = {"1.png": ("cat", "hot dog"), "2.png": ("dog",), "3.png": (), "4.png": ("dog", "cat")}
#: (picture, tag, kind)
CHANGES = [("1.png", "dog", "missing"), ("1.png", "cat", "wrong"), ("3.png", "hot dog", "missing"),
           ("4.png", "dog", "wrong"), ("4.png", "cat", "wrong")]  # fmt: skip
CHANGED = {"1.png": {"hot dog", "dog"}, "2.png": {"dog"}, "3.png": {"hot dog"}, "4.png": set()}


def write_pictures(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (40, 20)).save(folder / name)


def write_coco(folder: Path, tags: Tags) -> Path:
    names = sorted({tag for own in tags.values() for tag in own})
    annotations = [
        {"id": 10 * row + place, "image_id": row, "category_id": names.index(tag) + 1,
         "bbox": [1, 2, 3.5, 4], "area": 14.0, "iscrowd": 0}
        for row, own in enumerate(tags.values())
        for place, tag in enumerate([*own, *own[:1]])  # the first tag twice
    ]  # fmt: skip
    value = {
        "info": {"year": 2026},
        "images": [
            {"id": row, "file_name": name, "width": 400, "height": 200}
            for row, name in enumerate(tags)
        ],
        "annotations": annotations,
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(names)],
    }
    path = folder / "instances_made.json"
    path.write_text(json.dumps(value))
    return path


XML = """<?xml version="1.0"?>
<annotation>
\t<filename>{name}</filename>
\t<size><width>400</width><height>200</height></size>
{objects}</annotation>
"""


def write_voc(folder: Path, tags: Tags) -> Path:
    (folder / "Annotations").mkdir()
    for name, own in tags.items():
        objects = "".join(
            f"\t<object>\n\t\t<name>{tag}</name>\n\t\t<part><name>dog</name></part>\n\t</object>\n"
            for tag in [*own, *own[:1]]
        )
        text = XML.format(name=name, objects=objects)
        (folder / "Annotations" / name).with_suffix(".xml").write_text(text)
    return folder


def write_table(folder: Path, tags: Tags) -> Path:
    lines = [csv_line([f"{n}", name, "; ".join(own)]) for n, (name, own) in enumerate(tags.items())]
    path = folder / "made.csv"
    path.write_text("id,image,tags\n" + "".join(lines))
    return path


def write_one_hot(folder: Path, tags: Tags) -> Path:
    names = sorted({tag for own in tags.values() for tag in own})
    lines = [
        csv_line([name, *(str(float(tag in own)) for tag in names)], "\t", "\r\n")
        for name, own in tags.items()
    ]
    header = csv_line(["image", *(name.replace(" ", "_") for name in names)], "\t", "\r\n")
    path = folder / "made.tsv"
    path.write_bytes(("\ufeff" + header + "".join(lines)).encode())
    return path


def write_long(folder: Path, tags: Tags) -> Path:
    rows = [(name, tag) for name, own in tags.items() for tag in own or ("",)]
    path = folder / "made.csv"
    path.write_text("image,label\n" + "".join(map(csv_line, rows)).removesuffix("\n"))
    return path


def write_records(folder: Path, tags: Tags) -> Path:
    rows = [
        {"image": name, "tags": own, "score": 1.50, "captions": ["x"], "parsed_tags": [list(own)]}
        for name, own in tags.items()
    ]
    path = folder / "made.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\nno record\n")
    return path


def write_parquet(folder: Path, tags: Tags) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"image": name, "tags": list(own), "own": 7} for name, own in tags.items()]
    path = folder / "made.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


WRITERS = [write_coco, write_voc, write_table, write_one_hot, write_long, write_records,
           write_parquet]  # fmt: skip


def make(folder: Path, write: Callable[[Path, Tags], Path], tags: Tags = SET) -> Path:
    """The set in a folder of its own."""
    (folder / "made").mkdir()
    return write(folder / "made", tags)


def write_decisions(
    path: Path, source: Source, changes: Iterable[tuple[str, str, str]], box: str = ""
) -> Path:
    """Decisions about pictures, which are named by their last part."""
    images = {Path(record.image).name: record.image for record in source}
    rows = [
        [images[name], tag, kind, "0.9", "0.5", "yes", box if kind == "missing" else ""]
        for name, tag, kind in changes
    ]
    path.write_text("".join(csv_line(row) for row in (COLUMNS, *rows)))
    return path


def tags_of(records: Iterable[Record]) -> dict[str, set[str]]:
    return {Path(record.image).name: set(record.tags) for record in records}


def corrected(
    folder: Path, made: Path, changes: Iterable[tuple[str, str, str]], box: str = ""
) -> tuple[Corrected, Source]:
    source = open_source(made, images=folder / "photos")
    decisions = write_decisions(folder / "decisions.csv", source, changes, box)
    done = correct(source, decisions, folder / "out")
    path = folder / "out" if made.is_dir() else folder / "out" / made.name
    return done, open_source(path, source.kind, images=folder / "photos")


@pytest.mark.parametrize("write", WRITERS)
def test_without_decisions_nothing_changes(
    tmp_path: Path, write: Callable[[Path, Tags], Path]
) -> None:
    write_pictures(tmp_path / "photos", SET)
    path = make(tmp_path, write)
    made = tmp_path / "made"
    done, _ = corrected(tmp_path, path, [])
    assert (done.added, done.removed) == (0, 0)
    files = [one for one in made.rglob("*") if one.is_file()]
    assert len(done.files) == len(files)
    for file in files:
        assert (tmp_path / "out" / file.relative_to(made)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("write", WRITERS)
def test_decisions_are_applied_once(tmp_path: Path, write: Callable[[Path, Tags], Path]) -> None:
    write_pictures(tmp_path / "photos", SET)
    path = make(tmp_path, write)
    before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
    done, source = corrected(tmp_path, path, [*CHANGES, CHANGES[0]], "0.1 0.2 0.5 0.7")
    assert tags_of(source) == CHANGED
    assert (done.added, done.removed) == (2, 3)
    for file, content in before.items():
        assert file.read_bytes() == content
    decisions = write_decisions(tmp_path / "decisions.csv", source, CHANGES[:1])
    with pytest.raises(UsageError, match=r"line 2: .*1\.png has already the tag 'dog'"):
        correct(source, decisions, tmp_path / "again")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@cases(data=st.data())
@pytest.mark.parametrize("write", WRITERS)
def test_any_decisions(
    tmp_path_factory: pytest.TempPathFactory, write: Callable[[Path, Tags], Path], data: Any
) -> None:
    folder = tmp_path_factory.mktemp("set")
    write_pictures(folder / "photos", ["1.png"])
    names = ["cat", "hot dog", "dog", "Zug"]
    drawn = st.lists(st.sampled_from(names), max_size=4, unique=True).map(tuple)
    tags = {f"{n}.png": data.draw(drawn) for n in range(1, 5)}
    tags["5.png"] = tuple(names)  # so that the set has all of them
    changes = [
        (name, tag, "wrong" if tag in own else "missing")
        for name, own in tags.items()
        for tag in data.draw(st.lists(st.sampled_from(names), max_size=4, unique=True))
    ]
    done, source = corrected(folder, make(folder, write, tags), changes)
    expected = {name: set(own) for name, own in tags.items()}
    for name, tag, _ in changes:
        expected[name] ^= {tag}
    assert tags_of(source) == expected
    assert done.added + done.removed == len(changes)


def test_annotations_of_coco(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", SET)
    path = write_coco(tmp_path, SET)
    corrected(tmp_path, path, CHANGES, "0.1 0.2 0.5 0.7")
    before, after = (json.loads(one.read_text()) for one in (path, tmp_path / "out" / path.name))
    for name in ("info", "images", "categories"):
        assert after[name] == before[name]
    added = [one for one in after["annotations"] if one.get("source") == "anytag"]
    rest = [one for one in after["annotations"] if "source" not in one]
    assert rest == [
        one for one in before["annotations"]
        if (one["image_id"], one["category_id"]) not in {(0, 1), (3, 1), (3, 2)}
    ]  # fmt: skip
    assert added[0] == {
        "id": 33, "image_id": 0, "category_id": 2, "bbox": [40.0, 40.0, 160.0, 100.0],
        "area": 16000.0, "iscrowd": 0, "source": "anytag",
    }  # fmt: skip
    assert [one["id"] for one in added] == [33, 34]


def test_without_a_box_an_annotation_is_of_the_whole_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", SET)
    corrected(tmp_path, write_coco(tmp_path, SET), CHANGES[:1])
    value = json.loads((tmp_path / "out" / "instances_made.json").read_text())
    assert value["annotations"][-1] == {
        "id": 33, "image_id": 0, "category_id": 2, "source": "anytag",
    }  # fmt: skip


def test_a_folder_of_coco(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", SET)
    folder = tmp_path / "annotations"
    folder.mkdir()
    path = write_coco(folder, SET)
    value = json.loads(path.read_text())
    for one in value["images"]:
        del one["width"]  # the picture has 40 x 20 pixels
    path.write_text(json.dumps(value, indent=2))
    panoptic = [
        {"image_id": 0, "segments_info": [{"id": 1, "category_id": 1}, {"id": 2, "category_id": 9}]}
    ]
    grass = {"id": 9, "name": "grass"}
    value |= {"annotations": panoptic, "categories": [*value["categories"], grass]}
    (folder / "panoptic_made.json").write_text(json.dumps(value))
    captions = '{"images": [{"id": 0,  "file_name": "1.png"}], "annotations": []}'
    (folder / "captions_made.json").write_text(captions)
    _, source = corrected(tmp_path, folder, CHANGES, "0.1 0.2 0.5 0.7")
    assert tags_of(source) == CHANGED | {"1.png": {"hot dog", "dog", "grass"}}
    out = tmp_path / "out"
    assert (out / "captions_made.json").read_text() == captions
    text = (out / "instances_made.json").read_text()
    assert text.startswith('{\n  "info"')
    assert json.loads(text)["annotations"][-1]["bbox"] == [4.0, 4.0, 16.0, 10.0]
    segments = json.loads((out / "panoptic_made.json").read_text())["annotations"]
    assert segments == [{"image_id": 0, "segments_info": [{"id": 2, "category_id": 9}]}]
    source = open_source(folder, images=tmp_path / "photos")
    decisions = write_decisions(tmp_path / "d.csv", source, [("2.png", "grass", "missing")])
    with pytest.raises(UsageError, match="'grass' is a category of panoptic files only"):
        correct(source, decisions, tmp_path / "other")


def test_objects_of_voc(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", SET)
    corrected(tmp_path, make(tmp_path, write_voc), CHANGES, "0.1 0.2 0.5 0.7")
    first = tmp_path / "out" / "Annotations" / "1.xml"
    objects = ElementTree.parse(first).getroot().findall("object")
    assert [one.findtext("name") for one in objects] == ["hot dog", "dog"]
    assert [one.text for one in objects[1].findall("bndbox/*")] == ["40", "40", "200", "140"]
    assert objects[1].findtext("source") == "anytag"
    assert first.read_text() == XML.format(
        name="1.png",
        objects="\t<object>\n\t\t<name>hot dog</name>\n\t\t<part><name>dog</name></part>\n"
        "\t</object>\n\t<object>\n\t\t<name>dog</name>\n\t\t<pose>Unspecified</pose>\n"
        "\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n\t\t<bndbox>\n"
        "\t\t\t<xmin>40</xmin>\n\t\t\t<ymin>40</ymin>\n\t\t\t<xmax>200</xmax>\n"
        "\t\t\t<ymax>140</ymax>\n\t\t</bndbox>\n\t\t<source>anytag</source>\n\t</object>\n",
    )


def test_voc_in_other_encodings(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", ["1.png", "2.png"])
    folder = tmp_path / "set"
    folder.mkdir()
    text = (
        '<?xml version="1.0" encoding="iso-8859-1"?><annotation><filename>1.png</filename>'
        "<object><name>dog</name></object><!-- \xe9 --><object><name>caf\xe9 &amp; bar</name>"
        "</object></annotation>"
    )
    (folder / "1.xml").write_bytes(text.encode("latin-1"))
    other = "<annotation><filename>2.png</filename><object><name>dog</name></object></annotation>"
    (folder / "2.xml").write_text(other)
    changes = [("1.png", "caf\xe9 & bar", "wrong"), ("2.png", "caf\xe9 & bar", "missing")]
    _, source = corrected(tmp_path, folder, changes)
    assert tags_of(source) == {"1.png": {"dog"}, "2.png": {"dog", "caf\xe9 & bar"}}
    changed = (tmp_path / "out" / "1.xml").read_bytes().decode("latin-1")
    assert changed == text.replace("<object><name>caf\xe9 &amp; bar</name></object>", "")
    (folder / "2.xml").write_bytes(other.encode("utf-16"))
    source = open_source(folder, images=tmp_path / "photos")
    decisions = write_decisions(tmp_path / "d.csv", source, [("2.png", "dog", "wrong")])
    with pytest.raises(UsageError, match=r"2\.xml: is UTF-16"):
        correct(source, decisions, tmp_path / "other")


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        pytest.param(
            'image,tags,note\n1.png,"cat, dog","a ""b"""\n\n2.png,cat,x',
            [("1.png", "cat", "wrong"), ("2.png", "dog", "missing")],
            'image,tags,note\n1.png,dog,"a ""b"""\n\n2.png,"cat, dog",x',
            id="commas, quotes, no end",
        ),
        pytest.param(
            "file;keywords\r\n1.png;cat|dog\r\n2.png;cat|bird\r\n",
            [("1.png", "bird", "missing"), ("2.png", "cat", "wrong")],
            "file;keywords\r\n1.png;cat|dog|bird\r\n2.png;bird\r\n",
            id="bars, CR LF",
        ),
        pytest.param(
            'image,tags\n1.png,"a, b; c"\n2.png,d\n',
            [("2.png", "a, b", "missing")],
            'image,tags\n1.png,"a, b; c"\n2.png,"d; a, b"\n',
            id="a tag with a comma",
        ),
        pytest.param(
            "image,label,split\n1.png,cat,train\n1.png,dog,train\n2.png,dog,val\n",
            [("1.png", "cat", "wrong"), ("2.png", "dog", "wrong"), ("2.png", "cat", "missing")],
            "image,label,split\n1.png,dog,train\n2.png,cat,val\n",
            id="a tag a row",
        ),
        pytest.param(
            "image,label\n1.png,cat\n1.png,dog\n2.png,dog\n",
            [("2.png", "dog", "wrong"), ("1.png", "cat", "wrong"), ("1.png", "dog", "wrong")],
            "image,label\n1.png,\n2.png,\n",
            id="a tag a row, the last goes",
        ),
        pytest.param(
            "image,x,cat,dog\n1.png,640,True,\n2.png,640,,True\nbroken\n",
            [("1.png", "cat", "wrong"), ("2.png", "cat", "missing")],
            "image,x,cat,dog\n1.png,640,0,\n2.png,640,True,True\nbroken\n",
            id="columns",
        ),
    ],
)
def test_tables_keep_their_ways(
    tmp_path: Path, before: str, changes: list[tuple[str, str, str]], after: str
) -> None:
    write_pictures(tmp_path / "photos", ["1.png", "2.png"])
    (tmp_path / "made.csv").write_bytes(before.encode())
    corrected(tmp_path, tmp_path / "made.csv", changes)
    assert (tmp_path / "out" / "made.csv").read_bytes().decode() == after


def test_a_table_that_is_not_utf_8(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", ["1.png", "2.png"])
    made = tmp_path / "made.csv"
    made.write_bytes(
        'image,tags\n1.png,café; dog\n2.png,"dog; Ω"\n'.encode().replace(b"\xc3\xa9", b"\xe9")
    )
    _, source = corrected(tmp_path, made, [("1.png", "dog", "wrong"), ("2.png", "dog", "wrong")])
    assert tags_of(source) == {"1.png": {"café"}, "2.png": {"Ω"}}
    source = open_source(made, images=tmp_path / "photos")
    decisions = write_decisions(tmp_path / "d.csv", source, [("1.png", "Ω", "missing")])
    with pytest.raises(UsageError, match="'Ω' cannot be written in its encoding"):
        correct(source, decisions, tmp_path / "other")


def test_records_keep_all_else(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", SET)
    path = write_records(tmp_path, SET)
    corrected(tmp_path, path, CHANGES)
    before, after = (one.read_text().split("\n") for one in (path, tmp_path / "out" / "made.jsonl"))
    assert after[1] == before[1]
    assert after[4:] == before[4:]
    first = json.loads(after[0])
    assert first["tags"] == ["hot dog", "dog"]
    assert first["parsed_tags"] == [["hot dog"]]
    assert (first["score"], first["captions"]) == (1.5, ["x"])


def test_columns_of_parquet_stay(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", SET)
    path = write_parquet(tmp_path, SET)
    corrected(tmp_path, path, CHANGES)
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(tmp_path / "out" / "made.parquet").to_pylist()
    assert rows[0] == {"image": "1.png", "tags": ["hot dog", "dog"], "own": 7}


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    write_pictures(folder / "cat" / "deep", ["1.png"])
    write_pictures(folder / "hot_dog", ["1.png", "2.png"])
    write_pictures(folder / "hot_dog" / "deep", ["1.png"])
    (folder / "README.txt").write_text("mine")
    return folder


def files_of(folder: Path) -> Iterator[str]:
    return (
        one.relative_to(folder).as_posix() for one in sorted(folder.rglob("*")) if one.is_file()
    )


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_for_each_class(classes: Path, tmp_path: Path, link: bool) -> None:
    source = open_source(classes, "classes")
    rows = [
        [str(classes / "cat" / "deep" / "1.png"), "hot dog", "missing"],
        [str(classes / "cat" / "deep" / "1.png"), "cat", "wrong"],
        [str(classes / "hot_dog" / "2.png"), "hot dog", "wrong"],
    ]
    decisions = tmp_path / "decisions.csv"
    decisions.write_text("image,tag,kind,decision\n" + "".join(csv_line([*r, "y"]) for r in rows))
    before = {name: (classes / name).read_bytes() for name in files_of(classes)}
    done = correct(source, decisions, tmp_path / "out", link=link)
    assert list(files_of(tmp_path / "out")) == [
        "README.txt", "hot_dog/1.png", "hot_dog/deep/1-cat.png", "hot_dog/deep/1.png",
    ]  # fmt: skip
    assert done.notes == ("pictures that are in no class now, left out: 1",)
    assert {name: (classes / name).read_bytes() for name in files_of(classes)} == before
    same = (tmp_path / "out" / "hot_dog" / "1.png").samefile(classes / "hot_dog" / "1.png")
    assert same == link
    decisions.write_text("image,tag,kind,decision\n")
    correct(source, decisions, tmp_path / "same")
    assert {name: (tmp_path / "same" / name).read_bytes() for name in before} == before
    with pytest.raises(UsageError, match="lies in the set itself"):
        correct(source, decisions, classes / "out")


def test_tags_beside_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_pictures(folder, ["1.png", "2.png", "3.png"])
    (folder / "1.txt").write_text("cat, hot dog\n")
    (folder / "2.png.txt").write_text("cat\ndog")
    source = open_source(folder, "folder-tags")
    changes = [("1.png", "cat", "wrong"), ("1.png", "dog", "missing"), ("2.png", "cat", "wrong"),
               ("2.png", "hot dog", "missing"), ("3.png", "cat", "missing")]  # fmt: skip
    decisions = write_decisions(tmp_path / "decisions.csv", source, changes)
    correct(source, decisions, tmp_path / "out")
    assert (tmp_path / "out" / "1.txt").read_text() == "hot dog, dog\n"
    assert (tmp_path / "out" / "2.png.txt").read_text() == "dog\nhot dog"
    assert (tmp_path / "out" / "3.txt").read_text() == "cat"
    assert (tmp_path / "out" / "3.png").read_bytes() == (folder / "3.png").read_bytes()


def test_other_kinds_become_records(tmp_path: Path) -> None:
    made = [
        {"image_path": "1.png", "caption": ["a"], "union_label_id": [0], "parse_label_id": [[1]]}
    ]
    (tmp_path / "ram.json").write_text(json.dumps(made))
    source = open_source(tmp_path / "ram.json", names=["cat", "dog"], images=tmp_path)
    (record,) = source
    decisions = write_decisions(tmp_path / "d.csv", source, [("1.png", "cat", "wrong")])
    done = correct(source, decisions, tmp_path / "out")
    assert done.notes == ("sets of kind ram are written as records",)
    (changed,) = open_source(tmp_path / "out" / "corrected.jsonl")
    assert set(changed.tags) == set(record.tags) - {"cat"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("5.png", "cat", "wrong"), r"line 3: the set has no picture .*5\.png"),
        (("1.png", "bird", "missing"), "line 3: the set has no tag 'bird'"),
        (("2.png", "cat", "wrong"), r"line 3: .*2\.png has not the tag 'cat'"),
        (("1.png", "CAT", "missing"), r"line 3: .*1\.png has already the tag 'CAT'"),
    ],
)
def test_decisions_that_do_not_fit(tmp_path: Path, row: tuple[str, str, str], message: str) -> None:
    write_pictures(tmp_path / "photos", SET)
    source = open_source(write_table(tmp_path, SET), images=tmp_path / "photos")
    decisions = tmp_path / "decisions.csv"
    image = str(tmp_path / "photos" / row[0])
    rows = [[image, row[1], row[2], "no"], [image, row[1], row[2], "yes"]]
    decisions.write_text("image,tag,kind,decision\n" + "".join(map(csv_line, rows)))
    with pytest.raises(UsageError, match=message):
        correct(source, decisions, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_paths_may_be_written_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "photos", SET)
    path = write_table(tmp_path, SET)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "decisions.csv").write_text(
        "image,tag,kind,decision\nphotos/../photos/1.png,Cat,wrong,yes\n"
    )
    source = open_source(path, images=tmp_path / "photos")
    correct(source, tmp_path / "decisions.csv", Path("out"))
    with (tmp_path / "out" / "made.csv").open(newline="") as file:
        assert next(row for row in csv.reader(file) if row[1] == "1.png")[2] == "hot dog"
    with pytest.raises(UsageError, match="is not an empty folder"):
        correct(source, tmp_path / "decisions.csv", Path("out"))
    assert re.search(r"1\.png,cat", path.read_text())
