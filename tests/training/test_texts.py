"""Captions and tag texts as ids."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.inference.wordpiece import WordPiece
from anytag.training.texts import TextMaker, clean_caption

PIECES = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", "cat", "dog", "|", "##s",
    "on", "mat",
)  # fmt: skip
MAKER = TextMaker(WordPiece(PIECES), max_tokens=10)

#: what the public code's `pre_caption` gives
CASES = [
    ("A man, riding a (small) horse!", 30, "a man, riding a small horse"),
    ("A man, riding a (small) horse!", 5, "a man, riding a small"),
    ("Hello... world; this: is *a* test~", 30, "hello world this is a test"),
    ("Hello... world; this: is *a* test~", 5, "hello world this is a"),
    ("  two   spaces\n", 30, "two spaces"),
    (" ".join(f"w{n}" for n in range(40)), 30, " ".join(f"w{n}" for n in range(30))),
    ('It\'s "quoted" #tag', 30, "it's quoted tag"),
    ("", 30, ""),
    ("!!!", 5, ""),
]


def test_captions_are_cleaned_as_in_the_public_code() -> None:
    for text, max_words, expected in CASES:
        assert clean_caption(text, max_words) == expected


@settings(deadline=None)
@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    once = clean_caption(text)
    assert clean_caption(once) == once
    assert len(once.split(" ")) <= 30


def test_ids_and_masks() -> None:
    texts = MAKER.make(["a cat on a mat", "", "dogs"], [["cat", "mat"], [], ["dog"] * 9])
    dec, enc = 14, 15
    assert texts.caption_ids.tolist() == [
        [dec, 5, 6, 7, 5, 8, 12, 5, 13, 3],
        [dec, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [dec, 5, 6, 7, 9, 11, 3, 0, 0, 0],
    ]
    assert texts.caption_mask.sum(1).tolist() == [10, 0, 7]
    assert texts.tag_ids.tolist() == [
        [enc, 8, 10, 13, 3, 0, 0, 0, 0, 0],
        [enc, 3, 0, 0, 0, 0, 0, 0, 0, 0],
        [enc, 9, 10, 9, 10, 9, 10, 9, 10, 3],
    ]
    assert texts.tag_mask.sum(1).tolist() == [5, 2, 10]
    assert {one.dtype for one in (texts.caption_ids, texts.tag_ids)} == {torch.int64}
    assert {one.dtype for one in (texts.caption_mask, texts.tag_mask)} == {torch.bool}


def test_nothing_is_captioned() -> None:
    texts = MAKER.make(["", ""], [[], []])
    assert texts.caption_ids.shape == (2, 1)
    assert not texts.caption_mask.any()
