"""Evidence that two names are one tag (RAM, section 3.1: WordNet, translating and merging).

* **curated**: ``data/synonyms_curated.tsv``, adds and vetoes by hand, each with its reason;
* **spelling**: the same but for spaces, hyphens, accents, or British and American spelling;
* **inflection**: a plural and its singular, an -ing form and its verb;
* **list**: a category list gives both as names of one category;
* **wordnet**: the overlap of their senses. A sense alone is not enough: WordNet's first sense of
  "bike" is the motorcycle. Each word has shares of senses that add up to 1
  (``data/synonyms.tsv``, made by ``tools/build_synonyms.py``), and the overlap of two words is the
  sum of the lesser shares;
* **translation**: the same word in another language;
* **embedding**: cosine of text embeddings, as a second opinion on the last two, and alone never
  more than a suggestion.

Two names of different kinds (a park, to park) are linked by the curated table only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anytag.labels.labelset import fold_name
from anytag.labels.lexicon import Lexicon
from anytag.labels.synonym_tables import Curated, Senses, pair_of
from anytag.labels.words import KEEP_PLURAL

Vectors = NDArray[np.float32]

#: overlap of senses from which WordNet merges: with a cosine of ``MIN_COSINE``, without any cosine
MIN_OVERLAP, MIN_OVERLAP_ALONE = 0.5, 0.7
MIN_COSINE = 0.6
#: from here on it is shown as a suggestion
_SUGGEST_OVERLAP, _SUGGEST_COSINE = 0.3, 0.9
#: below it, no overlap is worth a look ("super" and "crack")
_LEAST_COSINE = 0.1
#: a name and the same with one word more ("koala", "koala bear") merge from here on
_NARROWER_OVERLAP = 0.95
#: what a shared translation needs besides: an overlap, or a cosine
_TRANSLATION_OVERLAP, _TRANSLATION_COSINE = 0.15, 0.84
_POS_OF_KIND = {"object": "n", "scene": "n", "action": "v", "attribute": "a"}
_RANK = {"curated": 0, "spelling": 1, "inflection": 2, "list": 3, "wordnet": 4, "translation": 5}


class Link(NamedTuple):
    """That two names are, or may be, one tag."""

    first: str
    second: str
    #: a word of the list above
    why: str
    #: in [0, 1]; what it is depends on ``why``
    score: float
    #: evidence in words
    detail: str
    #: merge, or only suggest
    applies: bool = True

    @property
    def order(self) -> tuple[int, float, str, str]:
        """Strongest first."""
        return (_RANK.get(self.why, 9), -self.score, self.first, self.second)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What is known of the names to be linked."""

    #: name -> kind
    kinds: Mapping[str, str]
    #: names that are said with several kinds ("dress"): no meaning is taken for granted
    mixed: frozenset[str] = frozenset()
    #: language -> name -> translation
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: groups of names of one category, with the name of the list
    listed: Sequence[tuple[str, tuple[str, ...]]] = ()
    #: unit vectors [number of names, E] in the order of ``kinds``
    vectors: Vectors | None = None


def find_links(names: Names, *, senses: Senses, curated: Curated, lexicon: Lexicon) -> list[Link]:
    """All evidence about these names, the strongest first; nothing that is vetoed."""
    cosine = _Cosine(names)
    found = [
        Link(*pair, "curated", 1.0, why)
        for pair, why in curated.adds.items()
        if pair[0] in names.kinds and pair[1] in names.kinds
    ]
    found += _same_spelling(names.kinds)
    found += _inflected(names.kinds, lexicon)
    found += _same_category(names)
    found += _same_sense(names, senses, cosine)
    found += _same_translation(names, senses, cosine)
    found += cosine.neighbours()
    allowed = (link for link in found if (link.first, link.second) not in curated.vetoes)
    checked = (
        link if link.why == "curated" else _with_kinds(link, names.kinds) for link in allowed
    )
    return sorted(filter(None, checked), key=lambda link: link.order)


def _with_kinds(link: Link, kinds: Mapping[str, str]) -> Link | None:
    """A link between an object and a scene is a suggestion; between other kinds it is none."""
    first, second = kinds[link.first], kinds[link.second]
    if first == second:
        return link
    if _POS_OF_KIND[first] != _POS_OF_KIND[second]:
        return None
    return link._replace(applies=False, detail=f"{link.detail}; kinds {first} and {second}")


def _same_spelling(names: Iterable[str]) -> Iterator[Link]:
    of_key: dict[str, list[str]] = {}
    for name in names:
        of_key.setdefault(spelling_key(name), []).append(name)
    for key, same in of_key.items():
        for first, second in combinations(sorted(same), 2):
            yield Link(first, second, "spelling", 1.0, f"both are spelled {key}")


_BRITISH = [
    (re.compile(pattern), american)
    for pattern, american in (
        (r"(?<=[a-z]{3})ours?\b", "or"),
        (r"(?<=[a-z]{2})tre\b", "ter"),
        (r"ise(?=d?\b)", "ize"),
        (r"isation\b", "ization"),
        (r"ogue\b", "og"),
        (r"\bgrey", "gray"),
        (r"ae(?=[dns])", "e"),
        (r"(?<=[ae])ll(?=ed\b|ing\b|er\b)", "l"),
        (r"(?<=l)our(?=ed\b|ful\b)", "or"),
        (r"\bmoustache", "mustache"),
        (r"\bpyjama", "pajama"),
        (r"\btyre\b", "tire"),
    )
]


def spelling_key(name: str) -> str:
    """What spellings of one name have in common.

    >>> spelling_key("Jack-o'-lantern"), spelling_key("grey"), spelling_key("theatre")
    ('jackolantern', 'gray', 'theater')
    """
    marks = unicodedata.normalize("NFKD", fold_name(name))
    key = "".join(char for char in marks if not unicodedata.combining(char))
    for pattern, american in _BRITISH:
        key = pattern.sub(american, key)
    return re.sub(r"[\s\-'’.]", "", key) or name


def _inflected(kinds: Mapping[str, str], lexicon: Lexicon) -> Iterator[Link]:
    for name, kind in kinds.items():
        *front, last = name.split(" ")
        for base in _bases(last, kind, lexicon) if kind != "action" or not front else ():
            other = " ".join([*front, base])
            if other != name and other in kinds:
                what = "a form" if kind == "action" else "the plural"
                yield Link(*pair_of(name, other), "inflection", 1.0, f"{name} is {what} of {other}")
                break


def _bases(word: str, kind: str, lexicon: Lexicon) -> Iterator[str]:
    found = lexicon.analyse(word)
    if kind == "action" and word.endswith("ing") and found.verb:
        yield found.verb.lemma
    if kind not in ("object", "scene") or word in KEEP_PLURAL:
        return
    if found.noun and found.noun.number == "p":
        yield found.noun.lemma
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        yield word[:-1]  # "bikers", of which the lexicon knows nothing


def _same_category(names: Names) -> Iterator[Link]:
    for source, same in names.listed:
        known = sorted({name for name in same if name in names.kinds})
        for first, second in combinations(known, 2):
            yield Link(first, second, "list", 1.0, f"one category of {source}")


def _same_sense(names: Names, senses: Senses, cosine: _Cosine) -> Iterator[Link]:
    for pos in "nva":
        words = [name for name, kind in names.kinds.items() if _POS_OF_KIND[kind] == pos]
        for first, second in senses.pairs(words, pos):
            overlap = senses.overlap(first, second, pos)
            near = cosine(first, second)
            if overlap < _SUGGEST_OVERLAP or (near is not None and near < _LEAST_COSINE):
                continue
            is_safe = overlap >= (MIN_OVERLAP_ALONE if near is None else MIN_OVERLAP)
            applies = (
                is_safe
                and (near is None or near >= MIN_COSINE)
                and not names.mixed & {first, second}
                and (not _is_narrower(first, second) or overlap >= _NARROWER_OVERLAP)
            )
            detail = f"senses overlap {overlap:.2f}" + _said(near)
            yield Link(first, second, "wordnet", round(overlap, 2), detail, applies)


def _is_narrower(first: str, second: str) -> bool:
    """Whether one name is the other with more words: "glove" and "baseball glove"."""
    one, other = first.split(" "), second.split(" ")
    short, long = sorted((one, other), key=len)
    return len(short) < len(long) and short in (long[-len(short) :], long[: len(short)])


def _same_translation(names: Names, senses: Senses, cosine: _Cosine) -> Iterator[Link]:
    for language, words in sorted(names.translations.items()):
        of_word: dict[str, list[str]] = {}
        for name, word in words.items():
            if name in names.kinds and word.strip():
                of_word.setdefault(fold_name(word), []).append(name)
        for word, same in of_word.items():
            for first, second in combinations(sorted(same), 2):
                pos = _POS_OF_KIND[names.kinds[first]]
                overlap, near = senses.overlap(first, second, pos), cosine(first, second)
                applies = (
                    (overlap >= _TRANSLATION_OVERLAP or (near or 0.0) >= _TRANSLATION_COSINE)
                    and not names.mixed & {first, second}
                    and not _is_narrower(first, second)
                )
                detail = f"both are {word} ({language}), senses overlap {overlap:.2f}" + _said(near)
                yield Link(first, second, "translation", round(near or overlap, 2), detail, applies)


def _said(near: float | None) -> str:
    return "" if near is None else f", cosine {near:.2f}"


class _Cosine:
    """Cosines of embeddings; None where there are none."""

    def __init__(self, names: Names) -> None:
        self._kinds, self._vectors = names.kinds, names.vectors
        self._rows = {name: row for row, name in enumerate(names.kinds)}
        if self._vectors is not None and len(self._vectors) != len(self._rows):
            raise ValueError(f"{len(self._vectors)} vectors for {len(self._rows)} names")

    def __call__(self, first: str, second: str) -> float | None:
        if self._vectors is None:
            return None
        one, other = self._vectors[self._rows[first]], self._vectors[self._rows[second]]
        return round(float(np.sum(one.astype(np.float64) * other)), 3)

    def neighbours(self) -> Iterator[Link]:
        """The nearest other name of each name, where it is near; suggestions only."""
        if self._vectors is None:
            return
        names, block = list(self._rows), 1024
        for start in range(0, len(names), block):
            cosines = self._vectors[start : start + block] @ self._vectors.T
            own = np.arange(len(cosines))
            cosines[own, own + start] = -1.0
            for row in np.flatnonzero(cosines.max(axis=1) >= _SUGGEST_COSINE):
                first = names[start + int(row)]
                second = names[int(cosines[row].argmax())]
                if first.split(" ")[-1] == second.split(" ")[-1] or _is_narrower(first, second):
                    continue  # sorts of one thing are near one another
                near = self(first, second) or 0.0
                yield Link(*pair_of(first, second), "embedding", near, f"cosine {near:.2f}", False)
