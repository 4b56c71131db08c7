"""The file of descriptions: the released form, the plain form, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anytag.errors import LabelError
from anytag.inference.descriptions import (
    PROMPTS,
    plain_text,
    read_descriptions,
    write_descriptions,
)


def test_prompts() -> None:
    assert len(set(PROMPTS)) == 5
    assert all(prompt.count("{tag}") == 1 for prompt in PROMPTS)
    assert plain_text("Aircraft engine") == "a photo of a aircraft engine."


def test_written_in_the_released_form(tmp_path: Path) -> None:
    described = {"Hund ü": ['ein "Text"', "noch einer"], "a": ["x"]}
    path = tmp_path / "d.json"
    write_descriptions(path, described)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content == [{"Hund ü": ['ein "Text"', "noch einer"]}, {"a": ["x"]}]
    assert read_descriptions(path) == described
    assert list(read_descriptions(path)) == list(described)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": ["x", "y"], "b": ["z"]}', {"a": ["x", "y"], "b": ["z"]}),
        ('[{"b": ["z"]}, {"a": ["x"]}]', {"b": ["z"], "a": ["x"]}),
        ('\ufeff[{"b": ["z"]}]', {"b": ["z"]}),
        ("[]", {}),
        ("{}", {}),
        ("[nope", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("3", "expected"),
        ('["a"]', "entry 0: expected"),
        ('[{"a": ["x"], "b": ["y"]}]', "entry 0: expected .* with one tag"),
        ("[{}]", "with one tag"),
        ('[{"a": "x"}]', "tag 'a' needs a list"),
        ('[{"a": []}]', "tag 'a' needs a list"),
        ('[{"a": ["x", " "]}]', "description 1 of tag 'a' is empty"),
        ('[{"a": ["x", 3]}]', "description 1 of tag 'a' is empty or no text"),
        ('[{" ": ["x"]}]', "empty name"),
        ('[{"a": ["x"]}, {"a": ["y"]}]', "entry 1: tag 'a' occurs twice"),
        ('[{"red_fox": ["x"]}, {"Red fox": ["y"]}]', "occurs twice .as 'red_fox'"),
        ('{"a": ["x"], "a": ["y"]}', "occurs twice"),
    ],
)
def test_read(tmp_path: Path, text: str, expected: dict[str, list[str]] | str) -> None:
    path = tmp_path / "d.json"
    path.write_text(text, encoding="utf-8")
    if isinstance(expected, dict):
        assert read_descriptions(path) == expected
    else:
        with pytest.raises(LabelError, match=expected):
            read_descriptions(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="cannot be read"):
        read_descriptions(tmp_path / "none.json")
    (tmp_path / "d.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelError, match="not UTF-8"):
        read_descriptions(tmp_path / "d.json")
