"""WordPiece: rules of BERT's uncased tokenizer, case by case.

`WordPiece.encode` was compared once with the ``tokenizers`` package on all 40,460 captions of
Flickr8k and 17 hard strings: no difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from anytag.errors import ModelError
from anytag.inference.wordpiece import WordPiece, split_words

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*MARKS, "dog", "##s", "play", "##ing", "##ed", "un", "##play", "|", ",", ".", "'", "s"]


@pytest.fixture
def wordpiece() -> WordPiece:
    return WordPiece(tuple(PIECES))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" Two  Dogs\tplay\n", ["two", "dogs", "play"]),
        ("Café ÅNGSTRÖM naïve", ["cafe", "angstrom", "naive"]),
        ("dog|cat, x-ray", ["dog", "|", "cat", ",", "x", "-", "ray"]),
        ("$5+3=8^2~`", ["$", "5", "+", "3", "=", "8", "^", "2", "~", "`"]),
        ("¿qué? “a” — b…", ["¿", "que", "?", "“", "a", "”", "—", "b", "…"]),
        ("北京tower", ["北", "京", "tower"]),
        ("a\u00a0b\u3000c", ["a", "b", "c"]),
        ("zero\u200bwidth \ufffdbad\x00\x07", ["zerowidth", "bad"]),
        ("dog🐶s", ["dog🐶s"]),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Dogs played", ["dog", "##s", "play", "##ed"]),
        ("unplaying", ["un", "##play", "##ing"]),
        ("dogx", ["[UNK]"]),
        ("cat dog", ["[UNK]", "dog"]),
        ("dog" + "s" * 98, ["[UNK]"]),
        ("dog | play", ["dog", "|", "play"]),
        ("[SEP]", ["[UNK]", "[UNK]", "[UNK]"]),  # marks cannot be smuggled in
    ],
)
def test_encode(text: str, pieces: list[str], wordpiece: WordPiece) -> None:
    ids = wordpiece.encode(text)
    assert [PIECES[i] for i in ids] == ["[CLS]", *pieces, "[SEP]"]


def test_long_texts_are_cut_before_the_end_mark(wordpiece: WordPiece) -> None:
    ids = wordpiece.encode("dog dog dog dog", max_length=4)
    assert [PIECES[i] for i in ids] == ["[CLS]", "dog", "dog", "[SEP]"]


def test_decode(wordpiece: WordPiece) -> None:
    ids = [wordpiece.decoder_start_id, *wordpiece.encode("Dogs' dog's, unplayed."), 0, 0]
    assert wordpiece.decode(ids) == "dogs'dog's, unplayed."


def test_start_marks_stand_behind_the_vocabulary(wordpiece: WordPiece) -> None:
    assert wordpiece.decoder_start_id == len(PIECES)
    assert wordpiece.encoder_start_id == len(PIECES) + 1
    assert wordpiece.size == len(PIECES) + 2


def test_load(tmp_path: Path, wordpiece: WordPiece) -> None:
    path = tmp_path / "vocab.txt"
    for end in ("\n", "\r\n"):
        path.write_bytes(end.join([*PIECES, ""]).encode())
        assert WordPiece.load(path) == wordpiece


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\n", r"vocab.txt: .*lacks \[PAD\]"),
        ("\n".join([*MARKS, "a", "a"]).encode(), "twice"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_no_vocabulary_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        WordPiece.load(path)
