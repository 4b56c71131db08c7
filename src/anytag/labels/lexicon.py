"""What a word can be: parts of speech, base forms and counts, from a compact WordNet table.

The table (``data/lexicon.tsv``, made by ``tools/build_lexicon.py``, licence beside it) is WordNet
3.0: its words with their counts, irregular forms, and phrases. ``data/corrections.tsv`` replaces
lines of it by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from anytag.labels.words import KEEP_PLURAL, word_set

#: an option with less than this share of the counts of a word is dropped
_LEAST_SHARE = 1 / 40


class Noun(NamedTuple):
    """A noun reading."""

    lemma: str
    #: "s" singular, "p" plural
    number: str
    #: class letter of the word table: h, o, s, e, q or x
    letter: str
    weight: float


class Verb(NamedTuple):
    """A verb reading."""

    lemma: str
    #: "b" base, "s" third person, "g" -ing, "d" past or participle; "bd" both, as in "cut"
    inflection: str
    weight: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """All readings of one surface form in lower case."""

    noun: Noun | None = None
    verb: Verb | None = None
    #: base form and count
    adjective: tuple[str, float] | None = None
    adverb: bool = False
    #: first of all the name of an individual: "Berlin", "Smith"
    name: bool = False
    #: neither the form nor a base form of it is in the table
    unknown: bool = False

    @property
    def total(self) -> float:
        """All counts."""
        parts = (self.noun and self.noun.weight, self.verb and self.verb.weight)
        return sum(part or 0 for part in parts) + (self.adjective[1] if self.adjective else 0)


class Lexicon:
    """The word table in memory, some 30 MB."""

    def __init__(self, tables: list[str]) -> None:
        self.words: dict[str, str] = {}
        self.irregular: dict[str, str] = {}
        #: phrase -> noun class letter, "=" after it where the last word names it too
        self.phrases: dict[str, str] = {}
        targets = {"-": self.irregular, "+": self.phrases}
        for table in tables:
            for line in table.splitlines():
                key, _, value = line.partition("\t")
                target = targets.get(key[:1])
                if target is not None:
                    target[key[1:]] = value
                elif not key.startswith("#"):
                    self.words[key] = value

    def options(self, word: str) -> dict[str, tuple[str, float]]:
        """Part of speech -> (class letter, count) of a base form; empty if it is unknown."""
        found = {}
        for item in self.words.get(word, "").split():
            pos = item[0] if item[0] in "vari" else "n"
            found[pos] = (item[0], float(item[1:] or 0) + 0.5)
        return found

    def analyse(self, form: str) -> Analysis:
        """The readings of a form in lower case."""
        own = self.options(form)
        irregular = _irregular(self.irregular.get(form, ""))
        noun = self._noun(form, own, irregular.get("n"))
        verb = self._verb(form, own, irregular.get("v"))
        adjective = self._adjective(form, own, irregular.get("a"))
        if noun and noun.letter in "ex" and verb and verb.inflection == "g":
            noun = None  # "the running of dogs" is their action
        total = sum(one.weight for one in (noun, verb) if one) + (adjective[1] if adjective else 0)
        least = total * _LEAST_SHARE
        result = Analysis(
            noun=noun if noun and noun.weight >= least else None,
            verb=verb if verb and verb.weight >= least else None,
            adjective=adjective if adjective and adjective[1] >= least else None,
            adverb="r" in own,
            name="i" in own,
        )
        return guess(form) if total == 0 and not result.adverb else result

    def _noun(self, form: str, own: dict[str, tuple[str, float]], base: str | None) -> Noun | None:
        if form in KEEP_PLURAL:
            letter = own.get("n", ("s" if form in ("woods", "ruins", "stairs") else "o", 0))[0]
            return Noun(form, "p", letter, 20.0)
        if base is not None and (found := self.options(base).get("n")):
            return Noun(base, "s" if base == form else "p", *found)
        plural = None
        for base in _singulars(form):
            if found := self.options(base).get("n"):
                plural = Noun(base, "p", *found)
                break
        # "windows" and "stripes" have entries of their own beside that of the singular
        if "n" in own and (plural is None or plural.weight < own["n"][1]):
            return Noun(form, "s", *own["n"])
        return plural

    def _verb(self, form: str, own: dict[str, tuple[str, float]], base: str | None) -> Verb | None:
        found: list[Verb] = []
        if base is not None:
            count = self.options(base).get("v", ("v", 1.0))[1]
            found.append(Verb(base, _inflection(form, "d" if form != base else "b"), count))
        if "v" in own:
            inflection = "bd" if form in _UNCHANGED else "b"
            found.append(Verb(form, inflection, own["v"][1]))
        if found:
            return max(found, key=lambda verb: verb.weight)
        for base in _verb_bases(form):
            if option := self.options(base).get("v"):
                found.append(Verb(base, _inflection(form, "d"), option[1]))
        return max(found, key=lambda verb: verb.weight, default=None)

    def _adjective(
        self, form: str, own: dict[str, tuple[str, float]], base: str | None
    ) -> tuple[str, float] | None:
        mine = own["a"][1] if "a" in own else 0.0
        for positive in filter(None, (base, *_adjective_bases(form))):
            found = self.options(positive).get("a")
            if found and found[1] > mine and len(positive) > 2:
                return positive, found[1]
        return (form, mine) if mine else None


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """The table of this package, read once."""
    folder = files("anytag.labels") / "data"
    names = ("lexicon.tsv", "corrections.tsv")
    return Lexicon([(folder / name).read_text(encoding="utf-8") for name in names])


def load_aliases() -> dict[str, list[str]]:
    """Other name -> names of the same thing, for label sets without synonyms."""
    text = (files("anytag.labels") / "data" / "aliases.tsv").read_text(encoding="utf-8")
    aliases: dict[str, list[str]] = {}
    for line in text.splitlines():
        other, tab, name = line.partition("\t")
        if tab:
            aliases.setdefault(other, []).append(name)
    return aliases


def guess(form: str) -> Analysis:
    """Readings of a word that is not in the table, by its ending."""
    if len(form) < 3 or not form.isalpha():
        if "-" in form and form.rsplit("-", 1)[1].endswith(("ed", "free", "like", "en")):
            return Analysis(adjective=(form, 1.0), unknown=True)
        return Analysis(noun=Noun(form, "s", "o", 1.0), unknown=True)
    if form.endswith("ly"):
        return Analysis(adverb=True, unknown=True)
    if form.endswith("ing") and len(form) > 5:
        return Analysis(verb=Verb(form, "g", 1.0), unknown=True)
    if form.endswith(("less", "ful", "ish", "ous", "able", "ible")):
        return Analysis(adjective=(form, 1.0), unknown=True)
    if form.endswith("ed") and len(form) > 4:
        return Analysis(verb=Verb(form, "d", 1.0), adjective=(form, 0.5), unknown=True)
    if form.endswith("s") and not form.endswith(("ss", "us", "is")) and len(form) > 3:
        return Analysis(noun=Noun(next(iter(_singulars(form))), "p", "o", 1.0), unknown=True)
    return Analysis(noun=Noun(form, "s", "o", 1.0), unknown=True)


_UNCHANGED = word_set(
    "cut hit put set let spread read shut split hurt burst cast cost quit rid shed bet fit"
)


def _irregular(text: str) -> dict[str, str]:
    """``"n:leaf v:leave"`` -> {"n": "leaf", "v": "leave"}; the first of a part of speech."""
    found: dict[str, str] = {}
    for item in text.split():
        pos, _, base = item.partition(":")
        found.setdefault(pos, base)
    return found


def _inflection(form: str, other: str) -> str:
    if form.endswith(("ing", "in")):
        return "g"
    return "s" if form.endswith("s") and not form.endswith("ss") else other


def _singulars(form: str) -> list[str]:
    if not form.endswith("s") or form.endswith("ss") or len(form) < 3:
        return []
    bases = []
    if form.endswith("ies") and len(form) > 4:
        bases.append(form[:-3] + "y")
    if form.endswith("ves"):
        bases += [form[:-3] + "f", form[:-3] + "fe"]
    if form.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        bases.append(form[:-2])
    return [*bases, form[:-1]]


def _verb_bases(form: str) -> list[str]:
    if form.endswith("s") and not form.endswith("ss"):
        return _singulars(form)
    for ending in ("ing", "ed"):
        stem = form[: -len(ending)]
        if form.endswith(ending) and len(stem) >= 2:
            bases = [stem, stem + "e"]
            if stem[-1] == stem[-2]:
                bases.append(stem[:-1])
            if ending == "ed" and stem.endswith("i"):
                bases.append(stem[:-1] + "y")
            return bases
    if form.endswith("in") and len(form) > 5:
        return [form[:-2], form[:-2] + "e"]
    return []


def _adjective_bases(form: str) -> list[str]:
    for ending in ("er", "est"):
        stem = form[: -len(ending)]
        if form.endswith(ending) and len(stem) >= 3:
            bases = [stem, stem + "e"]
            if stem[-1] == stem[-2]:
                bases.append(stem[:-1])
            if stem.endswith("i"):
                bases.append(stem[:-1] + "y")
            return bases
    return []
