"""The vocabulary of one's own captions: everything can be written, always the same file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytag.errors import UsageError
from anytag.inference.wordpiece import WordPiece
from anytag.training.wordpieces import SPECIAL, choose_pieces, learn_wordpieces

CAPTIONS = ["A dog runs on the beach.", "two dogs on a beach", "a striped beach towel"] * 3


def test_a_caption_comes_back(tmp_path: Path) -> None:
    learn_wordpieces(CAPTIONS, tmp_path / "vocab.txt")
    words = WordPiece.load(tmp_path / "vocab.txt")
    ids = words.encode("a picture of two striped dogs on a towel")
    assert words.decode(ids) == "a picture of two striped dogs on a towel"
    assert words._ids["[UNK]"] not in ids


def test_frequent_words_are_whole(tmp_path: Path) -> None:
    learn_wordpieces(CAPTIONS, tmp_path / "vocab.txt")
    assert {"beach", "dog", "dogs", "picture", "|"} <= set(
        (tmp_path / "vocab.txt").read_text().split("\n")
    )


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=12), st.integers(1, 50), min_size=1))
def test_every_word_can_be_written(words: dict[str, int]) -> None:
    pieces = choose_pieces(Counter(words), 120)
    assert len(pieces) == len(set(pieces)) <= 120
    vocabulary = WordPiece(tuple(pieces))
    for word in words:
        ids = vocabulary.encode(word)
        assert vocabulary.decode(ids) == word
    assert pieces == choose_pieces(Counter(dict(reversed(words.items()))), 120)
    assert pieces[: len(SPECIAL)] == list(SPECIAL)


def test_no_captions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no captions"):
        learn_wordpieces(["", "  "], tmp_path / "vocab.txt")
