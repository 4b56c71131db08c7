"""CC3M, CC12M and SBU in the forms in which they are published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anytag.data.problems import Problems
from anytag.data.records import Record
from anytag.data.sources.conceptual import (
    SBU_CAPTIONS,
    SBU_URLS,
    read_cc3m,
    read_cc12m,
    read_sbu,
)

URL = "http://lh6.ggpht.com/-IvRtNLNcG8o/a.jpg"


def test_cc3m(tmp_path: Path) -> None:
    file = tmp_path / "Train_GCC-training.tsv"
    file.write_bytes(
        f"a very typical bus station\t{URL}\n"
        f'sierra looked stunning in this "top" , and\t{URL}?2\r\n'
        "\n"
        "no url here\n"
        "two\tthree\tfour\n"
        "columns\tswapped\n"
        f"\t{URL}?3\n".encode()
        + b"caf\xe9\thttps://example.org/4\n"
    )
    problems = Problems()
    assert list(read_cc3m(file, problems)) == [
        Record(image=URL, captions=("a very typical bus station",), source="cc3m"),
        Record(
            image=f"{URL}?2",
            captions=('sierra looked stunning in this "top" , and',),
            source="cc3m",
        ),
        Record(image=f"{URL}?3", source="cc3m"),
        Record(image="https://example.org/4", captions=("café",), source="cc3m"),
    ]
    assert [(one.kind, one.line) for one in problems.examples] == [
        ("malformed", 4),
        ("malformed", 5),
        ("malformed", 6),
        ("encoding", 8),
    ]


def test_cc3m_with_labels(tmp_path: Path) -> None:
    file = tmp_path / "Train_GCC-Labels-training.tsv"
    file.write_text(f"a bus\t{URL}\tbus,vehicle,bus\t/m/01bjv,/m/07yv9,/m/01bjv\t0.9,0.8,0.7\n")
    (record,) = read_cc3m(file, Problems())
    assert record.tags == ("bus", "vehicle")


@pytest.mark.parametrize("header", ["", "url\tcaption\n"])
def test_cc12m(tmp_path: Path, header: str) -> None:
    file = tmp_path / "cc12m.tsv"
    file.write_text(f"{header}{URL}\tMetal Design Within Reach <PERSON>\n")
    problems = Problems()
    expected = [Record(image=URL, captions=("Metal Design Within Reach <PERSON>",), source="cc12m")]
    assert list(read_cc12m(file, problems)) == expected
    assert list(read_cc12m(tmp_path, problems)) == expected
    assert not problems.counts


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    file = tmp_path / "cc12m.tsv"
    with file.open("w") as out:
        for number in range(15_000):
            out.write(f"{URL}?{number}\t{'word ' * 40}{number}\n")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_cc12m(file, Problems())) == 15_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # of 3.6 MB
    finally:
        tracemalloc.stop()


def test_sbu_texts(tmp_path: Path) -> None:
    (tmp_path / SBU_URLS).write_text("http://static.flickr.com/1/a.jpg\nnothing\nhttp://b.org/c\n")
    (tmp_path / SBU_CAPTIONS).write_text("Man sits in a rusted car.\nno picture\nthe last\nmore\n")
    problems = Problems()
    expected = [
        Record(
            image="http://static.flickr.com/1/a.jpg",
            captions=("Man sits in a rusted car.",),
            source="sbu",
        ),
        Record(image="http://b.org/c", captions=("the last",), source="sbu"),
    ]
    assert list(read_sbu(tmp_path, problems)) == expected
    assert [one.kind for one in problems.examples] == ["malformed", "truncated"]
    assert list(read_sbu(tmp_path / SBU_URLS, Problems())) == expected
    (tmp_path / SBU_URLS).unlink()
    assert not list(read_sbu(tmp_path, problems))
    assert problems.counts["unreadable"] == 1


def test_sbu_json(tmp_path: Path) -> None:
    content = {
        "image_urls": ["http://static.flickr.com/1/a.jpg", "http://b.org/b", "http://b.org/c"],
        "user_ids": ["47889917@N08", "x", "y"],
        "captions": ["Man sits in a rusted car.", None],
    }
    file = tmp_path / "sbu-captions-all.json"
    file.write_text(json.dumps(content))
    problems = Problems()
    records = list(read_sbu(file, problems))
    assert [record.captions for record in records] == [("Man sits in a rusted car.",), ()]
    assert problems.counts == {"malformed": 1, "truncated": 1}
