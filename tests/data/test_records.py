"""One record: its JSON form, and its picture."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from anytag.data.records import Record, from_plain, image_bytes, is_missing, to_plain
from anytag.errors import ImageError

FULL = Record(
    image="a.jpg",
    captions=("a cat", "two قطط \U0001f408"),
    tags=("cat", "indoor"),
    parsed_tags=(("cat",), ()),
    source="coco",
)


@pytest.mark.parametrize("record", [FULL, Record(image="https://example.org/a.jpg")])
def test_there_and_back(record: Record) -> None:
    assert from_plain(to_plain(record)) == record


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], "a record is a JSON object, found list"),
        ({}, "'image' is missing"),
        ({"image": ""}, "'image' is empty"),
        ({"image": 3}, "'image' is 3"),
        ({"image": "a", "captions": "a cat"}, "'captions' must be a list of texts"),
        ({"image": "a", "tags": [3]}, "'tags' must hold texts, found 3"),
        ({"image": "a", "source": 3}, "'source' must be a text"),
        ({"image": "a", "parsed_tags": 1}, "'parsed_tags' must be a list"),
        ({"image": "a", "captions": ["x", "y"], "parsed_tags": [[]]}, "1 lists for 2 captions"),
        ({"image": "a", "captions": ["x", "y"], "parsed_tags": ["z"]}, "'parsed_tags' must be a"),
    ],
)
def test_no_record(row: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^.*" + message.replace("[", "\\[")):
        from_plain(row)


def test_what_may_be_left_out() -> None:
    assert from_plain({"image": "a", "tags": None, "new": 1}) == Record(image="a")
    row = {"image": "a", "captions": ["a cat"], "parsed_tags": ["cat"]}
    assert from_plain(row).parsed_tags == (("cat",),)


def test_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        member = tarfile.TarInfo("./x/b.jpg")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"other"))
    here = Record(image=str(tmp_path / "a.jpg"))
    inside = Record(image=f"{tmp_path}/0.tar/x/b.jpg")
    assert image_bytes(here) == b"picture"
    assert image_bytes(inside) == b"other"
    assert image_bytes(Record(image="nowhere", content=b"with it")) == b"with it"
    assert not is_missing(here)
    assert not is_missing(inside)


@pytest.mark.parametrize("image", ["none.jpg", "a\0b.jpg", "0.tar/none.jpg", "x" * 5000])
def test_pictures_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with tarfile.open("0.tar", "w"):
        pass
    with pytest.raises(ImageError, match="cannot be read"):
        image_bytes(Record(image=image))
    assert is_missing(Record(image=image)) is not image.startswith("0.tar")


def test_urls_are_not_fetched() -> None:
    record = Record(image="https://example.org/a.jpg")
    assert not is_missing(record)
    with pytest.raises(ImageError, match="was not downloaded"):
        image_bytes(record)
