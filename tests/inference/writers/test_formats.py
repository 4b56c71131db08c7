"""Each format is read back by another program's eyes: json, csv, pyarrow."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from anytag.errors import MissingExtraError
from anytag.inference.results import ItemError, Tag, TagResult
from anytag.inference.writers import Format, make_writer
from anytag.inference.writers.jsonl import result_from_record
from anytag.inference.writers.table import TerminalWriter
from anytag.labels.labelset import Label, LabelSet

LABELS = LabelSet(
    [Label(id=0, name="cat", kind="object", translations={"de": "Katze"}), Label(id=1, name="a, b")]
)
CAT = Tag(name="cat", score=0.912345, threshold=0.5, id=0, kind="object")
ODD = Tag(name='a, b "c"', score=1 / 3, threshold=0.25, id=1)


def result(
    path: str, *tags: Tag, error: ItemError | None = None, width: int | None = 30
) -> TagResult:
    return TagResult(
        path=path,
        sha256=None if error else "ab" * 32,
        width=None if error else width,
        height=None if error else 20,
        model="nano-v0",
        tags=tags,
        error=error,
    )


RESULTS = [
    result("Füße/[red]a.jpg", CAT, ODD),
    result("none.jpg"),
    result("bad\n.jpg", error=ItemError(type="empty", message="bad.jpg is empty")),
    result("b.jpg", CAT),
]


def written(form: Format, results: list[TagResult] = RESULTS) -> bytes:
    sink = io.BytesIO()
    writer = make_writer(form, sink, LABELS)
    for one in results:
        writer.write(one)
    writer.close()
    return sink.getvalue()


def test_jsonl() -> None:
    lines = written(Format.JSONL).decode().splitlines()
    assert [json.loads(line) for line in lines] == [one.record() for one in RESULTS]
    assert json.loads(lines[0])["tags"][0] == {
        "name": "cat", "score": 0.9123, "threshold": 0.5, "id": 0, "kind": "object",
    }  # fmt: skip


@pytest.mark.parametrize("num", [0, 1, 4])
def test_json(num: int) -> None:
    assert json.loads(written(Format.JSON, RESULTS[:num])) == [
        one.record() for one in RESULTS[:num]
    ]


def test_records_come_back() -> None:
    for one in RESULTS:
        assert result_from_record(one.record()).record() == one.record()


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(written(Format.CSV).decode(), newline="")))
    assert [(row["path"], row["tag"], row["score"], row["error"]) for row in rows] == [
        ("Füße/[red]a.jpg", "cat", "0.9123", ""),
        ("Füße/[red]a.jpg", 'a, b "c"', "0.3333", ""),
        ("none.jpg", "", "", ""),
        ("bad\n.jpg", "", "", "empty"),
        ("b.jpg", "cat", "0.9123", ""),
    ]


def test_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    monkeypatch.setattr("anytag.inference.writers.parquet.ROW_GROUP", 3)
    rows = parquet.read_table(io.BytesIO(written(Format.PARQUET))).to_pylist()
    for row, one in zip(rows, RESULTS, strict=True):
        for tag in row["tags"]:
            tag |= {key: round(tag[key], 4) for key in ("score", "threshold")}
        assert row == one.record()
    assert parquet.read_table(io.BytesIO(written(Format.PARQUET, []))).num_rows == 0


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"anytag\[parquet\]"):
        written(Format.PARQUET)


@pytest.mark.parametrize("num", [0, 4])
def test_coco(num: int) -> None:
    found = json.loads(written(Format.COCO, RESULTS[:num]))
    assert [category["name"] for category in found["categories"]] == ["cat", "a, b"]
    names = {image["id"]: image["file_name"] for image in found["images"]}
    pairs = [(names[one["image_id"]], one["category_id"]) for one in found["annotations"]]
    failed = [error["file_name"] for error in found["errors"]]
    if num == 0:
        assert (names, pairs, failed) == ({}, [], [])
    else:
        assert list(names.values()) == ["Füße/[red]a.jpg", "none.jpg", "b.jpg"]
        assert pairs == [("Füße/[red]a.jpg", 0), ("Füße/[red]a.jpg", 1), ("b.jpg", 0)]
        assert failed == ["bad\n.jpg"]
        ids = [one["id"] for one in found["annotations"]]
        assert len(set(ids)) == len(ids)


def test_coco_categories_are_translated() -> None:
    sink = io.BytesIO()
    make_writer(Format.COCO, sink, LABELS, language="de").close()
    assert json.loads(sink.getvalue())["categories"][0]["name"] == "Katze"


def test_plain_table_is_one_line_an_image() -> None:
    assert written(Format.TABLE).decode().splitlines() == [
        'Füße/[red]a.jpg\tcat 0.91, a, b "c" 0.33',
        "none.jpg\t",
        "bad\\n.jpg\terror: bad.jpg is empty",
        "b.jpg\tcat 0.91",
    ]


def test_terminal() -> None:
    """Nothing in a file name is taken for markup, and nothing is cut off."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=20)
    writer = TerminalWriter(console)
    long = "x" * 100 + ".jpg"
    for one in (*RESULTS, result(long)):
        writer.write(one)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[:3] == ["Füße/[red]a.jpg", "  ━━━━━━━━━━ 0.91 cat", '  ━━━━━━━━━━ 0.33 a, b "c"']
    assert "  bad.jpg is empty" in lines
    assert long in lines


def test_half_characters_do_not_reach_a_file() -> None:
    odd = result("a.jpg", Tag(name="x\udce9", score=0.5, threshold=0.5, id=0))
    for form in (Format.JSONL, Format.JSON, Format.CSV, Format.TABLE):
        written(form, [odd]).decode("utf-8")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", Format.JSONL),
        ("a.JSON", Format.JSON),
        ("a.csv", Format.CSV),
        ("a.parquet", Format.PARQUET),
        ("a.txt", Format.TABLE),
        ("a", Format.JSONL),
        ("a.coco", Format.JSONL),
    ],
)
def test_format_of_a_file(name: str, form: Format) -> None:
    assert Format.of_file(Path(name)) is form
