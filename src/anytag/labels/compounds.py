"""Which words in a row are one name: compounds found by association, not by a dictionary.

Half of RAM's tags of several words are in no dictionary. The open parser joins all nouns in a row
("kitchen table lamp") and no adjective ("double decker bus"); here corpus counts decide. The
measure is normalised pointwise mutual information (Bouma 2009): 0 where two parts stand together as
often as chance has it, 1 where neither is seen without the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from anytag.labels.counts import TagCounts, group_kinds

#: nouns in a row are joined from here on, and an adjective with its noun, which is a description
#: far more often than a name ("grassy field" has 0.42, "stuffed animal" 0.67)
MIN_NOUN_NPMI, MIN_ADJECTIVE_NPMI = 0.25, 0.5
_MAX_WORDS = 4


class Compound(NamedTuple):
    """Evidence for a compound."""

    captions: int
    #: the least of all places where it can be cut in two
    npmi: float


class Resolved(NamedTuple):
    """Counts after compounds are settled."""

    #: name -> kind -> captions, the most frequent kind first
    names: dict[str, dict[str, int]]
    compounds: dict[str, Compound]


def npmi(both: float, first: float, second: float, total: float) -> float:
    """Association of two parts in [-1, 1].

    >>> npmi(10, 10, 10, 1000), round(npmi(1, 100, 10, 1000), 3)
    (1.0, 0.0)
    """
    if both >= total:
        return 1.0
    value = math.log(both * total / (first * second)) / -math.log(both / total)
    return max(-1.0, min(1.0, value))


def resolve_compounds(
    counts: TagCounts,
    is_phrase: Callable[[str], bool],
    *,
    min_count: int,
    is_description: Callable[[str], bool] = lambda adjective: False,
    wanted: Collection[str] = (),
) -> Resolved:
    """Settle which runs of words are names; the others count for the names inside them.

    As closed parsing does it, of a run that is no name the longest name at its end counts ("hotel
    room mirror": mirror), and names of several words before it ("hotel room").

    Args:
        counts: of open parsing
        is_phrase: whether a dictionary has these words as one; such need no association
        min_count: captions that a compound must be in
        is_description: adjectives that never join, such as colours
        wanted: names that are compounds whatever their counts
    """
    grams, words = _grams(counts)

    def of(part: str) -> int:
        return grams[part] if " " in part else words[part]

    total = max(counts.num_captions, 1)
    found: dict[str, Compound] = {}
    for gram, num in grams.items():
        is_wanted = gram in wanted
        if num < min_count and not is_wanted:
            continue
        parts = gram.split(" ")
        cuts = ((" ".join(parts[:at]), " ".join(parts[at:])) for at in range(1, len(parts)))
        score = min(npmi(num, of(first), of(second), total) for first, second in cuts)
        if is_wanted or score >= MIN_NOUN_NPMI or is_phrase(gram):
            found[gram] = Compound(num, score)
    settled = _settle(counts, found)
    joining = {
        pair: num
        for pair, num in counts.pairs.items()
        if f"{pair[0]} {pair[1]}" in wanted or (num >= min_count and not is_description(pair[0]))
    }
    _add_adjectives(counts, joining, settled, found, words, wanted)
    return Resolved(group_kinds(+settled), found)


def _grams(counts: TagCounts) -> tuple[Counter[str], Counter[str]]:
    """Captions of each part of a noun run: of several words, of one."""
    grams: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for (name, kind), num in counts.names.items():
        if kind == "attribute":
            continue
        parts = name.split(" ")
        for start, word in enumerate(parts):
            words[word] += num
            for stop in range(start + 2, min(len(parts), start + _MAX_WORDS) + 1):
                grams[" ".join(parts[start:stop])] += num
    return grams, words


def _settle(counts: TagCounts, names: dict[str, Compound]) -> Counter[tuple[str, str]]:
    settled: Counter[tuple[str, str]] = Counter()
    for (name, kind), num in counts.names.items():
        if kind == "attribute":
            settled[name, kind] += num
            continue
        parts = name.split(" ")
        end, is_head = len(parts), True
        while end > 0:
            starts = range(max(0, end - _MAX_WORDS), end - 1)
            start = next((at for at in starts if " ".join(parts[at:end]) in names), end - 1)
            if is_head or end - start > 1:
                settled[" ".join(parts[start:end]), kind if is_head else "object"] += num
            end, is_head = start, False
    return settled


def _add_adjectives(
    counts: TagCounts,
    pairs: Mapping[tuple[str, str, str], int],
    settled: Counter[tuple[str, str]],
    found: dict[str, Compound],
    words: Counter[str],
    wanted: Collection[str],
) -> None:
    """Join adjectives to nouns; what a pair counts, its parts do not."""
    for (adjective, noun, kind), num in sorted(pairs.items()):
        own = settled.get((noun, kind), 0)
        if own < num:
            continue
        total_noun = words[noun] if " " not in noun else own
        total_adjective = counts.names[adjective, "attribute"]
        score = npmi(num, max(total_adjective, num), total_noun, counts.num_captions)
        name = f"{adjective} {noun}"
        if score >= MIN_ADJECTIVE_NPMI or name in wanted:
            found[name] = Compound(num, score)
            settled[name, kind] += num
            settled[noun, kind] -= num
            settled[adjective, "attribute"] -= min(num, settled[adjective, "attribute"])
