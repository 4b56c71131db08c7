"""Folders of pictures with texts beside them, and folders of classes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from anytag.data.problems import Problems
from anytag.data.records import Record
from anytag.data.sources.folders import read_classes, read_folder


def write(folder: Path, **files: bytes | str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def test_captions_beside_pictures(tmp_path: Path) -> None:
    root = write(
        tmp_path / "mine",
        a__jpg=b"", a__txt="a cat\r\n\r\na cat\nخبز طازج\n", b__png=b"", b__caption="a dog",
        c__JPG=b"", d__webp=b"", d__webp__txt="full name", e__jpg=b"", e__txt=b"caf\xe9",
        f__jpg=b"", f__txt="utf16".encode("utf-16"), g__txt="alone", notes__md="x",
    )  # fmt: skip
    write(root / "sub", h__jpg=b"", h__txt="deep", i__txt="no picture here")
    write(root / ".hidden", j__jpg=b"")
    write(root / "texts", README__txt="no pictures in this folder")
    problems = Problems()
    records = list(read_folder(root, problems))
    assert [(record.image[len(str(root)) + 1 :], record.captions) for record in records] == [
        ("a.jpg", ("a cat", "خبز طازج")),
        ("b.png", ("a dog",)),
        ("c.JPG", ()),
        ("d.webp", ("full name",)),
        ("e.jpg", ("café",)),
        ("f.jpg", ("utf16",)),
        ("sub/h.jpg", ("deep",)),
    ]
    assert {record.source for record in records} == {"mine"}
    assert problems.counts == {"encoding": 1, "missing_image": 2}


def test_tags_beside_pictures(tmp_path: Path) -> None:
    write(tmp_path, a__jpg=b"", a__txt="cat, red panda,\nindoor, cat, ")
    (record,) = read_folder(tmp_path, Problems(), tags=True, source="mine")
    assert (record.captions, record.tags, record.source) == (
        (),
        ("cat", "red panda", "indoor"),
        "mine",
    )


def test_json_beside_pictures(tmp_path: Path) -> None:
    meta = {"url": "http://x.org/a.jpg", "caption": "a cat", "status": "success", "key": "0"}
    write(
        tmp_path,
        a__jpg=b"", a__json=json.dumps(meta),
        b__jpg=b"", b__json='{"captions": ["x"], "tags": ["y"]}',
        c__jpg=b"", c__json="[", d__jpg=b"", d__json="[1]",
    )  # fmt: skip
    problems = Problems()
    records = list(read_folder(tmp_path, problems))
    assert [(record.captions, record.tags) for record in records] == [
        (("a cat",), ()),
        (("x",), ("y",)),
        ((), ()),
        ((), ()),
    ]
    assert problems.counts == {"malformed": 2}


def test_classes(tmp_path: Path) -> None:
    write(tmp_path, top__jpg=b"")
    write(tmp_path / "red_panda", a__jpg=b"", notes__txt="x")
    write(tmp_path / "dog" / "puppies", b__png=b"")
    problems = Problems()
    assert list(read_classes(tmp_path, problems, source="mine")) == [
        Record(image=f"{tmp_path}/dog/puppies/b.png", tags=("dog",), source="mine"),
        Record(image=f"{tmp_path}/red_panda/a.jpg", tags=("red panda",), source="mine"),
    ]
    assert problems.counts == {"malformed": 1}


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "open", a__jpg=b"")
    write(tmp_path / "shut", b__jpg=b"")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    problems = Problems()
    assert len(list(read_folder(tmp_path, problems))) == 1
    assert problems.counts == {"unreadable": 1}
