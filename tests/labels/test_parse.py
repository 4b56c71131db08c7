"""Captions to tags: words in their places, negation, quantity, label sets, any text at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.labels import parse, reading, steps
from anytag.labels.labelset import Label, LabelSet
from anytag.labels.parse import CaptionParser, ParsedTag

OPEN = CaptionParser.open()
GOLD = Path(__file__).parent.parent / "gold"


def names(caption: str) -> list[str]:
    return [tag.name for tag in OPEN.parse(caption)]


def closed(*labels: Label | str) -> CaptionParser:
    rows = [
        one if isinstance(one, Label) else Label(id=position, name=one)
        for position, one in enumerate(labels)
    ]
    return CaptionParser.closed(LabelSet(rows))


@pytest.mark.parametrize(
    ("caption", "word", "name", "kind"),
    [
        ("A boy peels an orange.", "orange", "orange", "object"),
        ("A girl in an orange dress.", "orange", "orange", "attribute"),
        ("A truck parks beside a shop.", "parks", "park", "action"),
        ("Dogs run in the park.", "park", "park", "scene"),
        ("A train leaves a tunnel.", "train", "train", "object"),
        ("Coaches train young swimmers.", "train", "train", "action"),
        ("Two girls watch a film.", "watch", "watch", "action"),
        ("A gold watch on a tray.", "watch", "watch", "object"),
        ("A can of paint.", "can", "can", "object"),
        ("A light above the stove.", "light", "light", "object"),
        ("A light jacket.", "light", "light", "attribute"),
        ("Men light a fire.", "light", "light", "action"),
        ("Kittens play with yarn.", "play", "play", "action"),
        ("The crowd leaves the hall.", "leaves", "leave", "action"),
        ("Wet leaves on a path.", "leaves", "leaf", "object"),
        ("She saw a deer.", "deer", "deer", "object"),
        ("A rose in a glass.", "rose", "rose", "object"),
    ],
)
def test_a_word_is_read_in_its_place(caption: str, word: str, name: str, kind: str) -> None:
    start = caption.index(word)
    found = [tag for tag in OPEN.parse(caption) if tag.start <= start < tag.end]
    assert [(tag.name, tag.kind) for tag in found] == [(name, kind)]


def test_can_as_a_modal_is_no_tag() -> None:
    assert names("You can see a tower") == ["tower"]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("two wine glasses", ["wine glass"]),
        ("hot dogs on a grill", ["hot dog", "grill"]),
        ("a swimming pool", ["swimming pool"]),
        ("a sleeping puppy", ["sleep", "puppy"]),
        ("a man's hat", ["man", "hat"]),
        ("beach stock photo", ["beach"]),
        ("dog   on  grass", ["dog", "grass"]),
        ("IMG_2034.jpg http://a.example/b.png", []),
        ("", []),
        ("😀 🐕", []),
    ],
)
def test_compounds_and_noise(caption: str, expected: list[str]) -> None:
    assert names(caption) == expected


@pytest.mark.parametrize(
    ("caption", "negated"),
    [
        ("A rider without a helmet or gloves on a horse", {"helmet", "glove"}),
        ("no people on the beach", {"person"}),
        ("a street with no cars and a red bench", {"car"}),
        ("The man is not wearing a hat in the rain", {"wear", "hat"}),
        ("a desk w/o chairs", {"chair"}),
        ("He isn't swimming", {"swim"}),
        ("a room with a view", set()),
    ],
)
def test_negation(caption: str, negated: set[str]) -> None:
    assert {tag.name for tag in OPEN.parse(caption) if tag.negated} == negated


@pytest.mark.parametrize(
    ("caption", "quantity"),
    [
        ("three red kites", {"kite": 3}),
        ("2 cats", {"cat": 2}),
        ("two dozen eggs", {"egg": 24}),
        ("a pair of old boots", {"boot": 2}),
        ("a couple kissing", {}),
        ("number 7 on the shirt", {}),
        ("4x tires", {"tire": 4}),
    ],
)
def test_quantity(caption: str, quantity: dict[str, int]) -> None:
    found = {tag.name: tag.quantity for tag in OPEN.parse(caption) if tag.quantity is not None}
    assert found == quantity


def test_record_has_a_span() -> None:
    caption = "İstanbul: two dogs"  # lower-casing its first letter makes the text longer
    (tag,) = OPEN.parse(caption)
    assert tag == ParsedTag("dog", "object", 14, 18, quantity=2)
    assert tag.record() == {
        "name": "dog",
        "kind": "object",
        "span": [14, 18],
        "negated": False,
        "quantity": 2,
    }


def test_closed_finds_names_inflections_synonyms_and_phrases() -> None:
    parser = closed(
        Label(id=0, name="couch", kind="object", synonyms=("davenport",)),
        Label(id=1, name="traffic light", kind="object"),
        Label(id=2, name="running", kind="action"),
        Label(id=3, name="person", kind="object"),
        Label(id=4, name="T-shirt", kind="object"),
        Label(id=5, name="light blue", kind="attribute"),
    )
    caption = (
        "People ran past traffic lights, sofas and a davenport in light blue T shirts; a lamp."
    )
    found = [(tag.name, tag.id, caption[tag.start : tag.end]) for tag in parser.parse(caption)]
    assert found == [
        ("person", 3, "People"),
        ("running", 2, "ran"),
        ("traffic light", 1, "traffic lights"),
        ("couch", 0, "sofas"),
        ("couch", 0, "davenport"),
        ("light blue", 5, "light blue"),
        ("T-shirt", 4, "T shirts"),
    ]


def test_closed_minds_the_kind_of_a_label() -> None:
    fruit = closed(Label(id=0, name="orange", kind="object"))
    assert fruit.parse("an orange dress") == []
    assert len(fruit.parse("an orange on a plate")) == 1
    assert len(closed("orange").parse("an orange dress")) == 1


def test_closed_takes_the_head_of_an_unknown_compound_but_not_of_an_opaque_one() -> None:
    parser = closed("table", "kitchen", "dog", "bear")
    assert [tag.name for tag in parser.parse("a kitchen table")] == ["table"]
    assert parser.parse("hot dogs and a teddy bear") == []


def test_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = [line.split('"caption": "')[1].split('", "tags"')[0] for line in _gold()]
    expected = [OPEN.parse(caption) for caption in captions]
    monkeypatch.setattr(reading, "MAX_WORDS", 5)
    monkeypatch.setattr(reading, "MAX_PHRASES", 1)
    monkeypatch.setattr(steps, "MAX_STEPS", 5)
    monkeypatch.setattr(parse, "MAX_COMPOUNDS", 1)
    small = CaptionParser.open()
    assert [small.parse(caption) for caption in captions] == expected


def _gold() -> list[str]:
    return (GOLD / "captions.jsonl").read_text(encoding="utf-8").splitlines()


PIECES = ["a", "no", "dog", "dogs'", "can't", "'s", "שלום", "قطة", "猫", "é́", "😀", "&amp;"]
PIECES += ["two", ",", ".", "\n", "\t", "\r", "w/o", "", "light-blue"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(PIECES),
        ),
        max_size=12,
    ).map(" ".join)
)
def test_any_text_has_ordered_spans_inside_it(caption: str) -> None:
    tags = OPEN.parse(caption)
    end = 0
    for tag in tags:
        assert end <= tag.start < tag.end <= len(caption)
        assert not caption[tag.start : tag.end].isspace()
        end = tag.end


def test_a_caption_of_a_megabyte() -> None:
    assert len(OPEN.parse("a dog and a cat " * 65_000)) == 130_000
    assert OPEN.parse("x" * 1_000_000) is not None


def test_no_torch() -> None:
    code = "import sys, anytag.labels.parse as p; p.CaptionParser.open().parse('a dog'); " + (
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
