"""Webdataset shards: those that img2dataset writes, ours, and damaged ones."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from anytag.data import shards
from anytag.data.problems import Problems
from anytag.data.record_files import RecordStream
from anytag.data.records import Record, image_bytes
from anytag.data.shards import read_samples, write_shards


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def img2dataset_shard(path: Path, num: int, *, form: int = tarfile.PAX_FORMAT) -> None:
    """A shard with the members and the metadata that img2dataset writes."""
    with tarfile.open(path, "w", format=form) as tar:
        for number in range(num):
            key = f"00012{number:04}"
            url = f"https://example.org/{number}.jpg"
            meta = {
                "url": url, "caption": f"caption {number}", "key": key, "status": "success",
                "error_message": None, "width": 256, "height": 192, "original_width": 640,
                "original_height": 480, "exif": "{}", "sha256": "0" * 64,
            }  # fmt: skip
            add(tar, f"{key}.jpg", b"\xff\xd8\xff" + b"%d" % number * 1000)
            add(tar, f"{key}.json", json.dumps(meta, indent=4).encode())
            add(tar, f"{key}.txt", f"caption {number}".encode())


def test_a_shard_of_img2dataset(tmp_path: Path) -> None:
    folder = tmp_path / "cc3m"
    folder.mkdir()
    img2dataset_shard(folder / "00012.tar", 3)
    stream = RecordStream([folder / "00012.tar"])
    records = list(stream)
    assert [record.captions for record in records] == [(f"caption {n}",) for n in range(3)]
    assert records[1].image == f"{folder}/00012.tar/000120001.jpg"
    assert records[1].source == "cc3m"
    assert records[1].content == image_bytes(Record(image=records[1].image))
    assert not stream.problems.counts
    bare = list(RecordStream([folder / "00012.tar"], with_images=False))
    assert bare == records
    assert bare[0].content is None


def test_samples_of_other_writers(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        folder = tarfile.TarInfo("./x")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        add(tar, "./x/1.txt", "café".encode("latin-1"))
        add(tar, "./x/1.JPG", b"one")
        add(tar, "./x/1.seg.png", b"mask")
        add(tar, "./y/1.png", b"two")
        add(tar, "lone.txt", b"no picture")
        add(tar, "bad.jpg", b"three")
        add(tar, "bad.json", b"[1]")
        add(tar, "worse.jpg", b"four")
        add(tar, "worse.json", b'{"captions": "text"}')
    stream = RecordStream([tmp_path / "a.tar"])
    assert [(record.captions, record.content) for record in stream] == [
        (("café",), b"one"),
        ((), b"two"),
    ]
    assert stream.problems.counts == {"missing_image": 1, "malformed": 2}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names(tmp_path: Path, form: int) -> None:
    key = "folder/" * 30 + "naïve"
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        add(tar, f"{key}.jpg", b"one")
        add(tar, f"{key}.txt", b"caption")
        add(tar, "2.jpg", b"two")
    problems = Problems()
    samples = list(read_samples(tmp_path / "a.tar", problems))
    assert [sample.key for sample in samples] == [key, "2"]
    again = list(read_samples(tmp_path / "a.tar", problems, offset=samples[1].offset))
    assert [sample.key for sample in again] == ["2"]
    assert not problems.counts


@pytest.mark.parametrize("with_images", [True, False])
def test_a_shard_that_is_cut_off(tmp_path: Path, with_images: bool) -> None:
    img2dataset_shard(tmp_path / "a.tar", 3)
    whole = (tmp_path / "a.tar").read_bytes()
    for size in (300, 700, 1700, 5000, 7000, 9000):
        (tmp_path / "b.tar").write_bytes(whole[:size])
        problems = Problems()
        samples = list(read_samples(tmp_path / "b.tar", problems, with_images=with_images))
        assert len(samples) == (size > 3584) + (size > 7168)  # a sample has 7 blocks
        assert all(len(sample.files) == 2 + with_images for sample in samples)
        assert problems.counts == {"truncated": 1}, size


def test_a_file_that_is_no_shard(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"hello " * 500)
    (tmp_path / "b.tar").write_bytes(b"")
    (tmp_path / "c.tar").write_bytes(b"\0" * 10240)
    stream = RecordStream([tmp_path / f"{name}.tar" for name in "abcd"])
    assert not list(stream)
    assert stream.problems.counts == {"malformed": 1, "truncated": 1, "unreadable": 1}


def test_large_members_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_MAX_TEXT", 10)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "1.jpg", b"one")
        add(tar, "1.txt", b"x" * 11)
    (sample,) = read_samples(tmp_path / "a.tar", Problems())
    assert sample.files == {"jpg": b"one"}


def test_writing(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(b"one")
    records = [
        Record(image=str(tmp_path / "a.webp"), captions=("قطة",), tags=("cat",)),
        Record(image=str(tmp_path / "none.jpg")),
        Record(image="https://example.org/a", content=b"two"),
    ]
    problems = Problems()
    assert write_shards(tmp_path / "new", records, problems, samples_per_shard=1) == 2
    assert problems.counts == {"missing_image": 1}
    files = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in files] == ["00000.tar", "00001.tar"]
    with tarfile.open(files[0]) as tar:
        assert tar.getnames() == ["000000000.webp", "000000000.json"]
    back = list(RecordStream(files))
    assert [record.content for record in back] == [b"one", b"two"]
    assert back[0].captions == ("قطة",)
    before = files[0].read_bytes()
    write_shards(tmp_path / "new", records, Problems(), samples_per_shard=1)
    assert files[0].read_bytes() == before
    assert write_shards(tmp_path / "empty", [], problems) == 0
