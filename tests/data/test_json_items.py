"""JSON in pieces: equal to json.loads on whole files, and the whole items of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.data import json_items as module
from anytag.data.json_items import json_items
from anytag.data.problems import Problems

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def read(file: Path, content: bytes) -> tuple[list[tuple[str, int | None, Any]], Problems]:
    file.write_bytes(content)
    problems = Problems()
    items = [(item.key, item.index, item.value) for item in json_items(file, problems)]
    return items, problems


@settings(max_examples=80, deadline=None)
@given(values=st.lists(_VALUES), indent=st.sampled_from([None, 1]), chunk=st.integers(1, 9))
def test_the_same_as_json(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], indent: int | None, chunk: int
) -> None:
    file = tmp_path_factory.mktemp("json") / "a.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        items, problems = read(file, json.dumps(values, indent=indent).encode())
    assert items == [("", index, value) for index, value in enumerate(values)]
    assert not problems.counts


def test_an_object_of_arrays(tmp_path: Path) -> None:
    text = b'{"info": {"a": [1]},\n "images": [{"id": 1},\n {"id": 2}], "none": [], "last": 12}'
    items, problems = read(tmp_path / "a.json", text)
    assert items == [
        ("info", None, {"a": [1]}),
        ("images", 0, {"id": 1}),
        ("images", 1, {"id": 2}),
        ("last", None, 12),
    ]
    assert not problems.counts
    lines = [item.line for item in json_items(tmp_path / "a.json", problems)]
    assert lines == [1, 2, 3, 3]


@pytest.mark.parametrize("end", range(1, 60))
def test_a_file_that_is_cut_off_gives_its_whole_items(tmp_path: Path, end: int) -> None:
    whole = b'[{"a": "x\\u00e9", "b": [1, true]}, {"a": "y", "b": []}, {"a": 3}]'
    items, problems = read(tmp_path / "a.json", whole[:end])
    complete = [value for _, _, value in items]
    assert complete == json.loads(whole)[: len(complete)]
    assert problems.counts == {"truncated": 1}


def test_a_broken_item_is_left_out(tmp_path: Path) -> None:
    text = b'[{"id": 1},\n {"id": 2, "in": [{"x": 1}, {"x": nope}, {"x": 3}]},\n {"id": 3}]'
    items, problems = read(tmp_path / "a.json", text)
    assert [value for _, _, value in items] == [{"id": 1}, {"id": 3}]
    assert [str(one) for one in problems.examples] == [
        f"{tmp_path}/a.json, line 2: item 1: Expecting value"
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"", "truncated"),
        (b"hello", "malformed"),
        (b"{1: 2}", "malformed"),
        (b'{"a" 1}', "malformed"),
        (b"[1 2]", "malformed"),
        (b'[{"id": 1}, {"id": oops}]', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b"\x00\x01\x02", "malformed"),
    ],
)
def test_no_json(tmp_path: Path, text: bytes, kind: str) -> None:
    _, problems = read(tmp_path / "a.json", text)
    assert set(problems.counts) == {kind}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    items, problems = read(tmp_path / "a.json", '["naïve"]'.encode(encoding))
    assert items == [("", 0, "naïve")]
    assert not problems.counts


def test_bytes_that_are_no_utf8_survive(tmp_path: Path) -> None:
    items, _ = read(tmp_path / "a.json", '["café"]'.encode("latin-1"))
    assert items == [("", 0, "caf\udce9")]


def test_memory_is_that_of_an_item(tmp_path: Path) -> None:
    import tracemalloc

    file = tmp_path / "a.json"
    with file.open("w") as out:
        out.write("[")
        out.write(",".join(json.dumps({"id": n, "text": "x" * 1000}) for n in range(12_000)))
        out.write("]")
    problems = Problems()
    tracemalloc.start()
    try:
        assert sum(1 for _ in json_items(file, problems)) == 12_000
        assert tracemalloc.get_traced_memory()[1] < 8_000_000  # of 12 MB
    finally:
        tracemalloc.stop()


def test_no_file(tmp_path: Path) -> None:
    problems = Problems()
    assert not list(json_items(tmp_path / "a.json", problems))
    assert problems.counts == {"unreadable": 1}
