"""Examples by number: every format, changed data, stable splits, bounded memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anytag.data.images import load_image
from anytag.data.problems import Problems
from anytag.data.record_files import write_jsonl, write_parquet
from anytag.data.records import Record
from anytag.data.shards import write_shards
from anytag.errors import ImageError, UsageError
from anytag.training.config import SourceConfig
from anytag.training.examples import Examples, open_examples
from anytag.training.spool import image_hash


def jpeg(number: int, size: tuple[int, int] = (40, 30)) -> bytes:
    random = np.random.default_rng(number)
    image = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize(size)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def make_records(folder: Path, num: int) -> list[Record]:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    return [
        Record(
            image=str(folder / f"{number}.jpg"),
            captions=(f"caption {number}", "é 猫"),
            tags=(f"tag {number}",),
            parsed_tags=(("a",), ("b", "c")),
            source="mine",
        )
        for number in range(num)
    ]


def open_one(path: Path, cache: Path, **options: object) -> Examples:
    return open_examples([SourceConfig(path=str(path), **options)], cache)  # type: ignore[arg-type]


def texts(record: Record) -> tuple[object, ...]:
    return record.captions, record.tags, record.parsed_tags, record.source


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "folder of files", "shards", "one shard"])
def test_every_file_gives_the_same_examples(tmp_path: Path, kind: str) -> None:
    records = make_records(tmp_path / "photos", 7)
    path = tmp_path / "data"
    if kind == "jsonl":
        write_jsonl(path := tmp_path / "data.jsonl", records)
    elif kind == "parquet":
        write_parquet(path := tmp_path / "data.parquet", records)
    elif kind == "folder of files":
        path.mkdir()
        write_jsonl(path / "0.jsonl", records[:3])
        write_parquet(path / "1.parquet", records[3:])
    else:
        write_shards(path, records, Problems(), samples_per_shard=3 if kind == "shards" else 99)
        path = path if kind == "shards" else path / "00000.tar"
    examples = open_one(path, tmp_path / "cache")
    assert len(examples) == 7
    for number in (6, 0, 3, 3, 5):
        example = examples[number]
        assert texts(example.record) == texts(records[number])
        expected = load_image(jpeg(number), size=16).pixels
        np.testing.assert_array_equal(example.pixels(16), expected)
    for number in (7, -1):
        with pytest.raises(IndexError):
            examples[number]


def test_several_sources_one_after_the_other(tmp_path: Path) -> None:
    records = make_records(tmp_path / "photos", 5)
    write_jsonl(tmp_path / "a.jsonl", records[:2])
    (tmp_path / "classes" / "red_panda").mkdir(parents=True)
    (tmp_path / "classes" / "red_panda" / "x.jpg").write_bytes(jpeg(9))
    (tmp_path / "b.csv").write_text("image,tags\nphotos/4.jpg,cat\n")
    sources = [
        SourceConfig(path=str(tmp_path / "a.jsonl")),
        SourceConfig(path=str(tmp_path / "classes"), exhaustive=False),
        SourceConfig(path=str(tmp_path / "b.csv"), kind="table"),
    ]
    examples = open_examples(sources, tmp_path / "cache")
    found = [(one.source, one.record.tags) for one in (examples[n] for n in range(4))]
    assert found == [(0, ("tag 0",)), (0, ("tag 1",)), (1, ("red panda",)), (2, ("cat",))]
    assert [one.exhaustive for one in examples.spools] == [True, False, True]
    copy = pickle.loads(pickle.dumps(examples.split(2)[0]))  # as a worker process gets it
    assert [copy[n].record for n in range(len(copy))] == [
        examples.split(2)[0][n].record for n in range(len(copy))
    ]
    assert len(pickle.dumps(examples)) < 5000


def test_data_are_read_once_and_again_when_they_change(tmp_path: Path) -> None:
    records = make_records(tmp_path / "photos", 3)
    path, cache = tmp_path / "a.jsonl", tmp_path / "cache"
    write_jsonl(path, records)
    first = open_one(path, cache)
    before = first.spools[0].records_file.stat().st_mtime_ns
    again = open_one(path, cache)
    assert again.spools == first.spools
    assert again.spools[0].records_file.stat().st_mtime_ns == before
    write_jsonl(path, records[:2])
    os.utime(path, ns=(1, 1))
    assert len(open_one(path, cache)) == 2
    assert len(first) == 3  # who has opened the old one keeps it
    assert first[2].record.tags == ("tag 2",)
    # what was not finished is made anew
    for file in cache.glob("*.json"):
        file.unlink()
    assert len(open_one(path, cache)) == 2
    (tmp_path / "photos" / "new.jpg").write_bytes(jpeg(1))
    for num in (4, 5):
        assert (
            len(open_one(tmp_path / "photos", tmp_path / "photos" / "cache", kind="folder")) == num
        )
        (tmp_path / "photos" / "newer.jpg").write_bytes(jpeg(1))


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_records(tmp_path / "set" / "photos", 1)
    row = {"image": "photos/0.jpg"}
    (tmp_path / "set" / "a.jsonl").write_text(json.dumps(row))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder, path in ((elsewhere, "../set/a.jsonl"), (tmp_path / "set", "a.jsonl")):
        monkeypatch.chdir(folder)
        examples = open_one(Path(path), tmp_path / "cache")
        monkeypatch.chdir(elsewhere)
        assert examples[0].pixels(8).shape == (8, 8, 3)
    (tmp_path / "set" / "photos").rename(tmp_path / "moved")
    (tmp_path / "set" / "a.jsonl").write_text(json.dumps({"image": "0.jpg"}))
    examples = open_one(tmp_path / "set" / "a.jsonl", tmp_path / "cache", images="../moved")
    assert examples[0].pixels(8).shape == (8, 8, 3)


def test_pictures_that_cannot_be_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"image": "https://x.org/a.jpg"}\n[]\n{"image": "/none/a.jpg"}\n')
    examples = open_one(path, tmp_path / "cache")
    assert len(examples) == 1
    assert examples.spools[0].problem_counts == {"missing_image": 1, "malformed": 1}
    with pytest.raises(ImageError, match="does not exist"):
        examples[0].pixels(8)
    path.write_text('{"image": "https://x.org/a.jpg"}\n')
    with pytest.raises(UsageError, match=r"gives no picture .* is a URL; download"):
        open_one(path, tmp_path / "cache")


def test_shards_that_are_damaged(tmp_path: Path) -> None:
    records = make_records(tmp_path / "photos", 4)
    write_shards(tmp_path / "web", records, Problems())
    shard = tmp_path / "web" / "00000.tar"
    examples = open_one(shard, tmp_path / "cache")
    with tarfile.open(shard) as tar:
        place = next(m.offset_data for m in tar if m.name.endswith("2.jpg"))
    with shard.open("r+b") as file:
        file.truncate(place + 10)
    assert examples[1].pixels(8).shape == (8, 8, 3)
    with pytest.raises(ImageError, match="the shard ends within it") as raised:
        examples[2]
    assert raised.value.kind == "truncated"
    shard.unlink()
    other = pickle.loads(pickle.dumps(examples))
    with pytest.raises(ImageError, match=r"2\.jpg cannot be read"):
        other[2]


def test_one_in_n_is_for_validation_whatever_is_added(tmp_path: Path) -> None:
    def sides(num: int, folder: str) -> tuple[set[str], set[str]]:
        path = tmp_path / f"{num}.jsonl"
        write_jsonl(path, (Record(image=f"/{folder}/x/{n}.jpg") for n in range(num)))
        train, val = open_one(path, tmp_path / "cache").split(5)
        names = [
            {Path(part.record(n)[1].image).name for n in range(len(part))} for part in (train, val)
        ]
        assert len(names[0]) + len(names[1]) == num == len(train) + len(val)
        return names[0], names[1]

    train, val = sides(1000, "here")
    more_train, more_val = sides(1500, "there")
    assert 150 < len(val) < 250
    assert train < more_train
    assert val < more_val


def test_hash_is_of_the_name_and_its_folder() -> None:
    assert image_hash("/a/b/1.jpg") == image_hash("/c/b/1.jpg") != image_hash("/a/c/1.jpg")


@pytest.mark.parametrize("is_sharded", [False, True])
def test_orders(tmp_path: Path, is_sharded: bool) -> None:
    path = tmp_path / "a.jsonl"
    write_jsonl(path, (Record(image=f"/x/{n}.jpg") for n in range(20_000)))
    examples = open_one(path, tmp_path / "cache")
    if is_sharded:
        about = next((tmp_path / "cache").glob("*.json"))
        about.write_text(about.read_text().replace("false", "true"))
        examples = open_one(path, tmp_path / "cache")
    order = examples.order(seed=0, epoch=0)
    assert (order.num, order.block) == (20_000, 256 if is_sharded else 1)


def memory(folder: Path, num: int) -> list[int]:
    """Peak while the data are read first, bytes held by an index, and peak while it is used."""
    path = folder / f"{num}.jsonl"
    captions = ("a caption of some length about a picture",) * 3
    write_jsonl(path, (Record(image=f"/x/{n}.jpg", captions=captions) for n in range(num)))
    tracemalloc.start()
    try:
        train, _ = open_one(path, folder / "cache").split(20)
        spooling = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        order = train.order(seed=0, epoch=0)
        for place in range(0, len(train), 1000):
            train[int(order.at(np.array([place]))[0])]
        held, peak = (value - before for value in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    return [spooling, held, peak]


@pytest.mark.slow
def test_memory_is_some_bytes_a_record(tmp_path: Path) -> None:
    few, many = memory(tmp_path, 20_000), memory(tmp_path, 200_000)
    spooling, held, peak = ((b - a) / 180_000 for a, b in zip(few, many, strict=True))
    assert spooling < 40  # a record has 230 bytes in the file
    assert held < 5
    assert peak < 20
