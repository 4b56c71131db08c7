"""What the parser may say: every content word (open), or the tags of a label set (closed)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from anytag.labels.labelset import Label, LabelSet, fold_name
from anytag.labels.lexicon import Analysis, Lexicon, load_aliases
from anytag.labels.words import (
    GENERIC_ADJECTIVES,
    GENERIC_NOUNS,
    GENERIC_VERBS,
    PICTURE_NOUNS,
)

#: class letter of the word table -> kind of tag
KIND_OF_LETTER = {
    "h": "object",
    "o": "object",
    "x": "object",
    "s": "scene",
    "e": "action",
    "q": "attribute",
}


class Name(NamedTuple):
    """What a tag says, without its place."""

    name: str
    kind: str
    #: label id; None in open mode
    id: int | None = None


class Names(NamedTuple):
    """The names of one word by its part of speech; None where it has none."""

    noun: Name | None = None
    verb: Name | None = None
    adjective: Name | None = None


class Phrase(NamedTuple):
    """Several words that are one."""

    name: Name | None
    #: noun class letter, or "v" or "a" for a verb or adjective
    letter: str


#: a `Name` as a plain tuple, which Python takes apart much faster
PlainName: TypeAlias = tuple[str, str, "int | None"]


def plain(name: Name) -> PlainName:
    """A name as a plain tuple."""
    return name.name, name.kind, name.id


class Noun(Protocol):
    """One word of a run of nouns."""

    @property
    def word(self) -> str:
        """In lower case as written."""

    @property
    def lemma(self) -> str:
        """Base form."""

    @property
    def letter(self) -> str:
        """Class letter of the word table."""

    @property
    def noun(self) -> PlainName | None:
        """Its name as a single word."""

    @property
    def is_phrase(self) -> bool:
        """Several words, merged."""


class Vocabulary(Protocol):
    """What `CaptionParser` asks."""

    def names(self, word: str, analysis: Analysis) -> Names:
        """Names of a single word in lower case."""

    def compound(self, nouns: Sequence[Noun]) -> list[tuple[PlainName, int, int]]:
        """Names in a run of nouns, each with the first word and the one after its last."""

    def phrases(self, first: str) -> dict[str, Phrase]:
        """Phrases that begin with this word: all of the phrase -> what it is."""

    @property
    def second_words(self) -> frozenset[str]:
        """Of all phrases; most words are none, which saves looking for phrases."""


class OpenVocabulary:
    """Every noun, verb and adjective but generic ones; nouns in a row are one name."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._phrases = _by_first_word(lexicon.phrases)
        self.second_words = _second_words(self._phrases)
        self._letters = lexicon.phrases

    def names(self, word: str, analysis: Analysis) -> Names:
        noun, verb, adjective = analysis.noun, analysis.verb, analysis.adjective
        if len(word) < 2 or not any(char.isalpha() for char in word):
            return Names()
        found_noun = found_verb = found_adjective = None
        if noun and noun.lemma not in GENERIC_NOUNS and word not in GENERIC_NOUNS:
            found_noun = Name(noun.lemma, KIND_OF_LETTER[noun.letter])
        if verb and verb.lemma not in GENERIC_VERBS:
            found_verb = Name(verb.lemma, "action")
        if adjective and adjective[0] not in GENERIC_ADJECTIVES:
            found_adjective = Name(adjective[0], "attribute")
        elif not adjective and verb and verb.inflection in ("d", "bd") and found_verb:
            found_adjective = Name(word, "attribute")
        if verb and verb.inflection == "g" and found_noun is None and noun is None:
            found_noun = found_verb
        return Names(found_noun, found_verb, found_adjective)

    def compound(self, nouns: Sequence[Noun]) -> list[tuple[PlainName, int, int]]:
        stop = len(nouns)
        while stop and nouns[stop - 1].lemma in PICTURE_NOUNS:
            stop -= 1
        end = stop
        while end > 1 and stop > 2 and nouns[end - 1].letter == "x":
            end -= 1
        apart = range(0 if end > 4 else end, stop)
        found = [(name, i, i + 1) for i in apart if (name := nouns[i].noun)]
        if end == 1 and nouns[0].noun:
            found.insert(0, (nouns[0].noun, 0, 1))
        if 2 <= end <= 4:
            found.insert(0, (self._joined(nouns[:end]), 0, end))
        return found

    def _joined(self, nouns: Sequence[Noun]) -> PlainName:
        head = nouns[-1]
        name = " ".join([*(one.word for one in nouns[:-1]), _head_lemma(nouns)])
        letter = (self._letters.get(name) or head.letter)[0]
        return name, KIND_OF_LETTER[letter], None

    def phrases(self, first: str) -> dict[str, Phrase]:
        return {
            phrase: Phrase(
                Name(phrase, KIND_OF_LETTER[self._letters[phrase][0]]), self._letters[phrase][0]
            )
            for phrase in self._phrases.get(first, ())
        }


class ClosedVocabulary:
    """The tags of a label set: names, synonyms and other names of `load_aliases`.

    A tag takes the parts of speech of its kind: objects and scenes nouns, actions verbs and nouns
    of events, attributes adjectives. A tag without a kind takes all.
    """

    def __init__(self, labels: LabelSet, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._labels: dict[str, Label] = {}
        for label in labels:
            self._labels.setdefault(fold_name(label.name), label)
        for label in labels:
            for synonym in label.synonyms:
                self._labels.setdefault(fold_name(synonym), label)
        for label in labels:
            self._add_inflected(label)
        for other, names in load_aliases().items():
            for name in names:
                if name in self._labels:
                    self._labels.setdefault(other, self._labels[name])
        own = [name for name in self._labels if " " in name]
        self._phrases = _by_first_word([*own, *lexicon.phrases])
        self.second_words = _second_words(self._phrases)

    def _add_inflected(self, label: Label) -> None:
        """``running`` also stands for ``run``, ``stairs`` for ``stair``, ``t-shirt`` and such."""
        for written in (label.name, *label.synonyms):
            name = fold_name(written)
            if "-" in name:
                self._labels.setdefault(name.replace("-", " "), label)
            if " " in name:
                self._labels.setdefault(name.replace(" ", "-"), label)
                continue
            found = self._lexicon.analyse(name)
            if found.verb and found.verb.inflection == "g" and label.kind in ("action", None):
                self._labels.setdefault(found.verb.lemma, label)
            if found.noun and found.noun.lemma != name and label.kind not in ("action",):
                self._labels.setdefault(found.noun.lemma, label)

    def _find(self, kinds: tuple[str, ...], *names: str) -> Name | None:
        for name in names:
            label = self._labels.get(name)
            if label is not None and (label.kind is None or label.kind in kinds):
                return Name(label.name, label.kind or kinds[0], label.id)
        return None

    def names(self, word: str, analysis: Analysis) -> Names:
        noun, verb, adjective = analysis.noun, analysis.verb, analysis.adjective
        nouns: tuple[str, ...] = ("object", "scene")
        if noun and (noun.letter == "e" or verb is None):
            nouns = ("object", "scene", "action")
        if noun and (noun.letter == "q" or adjective is None):
            nouns = (*nouns, "attribute")
        adjectives = [adjective[0]] if adjective else []
        return Names(
            self._find(nouns, *([noun.lemma] if noun else []), word),
            self._find(("action",), *([verb.lemma] if verb else []), word),
            self._find(("attribute",), *adjectives, word),
        )

    def compound(self, nouns: Sequence[Noun]) -> list[tuple[PlainName, int, int]]:
        words = [one.word for one in nouns]
        found: list[tuple[PlainName, int, int]] = []
        end = len(nouns)
        while end > 0:
            start, name = self._longest(words, nouns, end)
            if name is not None and (not found or end - start > 1 or nouns[start].is_phrase):
                found.append((name, start, end))
            end = start
        return found[::-1]

    def _longest(
        self, words: list[str], nouns: Sequence[Noun], end: int
    ) -> tuple[int, PlainName | None]:
        """The longest label that ends before ``end``, or the single word."""
        for start in range(max(0, end - 4), end - 1):
            text = " ".join([*words[start : end - 1], _head_lemma(nouns[start:end])])
            name = self._find(("object", "scene", "action"), text, " ".join(words[start:end]))
            if name is not None:
                return start, plain(name)
        return end - 1, nouns[end - 1].noun

    def phrases(self, first: str) -> dict[str, Phrase]:
        found: dict[str, Phrase] = {}
        written = self._phrases.get(first)
        if written is None:
            return found
        readings = self._lexicon.analyse(first)
        for phrase in written:
            label = self._labels.get(phrase)
            letter = self._lexicon.phrases.get(phrase, "")
            if label is not None:
                name = Name(label.name, label.kind or "object", label.id)
                letter = {"action": "v", "attribute": "a"}.get(label.kind or "", letter[:1] or "o")
                if label.kind == "action" and readings.verb is None:
                    letter = "e"
                found[phrase] = Phrase(name, letter)
            elif letter and not (letter.endswith("=") and readings.adjective):
                head = self._head(phrase) if letter.endswith("=") else None
                found[phrase] = Phrase(head, letter[0])
        return found

    def _head(self, phrase: str) -> Name | None:
        last = phrase.rsplit(" ", 1)[-1]
        return self.names(last, self._lexicon.analyse(last)).noun


def _head_lemma(nouns: Sequence[Noun]) -> str:
    """ "wine glasses" are each a glass, "reading glasses" are not."""
    lemma = nouns[-1].lemma
    seen_through = ("reading", "sun", "eye", "safety", "prescription", "swimming", "ski")
    return "glass" if lemma == "glasses" and nouns[-2].word not in seen_through else lemma


def _by_first_word(phrases: Sequence[str] | dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for phrase in phrases:
        found.setdefault(phrase.split(" ", 1)[0], []).append(phrase)
    return found


def _second_words(phrases: dict[str, list[str]]) -> frozenset[str]:
    return frozenset(phrase.split(" ", 2)[1] for some in phrases.values() for phrase in some)
