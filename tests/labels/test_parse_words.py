"""Pieces of captions, readings of words, and the word table."""

from __future__ import annotations

from importlib.resources import files

import pytest

from anytag.labels.lexicon import load_lexicon
from anytag.labels.tokens import cut
from anytag.labels.vocabulary import KIND_OF_LETTER

LEXICON = load_lexicon()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dog's", ["dog", "'s"]),
        ("can't", ["ca", "n't"]),
        ("Snow-covered,", ["snow-covered", ","]),
        ("café", ["cafe"]),
        ("“HELLO”", [".", "hello", "."]),
        ("sea_view.jpg", ["sea", ".", "view", ".", ""]),
        ("https://a.example/dog", [""]),
        ("@user", [""]),
        ("3x", ["3"]),
        ("w/o", ["w/o"]),
        ("R&amp;B", ["r", "and", "b"]),
        ("🐕", [""]),
        ("\n", []),
    ],
)
def test_cut(text: str, words: list[str]) -> None:
    pieces = cut(text)
    assert [piece.word for piece in pieces] == words
    assert all(text[piece.start : piece.end] == piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("form", "lemma", "number"),
    [
        ("teeth", "tooth", "p"),
        ("knives", "knife", "p"),
        ("ponies", "pony", "p"),
        ("buses", "bus", "p"),
        ("glass", "glass", "s"),
        ("jeans", "jeans", "p"),
        ("windows", "window", "p"),
        ("people", "person", "p"),
        ("sheep", "sheep", "s"),
        ("gizmos", "gizmo", "p"),
    ],
)
def test_nouns(form: str, lemma: str, number: str) -> None:
    noun = LEXICON.analyse(form).noun
    assert noun is not None
    assert (noun.lemma, noun.number) == (lemma, number)


@pytest.mark.parametrize(
    ("form", "lemma", "inflection"),
    [
        ("running", "run", "g"),
        ("rides", "ride", "s"),
        ("carried", "carry", "d"),
        ("ate", "eat", "d"),
        ("lying", "lie", "g"),
        ("jump", "jump", "b"),
        ("cut", "cut", "bd"),
        ("jumpin", "jump", "g"),
    ],
)
def test_verbs(form: str, lemma: str, inflection: str) -> None:
    verb = LEXICON.analyse(form).verb
    assert verb is not None
    assert (verb.lemma, verb.inflection) == (lemma, inflection)


def test_adjectives_and_unknown_words() -> None:
    bigger = LEXICON.analyse("bigger").adjective
    assert bigger is not None
    assert bigger[0] == "big"
    assert LEXICON.analyse("zorbing").unknown
    assert LEXICON.analyse("blorfish").adjective is not None


def test_every_line_of_the_table_is_understood() -> None:
    assert len(LEXICON.words) > 60_000
    for line in LEXICON.words.values():
        for option in line.split():
            assert option[0] in {"v", "a", "r", "i", *KIND_OF_LETTER}
            float(option[1:] or 0)
    assert {letter.rstrip("=") for letter in LEXICON.phrases.values()} <= set(KIND_OF_LETTER)


def test_the_licence_is_beside_the_table() -> None:
    folder = files("anytag.labels") / "data"
    notice = (folder / "lexicon.LICENSE").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in notice
    assert len((folder / "lexicon.tsv").read_bytes()) < 3_000_000
