"""Make the table of synonym groups from WordNet 3.0 (Debian package ``wordnet-base``).

    python tools/build_synonyms.py /usr/share/wordnet src/anytag/labels/data

Writes ``synonyms.tsv``, one line for each sense that two words or more share:

    part of speech TAB word TAB share TAB word TAB share ...      n  couch 75  sofa 100

The share is how much of a word, of 100, is this sense: its count in the sense-tagged corpus and a
prior by rank, for the counts are few. Of nouns, senses that nobody can see (ideas, feelings,
quantities, ...) weigh a fifth, as the words of captions seldom mean them, and have no line. Words
whose sense has less than 15 of 100 are left out, and so are names of individuals and scientific
names. The licence is
WordNet's, in ``lexicon.LICENSE`` beside the table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from nano.wordnet import Synset, WordNet

from anytag.labels.words import word_set

_WORD = re.compile(r"[a-z0-9.]+(?:['-][a-z0-9.]+)*(?: [a-z0-9.]+(?:['-][a-z0-9.]+)*){0,3}")
_POS_OF_TYPE = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
#: topics of nouns that a photo can show, and what is done in it
_SEEN = word_set(
    "act animal artifact body event food group location object person phenomenon plant shape "
    "substance"
)
_UNSEEN_WEIGHT = 0.2
#: occurrences that the prior is worth, and how much less likely each further sense is
_PRIOR_COUNT, _PRIOR_POWER = 2.0, 1.5
_LEAST_SHARE = 0.15
_LATIN = re.compile(
    r"\b(?:genus|family|order|phylum|class|subfamily|suborder|superfamily|kingdom|division)\b"
)


def sense_counts(folder: Path) -> dict[tuple[str, str, int], int]:
    """(word, part of speech, number of the sense from 1) -> occurrences in the tagged corpus."""
    counts: dict[tuple[str, str, int], int] = {}
    for line in (folder / "cntlist.rev").read_text(encoding="utf-8").splitlines():
        key, number, count = line.split()
        word, _, rest = key.partition("%")
        place = (word.replace("_", " "), _POS_OF_TYPE[rest[0]], int(number))
        counts[place] = counts.get(place, 0) + int(count)
    return counts


def shares(
    word: str, pos: str, wordnet: WordNet, counts: dict[tuple[str, str, int], int]
) -> dict[str, float]:
    """Synset id -> share of the word."""
    senses = wordnet.senses(word, pos)
    priors = [rank**-_PRIOR_POWER for rank in range(1, len(senses) + 1)]
    weights = []
    for rank, (sense, prior) in enumerate(zip(senses, priors, strict=True), start=1):
        weight = counts.get((word, pos, rank), 0) + _PRIOR_COUNT * prior / sum(priors)
        is_seen = pos != "n" or sense.topic in _SEEN
        weights.append(weight * (1.0 if is_seen else _UNSEEN_WEIGHT))
    total = sum(weights)
    return {sense.id: weight / total for sense, weight in zip(senses, weights, strict=True)}


def is_wanted(synset: Synset) -> bool:
    """Whether a sense can be a tag: no individual, no scientific name."""
    if synset.is_instance or len(synset.lemmas) < 2 or synset.id[0] not in "nva":
        return False
    if synset.id[0] == "n" and synset.topic not in _SEEN:
        return False
    return not (synset.topic in ("animal", "plant") and _LATIN.search(synset.lemmas[0]))


def lines(wordnet: WordNet, counts: dict[tuple[str, str, int], int]) -> Iterable[str]:
    """One line for each sense with two words or more."""
    for synset in sorted(wordnet.synsets.values(), key=lambda one: one.id):
        if not is_wanted(synset):
            continue
        found: dict[str, int] = {}
        for lemma in synset.lemmas:
            word, pos = lemma.lower(), synset.id[0]
            if lemma[0].isupper() and synset.topic in ("animal", "plant"):
                continue  # "Canis familiaris"
            if not _WORD.fullmatch(word):
                continue
            share = shares(word, pos, wordnet, counts).get(synset.id, 0.0)
            if share >= _LEAST_SHARE:
                found[word] = round(100 * share)
        if len(found) > 1:
            cells = [cell for word, share in found.items() for cell in (word, str(share))]
            yield "\t".join([synset.id[0], *cells])


def main(source: Path, target: Path) -> None:
    """Write the table."""
    table = [*lines(WordNet.load(source), sense_counts(source))]
    path = target / "synonyms.tsv"
    path.write_text("\n".join(table) + "\n", encoding="utf-8")
    print(f"{len(table)} lines, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
