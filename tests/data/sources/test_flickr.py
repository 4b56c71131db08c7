"""Flickr8k and Flickr30k: token files and Kaggle's CSV files."""

from __future__ import annotations

from pathlib import Path

import pytest

from anytag.data.problems import Problems
from anytag.data.sources.flickr import read_flickr

TOKENS = (
    "1000268201_693b08cb0e.jpg#0\tA child in a pink dress is climbing up a set of stairs .\n"
    "1000268201_693b08cb0e.jpg#1\tA girl going into a wooden building .\n"
    "1001773457_577c3a7d70.jpg#0\tA black dog # and a spotted dog are fighting\n"
)
CAPTIONS = (
    "image,caption\n"
    "1000268201_693b08cb0e.jpg,A child in a pink dress is climbing up a set of stairs .\n"
    '1000268201_693b08cb0e.jpg,"A girl , going into a ""wooden"" building ."\n'
    "1001773457_577c3a7d70.jpg,A black dog and a spotted dog are fighting\n"
)
RESULTS = (
    "image_name| comment_number| comment\n"
    "1000092795.jpg| 0| Two young guys with shaggy hair look at their hands .\n"
    "1000092795.jpg| 1| Two young , White males are outside near many bushes .\n"
    "2199200615.jpg| 4   A dog runs across the grass .\n"
)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "Flickr8k.token.txt",
            TOKENS,
            [
                ("1000268201_693b08cb0e.jpg", "A girl going into a wooden building ."),
                ("1001773457_577c3a7d70.jpg", "A black dog # and a spotted dog are fighting"),
            ],
        ),
        (
            "captions.txt",
            CAPTIONS,
            [
                ("1000268201_693b08cb0e.jpg", 'A girl , going into a "wooden" building .'),
                ("1001773457_577c3a7d70.jpg", "A black dog and a spotted dog are fighting"),
            ],
        ),
        (
            "results.csv",
            RESULTS,
            [
                ("1000092795.jpg", "Two young , White males are outside near many bushes ."),
                ("2199200615.jpg", "A dog runs across the grass ."),
            ],
        ),
    ],
)
def test_each_file(
    tmp_path: Path, name: str, content: str, expected: list[tuple[str, str]]
) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / "Images").mkdir()
    problems = Problems()
    records = list(read_flickr(tmp_path / name, problems))
    assert [(record.image, record.captions[-1]) for record in records] == [
        (f"{tmp_path}/Images/{image}", caption) for image, caption in expected
    ]
    assert [len(record.captions) for record in records] == [2, 1]
    assert not problems.counts
    assert list(read_flickr(tmp_path, problems)) == records


def test_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "results_20130124.token"
    file.write_bytes(
        TOKENS.encode()
        + b"no tab\n"
        + b"1000268201_693b08cb0e.jpg#1\tagain\n"
        + b"1000268201_693b08cb0e.jpg#2\tlater\n"
        + b"x.jpg#0\tcaf\xe9\n"
    )
    problems = Problems()
    records = list(read_flickr(file, problems))
    assert [record.captions for record in records][2:] == [("later",), ("café",)]
    found = sorted((one.line, one.kind) for one in problems.examples)
    assert [(kind, line) for line, kind in found] == [
        ("malformed", 4),
        ("duplicate", 5),
        ("duplicate", 6),
        ("encoding", 7),
    ]


def test_broken_csv(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text('image,caption\na.jpg,"open\na.jpg,b,c\na.jpg\nb.jpg,fine\n')
    problems = Problems()
    assert [record.captions for record in read_flickr(file, problems)] == [("fine",)]
    assert [one.line for one in problems.examples] == [2, 3, 4]
    results = tmp_path / "results.csv"
    results.write_text("image_name| comment_number| comment\na.jpg| x| y\n")
    assert not list(read_flickr(results, problems))
    assert problems.examples[-1].message == "'image.jpg| number| caption' expected"
