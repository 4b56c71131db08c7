"""Files of records: the same records come back, in parts, from any position."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from anytag.config import from_plain, to_plain
from anytag.data.problems import Problems
from anytag.data.record_files import (
    Position,
    RecordStream,
    part_of,
    write_jsonl,
    write_parquet,
)
from anytag.data.records import Record
from anytag.data.shards import write_shards
from anytag.errors import MissingExtraError, UsageError


def make(num: int) -> list[Record]:
    return [
        Record(
            image=f"{number:03}.jpg",
            captions=(f"caption {number}", "قطة \U0001f408")[: number % 3],
            tags=("cat", "dog")[: number % 2 + 1],
            parsed_tags=(("cat",), ())[: number % 3],
            source="test",
            content=b"%d" % number,
        )
        for number in range(num)
    ]


def save_jsonl(folder: Path, records: list[Record]) -> list[Path]:
    files = [folder / "a.jsonl", folder / "b.jsonl", folder / "c.jsonl"]
    for number, file in enumerate(files):
        write_jsonl(file, records[number::3])
    return files


def save_parquet(folder: Path, records: list[Record]) -> list[Path]:
    files = [folder / "a.parquet", folder / "b.parquet"]
    for number, file in enumerate(files):
        write_parquet(file, records[number::2])
    return files


def save_shards(folder: Path, records: list[Record]) -> list[Path]:
    assert write_shards(folder, records, Problems(), samples_per_shard=4) == len(records)
    return sorted(folder.glob("*.tar"))


def texts(record: Record) -> tuple[object, ...]:
    """What every format keeps; shards name the picture anew."""
    return record.captions, record.tags, record.parsed_tags, record.source


each_format = pytest.mark.parametrize("save", [save_jsonl, save_parquet, save_shards])
Save = Callable[[Path, list[Record]], list[Path]]


@each_format
def test_all_come_back(tmp_path: Path, save: Save) -> None:
    records = make(13)
    stream = RecordStream(save(tmp_path, records))
    assert sorted(map(texts, stream)) == sorted(map(texts, records))
    assert not stream.problems.counts


@each_format
@pytest.mark.parametrize("num_parts", [1, 2, 3, 7])
def test_parts_are_disjoint_and_complete(tmp_path: Path, save: Save, num_parts: int) -> None:
    files = save(tmp_path, make(13))
    parts = [list(RecordStream(files, part=n, num_parts=num_parts)) for n in range(num_parts)]
    images = [record.image for part in parts for record in part]
    assert sorted(images) == sorted(record.image for record in RecordStream(files))
    assert len(images) == 13


@each_format
@pytest.mark.parametrize("num_parts", [1, 5])
def test_each_position_goes_on(tmp_path: Path, save: Save, num_parts: int) -> None:
    files = save(tmp_path, make(13))
    whole = list(RecordStream(files, part=num_parts - 1, num_parts=num_parts))
    stream = RecordStream(files, part=num_parts - 1, num_parts=num_parts)
    for done, _ in enumerate(stream, 1):
        saved = json.loads(json.dumps(to_plain(stream.position)))
        rest = RecordStream(
            files,
            part=num_parts - 1,
            num_parts=num_parts,
            position=from_plain(Position, saved),
        )
        assert list(rest) == whole[done:]
    assert not list(RecordStream(files, num_parts=1, position=Position(file=len(files))))


def test_broken_lines_count_for_the_position(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(
        b'\xef\xbb\xbf{"image": "a"}\nno json\n\n{"image": 3}\n'
        b'{"image": "b", "captions": ["caf\xe9"]}\n["x"]\n{"image": "c", "capt'
    )
    stream = RecordStream([file])
    assert [(record.image, record.captions) for record in stream] == [("a", ()), ("b", ("café",))]
    assert [(one.kind, one.line) for one in stream.problems.examples] == [
        ("malformed", 2),
        ("malformed", 4),
        ("encoding", 5),
        ("malformed", 6),
        ("malformed", 7),
    ]
    assert stream.position == Position(file=1)
    halves = [list(RecordStream([file], part=part, num_parts=2)) for part in (0, 1)]
    assert [[record.image for record in half] for half in halves] == [["a", "b"], []]


def test_a_megabyte_of_caption(tmp_path: Path) -> None:
    record = Record(image="a.jpg", captions=("word " * 200_000 + "end",))
    for save in (write_jsonl, write_parquet):
        file = tmp_path / ("a.jsonl" if save is write_jsonl else "a.parquet")
        save(file, [record])
        assert list(RecordStream([file])) == [record]


def test_names_with_odd_bytes(tmp_path: Path) -> None:
    record = Record(image="caf\udce9.jpg")
    write_jsonl(tmp_path / "a.jsonl", [record])
    assert list(RecordStream([tmp_path / "a.jsonl"])) == [record]
    write_parquet(tmp_path / "a.parquet", [record])
    assert [one.image for one in RecordStream([tmp_path / "a.parquet"])] == ["caf\\udce9.jpg"]


def test_parquet_of_others(tmp_path: Path) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    rows = [{"image": "a.jpg", "captions": ["x"]}, {"image": None, "captions": None}]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    parquet.write_table(arrow.table({"url": ["x"]}), tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and no more")
    stream = RecordStream([tmp_path / f"{name}.parquet" for name in "abc"])
    assert list(stream) == [Record(image="a.jpg", captions=("x",))]
    assert stream.problems.counts == {"malformed": 2, "unreadable": 1}


def test_where_relative_paths_belong(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    write_jsonl(file, [Record(image=name) for name in ("a.jpg", "/b.jpg", "http://x.org/c")])
    images = [record.image for record in RecordStream([file], root=tmp_path)]
    assert images == [f"{tmp_path}/a.jpg", "/b.jpg", "http://x.org/c"]


def test_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such part: 2 of 2"):
        RecordStream([], part=2, num_parts=2)
    with pytest.raises(UsageError, match=r"records are read from \.jsonl"):
        RecordStream([tmp_path / "a.csv"])
    with pytest.raises(UsageError, match="no such part"):
        part_of(0, 1, 3, 3)
    assert {part_of(r, 3, w, 2)[0] for r in range(3) for w in range(2)} == set(range(6))


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"anytag\[parquet\]"):
        write_parquet(tmp_path / "a.parquet", [])
