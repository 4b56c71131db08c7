"""Lines of files in any encoding."""

from __future__ import annotations

from pathlib import Path

import pytest

from anytag.data import text_files
from anytag.data.problems import Problems
from anytag.data.text_files import clean_text, decode_file, read_lines, split_csv


def test_encodings_are_told_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "mixed.tsv"
    file.write_bytes(
        b"\xef\xbb\xbfna\xc3\xafve\r\n" + "café €".encode("cp1252") + b"\n\x81odd\nein\xe2\x80\xa8e"
    )
    problems = Problems()
    lines = list(read_lines(file, problems))
    assert [line.text for line in lines] == ["naïve", "café €", "\x81odd", "ein\u2028e"]
    assert [(one.kind, one.line) for one in problems.examples] == [("encoding", 2), ("encoding", 3)]


def test_reading_goes_on_behind_a_line(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\ntwo\nthree\n")
    problems = Problems()
    second = list(read_lines(file, problems))[1]
    rest = list(read_lines(file, problems, offset=second.end, number=second.number))
    assert [(line.number, line.text) for line in rest] == [(3, "three")]


def test_a_line_without_end_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_LINE", 100)
    file = tmp_path / "a.txt"
    file.write_bytes(b"x" * 1000 + b"\nshort\n" + b"y" * 99 + b"\n")
    problems = Problems()
    assert [line.number for line in read_lines(file, problems)] == [2, 3]
    assert problems.counts == {"malformed": 1}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    problems = Problems()
    assert not list(read_lines(tmp_path / "none.txt", problems))
    (tmp_path / "utf16.txt").write_text("a cat\n", encoding="utf-16")
    assert not list(read_lines(tmp_path / "utf16.txt", problems))
    assert problems.counts == {"unreadable": 1, "encoding": 1}
    assert "convert" in problems.examples[1].message


def test_small_files_may_be_utf16() -> None:
    assert decode_file("a cat".encode("utf-16")) == ("a cat", True)
    assert decode_file(b"\xef\xbb\xbfa cat") == ("a cat", True)


@pytest.mark.parametrize(
    ("given", "expected", "num_encoding"),
    [
        ("  a cat\t", "a cat", 0),
        ("a\0cat", "acat", 0),
        ("caf\udce9", "café", 1),
        ("half \ud83d pair", "half \N{REPLACEMENT CHARACTER} pair", 1),
        ("\U0001f408 قط", "\U0001f408 قط", 0),
    ],
)
def test_clean_text(given: str, expected: str, num_encoding: int) -> None:
    problems = Problems()
    assert clean_text(given, "a", 1, problems) == expected
    assert problems.counts["encoding"] == num_encoding


@pytest.mark.parametrize(
    ("given", "expected"),
    [("a,b", ["a", "b"]), ('a,"b, ""c"""', ["a", 'b, "c"']), ('a,"b', ValueError)],
)
def test_split_csv(given: str, expected: object) -> None:
    if expected is ValueError:
        with pytest.raises(ValueError, match="no CSV row"):
            split_csv(given)
    else:
        assert split_csv(given) == expected
