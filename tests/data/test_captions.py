"""Readers of captions: every format, and files that are broken in every way."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from anytag.data import caption_rows
from anytag.data.captions import Caption, read_captions
from anytag.errors import UsageError


def read(path: Path, column: str | None = None) -> list[Caption]:
    return list(read_captions(path, column=column))


def texts(path: Path, column: str | None = None) -> list[str]:
    return [caption.text for caption in read(path, column) if caption.error is None]


def errors(path: Path) -> list[tuple[int, str]]:
    return [(one.row, one.error[0]) for one in read(path) if one.error is not None]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "A.TXT"])
def test_text_is_one_caption_a_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "\ufeffa dog\r\n\nзима 😀 שלום\nlast".encode())
    assert [(one.row, one.text) for one in read(path)] == [
        (1, "a dog"),
        (3, "зима 😀 שלום"),
        (4, "last"),
    ]


def test_other_encodings_are_read_and_marked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"caf\xe9\nna\xc3\xafve\n\xff\xfe\x81\n")
    assert [(one.text, one.recoded) for one in read(path)] == [
        ("café", True),
        ("naïve", False),
        ("ÿþ\ufffd", True),
    ]
    utf16 = write(tmp_path / "b.txt", "a dog\na cat\n".encode("utf-16"))
    assert texts(utf16) == ["a dog", "a cat"]


def test_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", b"word " * 200_000 + b"\nb\n")
    assert [len(text) for text in texts(path)] == [1_000_000, 1]
    monkeypatch.setattr(caption_rows, "MAX_BYTES", 1000)
    assert errors(path) == [(1, "too_long")]
    assert texts(path) == ["b"]


def test_jsonl_in_its_many_forms(tmp_path: Path) -> None:
    rows: list[object] = [
        {"caption": "a dog", "image": "1.jpg"},
        {"image_id": 7, "captions": ["one", "two", ""]},
        "plain",
        {"sentences": [{"raw": "from a split"}], "filename": "2.jpg"},
        {"TEXT": "upper", "url": "u"},
    ]
    lines = [json.dumps(row) for row in rows]
    path = write(tmp_path / "a.jsonl", "\n".join([*lines, "", ""]).encode())
    assert [(one.row, one.text, one.image) for one in read(path)] == [
        (1, "a dog", "1.jpg"),
        (2, "one", "7"),
        (2, "two", "7"),
        (3, "plain", None),
        (4, "from a split", "2.jpg"),
        (5, "upper", "u"),
    ]


def test_broken_jsonl(tmp_path: Path) -> None:
    lines = ["{", '{"caption": 3, "id": 1}', "[" * 100_000, "null", '{"caption": "good"}']
    path = write(tmp_path / "a.jsonl", "\n".join(lines).encode())
    assert [row for row, _ in errors(path)] == [1, 2, 3, 4]
    assert {kind for _, kind in errors(path)} == {"bad_json", "no_caption"}
    assert texts(path) == ["good"]


def test_csv_with_header_quotes_and_wrong_rows(tmp_path: Path) -> None:
    text = 'id,Caption\n1,"a dog, a cat"\n2\n3,"two\nlines"\n4,\n5,end\n'
    path = write(tmp_path / "a.csv", text.encode())
    assert [(one.image, one.text) for one in read(path) if one.error is None] == [
        ("1", "a dog, a cat"),
        ("3", "two\nlines"),
        ("5", "end"),
    ]
    assert [kind for _, kind in errors(path)] == ["bad_row", "no_caption"]


def test_tsv_without_header_takes_the_words_and_not_the_url(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", b'a "red" dog runs\thttp://a/1.jpg\na cat\thttp://a/2.jpg\n')
    assert texts(path) == ['a "red" dog runs', "a cat"]
    assert read(path)[0].image == "http://a/1.jpg"


def test_csv_cells_of_a_megabyte_and_the_global_limit(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = write(tmp_path / "a.csv", b"caption\n" + b"w " * 500_000 + b"\n\0nul\n")
    assert [len(text) for text in texts(path)] == [1_000_000, 3]
    assert csv.field_size_limit() == before


def test_a_named_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"alt_text,caption\nwanted,other\n")
    assert texts(path, "alt_text") == ["wanted"]
    with pytest.raises(UsageError, match="no column 'nope'"):
        read(path, "nope")
    assert texts(write(tmp_path / "a.jsonl", b'{"x": "wanted"}'), "x") == ["wanted"]


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table(
        {"TEXT": ["a dog", None, "a cat"], "URL": ["u1", "u2", "u3"], "n": [1, 2, 3]}
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    path = tmp_path / "a.parquet"
    assert [(one.row, one.text, one.image) for one in read(path) if one.error is None] == [
        (1, "a dog", "u1"),
        (3, "a cat", "u3"),
    ]
    assert errors(path) == [(2, "no_caption")]
    lists = arrow.table({"captions": [["one", "two"], []]})
    parquet.write_table(lists, tmp_path / "b.parquet")
    assert texts(tmp_path / "b.parquet") == ["one", "two"]
    assert errors(write(tmp_path / "c.parquet", b"PAR1 no")) == [(0, "unreadable")]
    parquet.write_table(arrow.table({"n": [1]}), tmp_path / "d.parquet")
    with pytest.raises(UsageError, match="--column"):
        read(tmp_path / "d.parquet")


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_webdataset_shards(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "00000.tar",
        {
            "000/1.jpg": b"\xff\xd8",
            "000/1.txt": b"a dog",
            "000/1.json": b'{"caption": "a dog", "url": "u"}',
            "000/2.json": b'{"caption": "a cat"}',
            "000/3.jpg": b"\xff\xd8",
            "000/4.txt": b"  ",
            "000/5.json": b"{",
            "000/6.cap": b"caf\xe9",
        },
    )
    good = [(one.row, one.image, one.text) for one in read(path) if one.error is None]
    assert good == [(1, "000/1", "a dog"), (2, "000/2", "a cat"), (6, "000/6", "café")]
    assert errors(path) == [(3, "no_caption"), (4, "no_caption"), (5, "bad_json")]


def test_a_cut_shard_gives_what_it_has(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", {f"{number}.txt": b"a dog" * 400 for number in range(9)})
    write(path, path.read_bytes()[:9000])
    assert len(texts(path)) >= 2
    assert errors(path)[-1] == (0, "unreadable")


def test_a_cut_gzip_gives_what_it_has(tmp_path: Path) -> None:
    data = gzip.compress("".join(f"line {number}\n" for number in range(50_000)).encode())
    path = tmp_path / "a.txt.gz"
    path.write_bytes(data[: len(data) // 2])
    assert len(texts(path)) > 100
    assert errors(path) == [(0, "unreadable")]


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    assert errors(tmp_path / "none.txt") == [(0, "missing")]
    with pytest.raises(UsageError, match="captions are read from"):
        read_captions(tmp_path / "a.docx")
