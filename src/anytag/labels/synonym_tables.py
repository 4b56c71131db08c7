"""The tables that synonym evidence comes from: shares of senses, and what a person decided.

``data/synonyms.tsv`` is made by ``tools/build_synonyms.py`` from WordNet 3.0 (its licence is in
``data/lexicon.LICENSE``); ``data/synonyms_curated.tsv`` is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path

from anytag.errors import LabelError
from anytag.files import display_path
from anytag.labels.labelset import fold_name


@dataclass(frozen=True)
class Curated:
    """Adds and vetoes: pairs in alphabetical order -> reason."""

    adds: Mapping[tuple[str, str], str] = field(default_factory=dict)
    vetoes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    #: name -> names that it is another name of
    heads: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __or__(self, later: Curated) -> Curated:
        """Both tables; where they contradict one another, ``later`` wins."""
        adds = {pair: why for pair, why in self.adds.items() if pair not in later.vetoes}
        vetoes = {pair: why for pair, why in self.vetoes.items() if pair not in later.adds}
        heads = {**self.heads}
        for name, first in later.heads.items():
            heads[name] = heads.get(name, frozenset()) | first
        return Curated({**adds, **later.adds}, {**vetoes, **later.vetoes}, heads)


class Senses:
    """Shares of senses of the words that share one.

    >>> round(load_senses().overlap("sofa", "couch", "n"), 2)
    0.9
    """

    def __init__(self, text: str) -> None:
        self._of_word: dict[tuple[str, str], dict[int, float]] = {}
        for number, line in enumerate(text.splitlines()):
            pos, *cells = line.split("\t")
            for word, share in zip(cells[::2], cells[1::2], strict=True):
                self._of_word.setdefault((pos, word), {})[number] = int(share) / 100

    def overlap(self, first: str, second: str, pos: str) -> float:
        """Share of meaning in common, 0 to 1."""
        mine, other = self._of_word.get((pos, first), {}), self._of_word.get((pos, second), {})
        return sum(min(share, other[sense]) for sense, share in mine.items() if sense in other)

    def is_phrase(self, words: str) -> bool:
        """Whether it is a noun."""
        return ("n", words) in self._of_word

    def pairs(self, names: Iterable[str], pos: str) -> Iterator[tuple[str, str]]:
        """All pairs of these names with a common sense, each once and in alphabetical order."""
        of_sense: dict[int, list[str]] = {}
        for name in sorted(set(names)):
            for sense in self._of_word.get((pos, name), {}):
                of_sense.setdefault(sense, []).append(name)
        yield from sorted({pair for same in of_sense.values() for pair in combinations(same, 2)})


@lru_cache(maxsize=1)
def load_senses() -> Senses:
    """The table of this package, read once."""
    return Senses(_data("synonyms.tsv"))


@lru_cache(maxsize=1)
def load_curated() -> Curated:
    """The table of this package."""
    return parse_curated(_data("synonyms_curated.tsv"), "synonyms_curated.tsv")


def read_curated(path: Path) -> Curated:
    """A table of one's own, of the same form.

    Raises:
        LabelError: it cannot be read, or a row is wrong
    """
    try:
        return parse_curated(path.read_text(encoding="utf-8-sig"), display_path(path))
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{display_path(path)}: cannot be read as text ({error})") from error


def parse_curated(text: str, source: str) -> Curated:
    """Rows ``add|veto TAB name TAB name TAB reason``.

    Raises:
        LabelError: a row is wrong, or a pair is both added and vetoed
    """
    tables: dict[str, dict[tuple[str, str], str]] = {"add": {}, "veto": {}}
    heads: dict[str, frozenset[str]] = {}
    for row, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        what, *names = [cell.strip() for cell in line.split("\t")]
        if what not in tables or len(names) not in (2, 3) or not all(map(fold_name, names[:2])):
            raise LabelError(
                f"{source}, row {row}: expected add or veto, two names and a reason with tabs "
                f"between, found {line!r}"
            )
        first, second = map(fold_name, names[:2])
        pair = pair_of(first, second)
        if pair[0] == pair[1]:
            raise LabelError(f"{source}, row {row}: the two names are the same")
        tables[what][pair] = names[2] if len(names) == 3 else ""
        if what == "add":
            heads[second] = heads.get(second, frozenset()) | {first}
        if pair in tables["add"] and pair in tables["veto"]:
            raise LabelError(
                f"{source}, row {row}: {pair[0]!r} and {pair[1]!r} are both added and vetoed; "
                "remove one of the rows"
            )
    return Curated(tables["add"], tables["veto"], heads)


def pair_of(first: str, second: str) -> tuple[str, str]:
    """The two in alphabetical order."""
    return (first, second) if first <= second else (second, first)


def _data(name: str) -> str:
    return (files("anytag.labels") / "data" / name).read_text(encoding="utf-8")
