"""API keys: where they come from, and how they are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from anytag.errors import UsageError
from anytag.serve.security import digest, find_key, given_keys, read_keys

KEY, OTHER = "a-key-that-is-long-enough", "another-key-that-is-long"


def test_keys_of_a_file_and_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(f"# ours\n\n  {KEY}  \n")
    monkeypatch.setenv("ANYTAG_API_KEYS", f" {OTHER} ,")
    assert set(read_keys(file)) == {digest(KEY), digest(OTHER)}
    assert read_keys(None) == [digest(OTHER)]
    monkeypatch.delenv("ANYTAG_API_KEYS")
    assert read_keys(None) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [("# nothing\n", "has no key"), ("short\n", "1 of 1"), (b"\xff\xfe", "cannot be read")],
)
def test_files_that_are_no_keys(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = tmp_path / "keys.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=message):
        read_keys(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_keys(tmp_path / "keys.txt")


def test_the_short_name_of_a_key_tells_clients_apart_and_not_the_key() -> None:
    digests = [digest(KEY), digest(OTHER)]
    names = [find_key(digests, [key]) for key in (KEY, OTHER)]
    assert len(set(names)) == 2
    assert all(name and name not in key for name, key in zip(names, (KEY, OTHER), strict=True))
    assert find_key(digests, ["", KEY[:-1], KEY + "x"]) is None
    assert find_key(digests, ["wrong", OTHER]) == names[1]


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({"authorization": "bearer  abc"}, None, ["abc"]),
        ({"authorization": "Basic abc"}, None, []),
        ({"x-api-key": "abc"}, "def", ["abc", "def"]),
        ({"x-goog-api-key": "abc"}, None, ["abc"]),
        ({}, None, []),
    ],
)
def test_where_a_request_has_its_key(
    headers: dict[str, str], query: str | None, expected: list[str]
) -> None:
    assert given_keys(headers, query) == expected
