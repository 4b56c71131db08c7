"""A spaCy pipeline as the parser, with a stub in its place."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType

import pytest

from anytag.errors import MissingExtraError, UsageError
from anytag.labels.labelset import Label, LabelSet
from anytag.labels.spacy_parser import SpacyParser


@dataclass(eq=False)
class Token:
    """What the parser asks of a spaCy token."""

    text: str
    idx: int
    pos_: str
    lemma_: str
    dep_: str = ""
    children: list[Token] = field(default_factory=list)
    head: Token = field(init=False)

    def __post_init__(self) -> None:
        self.head = self
        for child in self.children:
            child.head = self


def pipeline(caption: str) -> list[Token]:
    """ "Two tennis players wear no red hats" """
    two = Token("Two", 0, "NUM", "two", "nummod")
    tennis = Token("tennis", 4, "NOUN", "tennis", "compound")
    players = Token("players", 11, "NOUN", "player", "nsubj", [two, tennis])
    no = Token("no", 24, "DET", "no", "det")
    red = Token("red", 27, "ADJ", "red", "amod")
    hats = Token("hats", 31, "NOUN", "hat", "dobj", [no, red])
    wear = Token("wear", 19, "VERB", "wear", "ROOT", [players, hats])
    return [two, tennis, players, wear, no, red, hats]


@pytest.fixture
def spacy(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> object:
        if name != "en_stub":
            raise OSError(name)
        return pipeline

    stub = ModuleType("spacy")
    stub.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spacy", stub)


@pytest.mark.usefixtures("spacy")
def test_tags_of_a_pipeline() -> None:
    tags = SpacyParser("en_stub").parse("Two tennis players wear no red hats")
    assert [(tag.name, tag.start, tag.end, tag.negated, tag.quantity) for tag in tags] == [
        ("tennis player", 4, 18, False, 2),
        ("wear", 19, 23, False, None),
        ("red", 27, 30, False, None),
        ("hat", 31, 35, True, None),
    ]


@pytest.mark.usefixtures("spacy")
def test_labels_of_a_pipeline() -> None:
    labels = LabelSet([Label(id=0, name="player", kind="object"), Label(id=1, name="hat")])
    tags = SpacyParser("en_stub", labels).parse("Two tennis players wear no red hats")
    assert [(tag.name, tag.id, tag.start) for tag in tags] == [("player", 0, 11), ("hat", 1, 31)]


@pytest.mark.usefixtures("spacy")
def test_an_unknown_pipeline_is_named() -> None:
    with pytest.raises(UsageError, match="spacy download en_none"):
        SpacyParser("en_none")


def test_without_spacy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtraError, match="spacy"):
        SpacyParser("en_stub")
