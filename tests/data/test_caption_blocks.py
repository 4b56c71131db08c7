"""Blocks of captions: whatever the bytes and wherever blocks end, the captions are the same."""

from __future__ import annotations

import io
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.data import caption_blocks, caption_rows
from anytag.data.caption_blocks import captions_of, line_blocks, pass_over, row_blocks
from anytag.data.caption_rows import Caption, decode

PARTS = [b"\n", b"\r\n", b"a dog", b"\xff", b"caf\xe9", "зима 😀 שלום".encode(), b"\0"]
PARTS += [b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"x" * 30, b"\x0b", b"{", b'{"caption": "a"}']
LINES = st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=4)), max_size=40).map(
    b"".join
)


def plain_text(data: bytes) -> list[Caption]:
    """The captions of a text file, read in the plainest way."""
    found = []
    for row, line in enumerate(data.split(b"\n"), start=1):
        text, recoded = decode(line)
        if len(line) >= caption_rows.MAX_BYTES:
            error = ("too_long", f"the line is longer than {caption_rows.MAX_BYTES} bytes")
            found.append(Caption(source="a", row=row, error=error))
        elif text.strip("\r\n\0"):
            found.append(Caption(source="a", row=row, text=text.strip("\r\n\0"), recoded=recoded))
    return found


@settings(max_examples=300, deadline=None)
@given(
    LINES.filter(lambda data: data[:2] not in (b"\xff\xfe", b"\xfe\xff")),
    st.integers(1, 50),
    st.integers(1, 50),
    st.sampled_from([20, 1 << 24]),
    st.integers(0, 12),
)
def test_text_in_blocks_is_the_text(
    data: bytes, chunk: int, block: int, limit: int, n: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caption_blocks, "_CHUNK", max(chunk, 2))
        patch.setattr(caption_blocks, "BLOCK_BYTES", block)
        patch.setattr(caption_rows, "MAX_BYTES", limit)
        blocks = list(line_blocks(io.BytesIO(data), "a", "text"))
        assert all(len(one.data) <= block + max(chunk, 2) + limit for one in blocks)
        expected = plain_text(data)
        blocks = pickle.loads(pickle.dumps(blocks))
        assert [caption for one in blocks for caption in captions_of(one)] == expected
        later = [caption for one in pass_over(blocks, n) for caption in captions_of(one)]
        assert later == expected[n:]


@settings(max_examples=100, deadline=None)
@given(LINES, st.integers(2, 50))
def test_broken_json_is_counted_row_by_row(data: bytes, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caption_blocks, "_CHUNK", chunk)
        patch.setattr(caption_blocks, "BLOCK_BYTES", chunk)
        captions = [
            one
            for block in line_blocks(io.BytesIO(data), "a", "json")
            for one in captions_of(block)
        ]
    rows = [caption.row for caption in captions]
    assert rows == sorted(rows)
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        filled = [bool(decode(line)[0].strip()) for line in data.split(b"\n")]
        assert sorted({*rows}) == [row for row, is_filled in enumerate(filled, 1) if is_filled]


def test_rows_come_in_bounded_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_blocks, "BLOCK_ROWS", 3)
    captions = [
        Caption(source="a", row=row, text="x", image="é", error=("bad_row", "why"))
        for row in range(8)
    ]
    blocks = pickle.loads(pickle.dumps(list(row_blocks(captions))))
    assert [len(block.rows) for block in blocks] == [3, 3, 2]
    read = [caption for block in blocks for caption in captions_of(block)]
    assert read == captions
    assert all(isinstance(caption, Caption) for caption in read)
