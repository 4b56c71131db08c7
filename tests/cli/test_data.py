"""``anytag data``: reports, sheets, conversion, on small real data sets."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anytag.data.record_files import RecordStream


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures with captions, one of them damaged, and one caption too many."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, caption in enumerate(("a <b>red</b> square", "مربع أخضر", "broken")):
        Image.new("RGB", (90, 60 + number), ("red", "green", "blue")[number]).save(
            folder / f"{number}.png"
        )
        (folder / f"{number}.txt").write_text(caption)
    (folder / "2.png").write_bytes(b"no picture")
    (folder / "3.txt").write_text("alone")
    return folder


def rows(out: str) -> dict[str, str]:
    """The report's lines by name."""
    lines = out.partition("\n\n")[0].splitlines()
    return {line[:16].strip(): line[16:].strip() for line in lines}


def test_info(cli: Any, photos: Path) -> None:
    done = cli("data", "info", "photos")
    assert done.code == 0
    found = rows(done.out)
    assert found["kind"].startswith("folder (pictures with captions")
    assert (found["records"], found["images"]) == ("3", "3")
    assert found["captions"] == "3 (1.00 a record)"
    assert (found["missing files"], found["missing image"]) == ("0", "1")
    assert "missing_image: photos/3.txt: has no picture beside it" in done.err


def test_images_that_come_again(cli: Any, tmp_path: Path) -> None:
    row = json.dumps({"image": "a.jpg", "captions": ["x"]})
    (tmp_path / "a.jsonl").write_text(f"{row}\n{row}\n")
    found = rows(cli("data", "info", "a.jsonl").out)
    assert (found["records"], found["images"], found["missing files"]) == ("2", "1", "1")
    assert found["repeated"] == "1 records of images before"


def test_tags_are_counted(cli: Any, photos: Path) -> None:
    done = cli("data", "info", "photos", "--kind", "folder-tags")
    assert "most frequent tags, in records\n         1  a <b>red</b> square" in done.out


@pytest.mark.parametrize("name", ["sheet.html", "sheet.png"])
def test_sheets(cli: Any, photos: Path, tmp_path: Path, name: str) -> None:
    assert cli("data", "info", "photos", "-o", name).code == 0
    content = (tmp_path / name).read_bytes()
    if name.endswith(".png"):
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        assert picture.size == (3 * 264, 240 + 2 * 4 * 16 + 24)
        assert picture.getpixel((132, 132)) == (255, 0, 0)
        return
    page = content.decode()
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert "a &lt;b&gt;red&lt;/b&gt; square" in page
    assert "<b>" not in page
    assert "is not in a known image format" in page
    assert "http" not in page  # needs no other file


def test_a_sheet_of_a_shard(cli: Any, photos: Path, tmp_path: Path) -> None:
    assert cli("data", "convert", "photos", "-o", "shards").code == 0
    done = cli("data", "info", "shards", "-o", "a.html")
    assert rows(done.out)["kind"].startswith("webdataset")
    assert (tmp_path / "a.html").read_text().count("data:image/jpeg") == 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_convert(cli: Any, photos: Path, tmp_path: Path, name: str) -> None:
    done = cli("data", "convert", "photos", "-o", name, "--source", "mine", "--limit", "2")
    assert (done.code, done.out) == (0, "")
    assert f"2 records in {name}" in done.err
    records = list(RecordStream([tmp_path / name]))
    assert [(record.image, record.captions, record.source) for record in records] == [
        ("photos/0.png", ("a <b>red</b> square",), "mine"),
        ("photos/1.png", ("مربع أخضر",), "mine"),
    ]


def test_ram_needs_its_tag_list_for_names(cli: Any, tmp_path: Path) -> None:
    row = {"image_path": "a.jpg", "caption": ["x"], "union_label_id": [1]}
    (tmp_path / "ram.json").write_text(json.dumps([row]))
    (tmp_path / "tags.txt").write_text("cat\ndog")
    done = cli("data", "info", "ram.json")
    assert done.out.endswith("1  1\n")
    assert "give the tag list with --tags" in done.err
    done = cli("data", "info", "ram.json", "--tags", "tags.txt", "--images", "elsewhere")
    assert done.out.endswith("1  dog\n")
    assert "missing file: elsewhere/a.jpg" in done.err
    assert rows(cli("data", "info", "ram.json", "--no-check").out)["missing files"] == "0"


def test_exit_codes(cli: Any, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('[{"image_path": "a.jpg", "caption": ["x"]}, {"im')
    done = cli("data", "info", "cut.json")
    assert done.code == 1
    assert "truncated: cut.json, line 1: the file ends within a value" in done.err
    (tmp_path / "empty").mkdir()
    assert cli("data", "info", "empty").code == 2
    assert "neither pictures nor" in cli("data", "info", "empty").err
    assert cli("data", "info", "empty", "--kind", "folder").code == 1
    assert cli("data", "info", "none").code == 2
    assert cli("data", "info", "photos", "--kind", "cocoa").code == 2
    assert cli("data", "info", "photos", "-o", "a.pdf").code == 2
    assert cli("data", "convert", "photos", "-o", "a.csv").code == 2
    assert cli("data", "convert", "empty", "--kind", "folder", "-o", "a.jsonl").code == 1


def test_formats(cli: Any) -> None:
    lines = cli("data", "formats").out.splitlines()
    assert lines[0].split()[0] == "records"
    assert len(lines) == 17


def test_help_has_examples(cli: Any) -> None:
    for name in ("info", "convert"):
        assert f"anytag data {name} coco/annotations" in cli("data", name, "--help").out
