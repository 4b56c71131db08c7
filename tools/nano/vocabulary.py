"""The words and phrases that nano's text encoder knows, and what is said of each to the teacher.

Sources: MiniLM's own vocabulary (ordered by frequency, Apache-2.0), WordNet 3.0 nouns of things
that can be seen and its common verbs and adjectives, words of captions, and nano's tags.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from wordnet import Synset, WordNet

from anytag.inference.static_text import fold_text, singulars

MAX_WORDS, MAX_LETTERS = 4, 40
#: noun topics (lexicographer files) of single words and of phrases that enter the vocabulary
WORD_TOPICS = frozenset(
    [
        "artifact",
        "food",
        "object",
        "phenomenon",
        "shape",
        "animal",
        "event",
        "person",
        "act",
        "plant",
        "body",
        "substance",
        "location",
        "communication",
        "group",
        "time",
        "state",
    ]
)
PHRASE_TOPICS = frozenset(
    [
        "artifact",
        "food",
        "object",
        "phenomenon",
        "shape",
        "animal",
        "event",
        "person",
        "act",
        "plant",
        "body",
        "location",
    ]
)
#: topics of which rare single words enter too
PICTURE_TOPICS = frozenset(["artifact", "food", "object", "phenomenon", "shape", "animal", "plant"])
#: topics of things: their gloss tells the teacher which sense is meant
THING_TOPICS = frozenset(
    ["artifact", "food", "object", "phenomenon", "animal", "person", "plant", "body"]
)
MIN_CAPTION_COUNT = 3


def vocabulary(
    wordnet: WordNet, minilm_words: Iterable[str], captions: Path, tag_names: Iterable[str]
) -> tuple[list[str], set[str]]:
    """Folded entries, each once, and those among them that must stay: nano's tags."""
    entries: dict[str, None] = {}

    def add(text: str) -> None:
        name = fold_text(text)
        if name and name.count(" ") < MAX_WORDS and len(name) <= MAX_LETTERS:
            entries.setdefault(name)

    for name in tag_names:
        add(name)
        for word in fold_text(name).split():
            add(word)
    required = set(entries)
    for word in minilm_words:
        if word.isascii() and word.isalpha() and len(word) > 1:
            add(word)
    for word, count in caption_words(captions).items():
        if count >= MIN_CAPTION_COUNT:
            add(word)
    for word, pos in wordnet.index:
        if (pos == "n" and _is_visible(word, wordnet)) or (
            pos in "va" and " " not in word and wordnet.counts.get((word, pos), 0)
        ):
            add(word)
    return list(entries), required


def caption_words(path: Path) -> Counter[str]:
    """How often each word stands in a gzip file of captions, one a line."""
    counts: Counter[str] = Counter()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            counts.update(fold_text(line).split())
    return counts


def tag_names(labels: Path) -> list[str]:
    """Names and synonyms in tags.json and candidate_tags.json of build_labels.py."""
    rows = []
    for file in ("tags.json", "candidate_tags.json"):
        rows += json.loads((labels / file).read_text(encoding="utf-8"))
    return [name for row in rows for name in (row["name"], *row["synonyms"])]


def plural_of(name: str, wordnet: WordNet, entries: set[str]) -> str | None:
    """The entry of which ``name`` is a mere plural; None for "glasses" and "jeans"."""
    if (name, "n") in wordnet.exceptions:
        base = wordnet.exceptions[name, "n"]
        return base if base in entries and base != name else None
    if any((name, pos) in wordnet.index for pos in "nva"):
        return None
    bases = (word for word in singulars(name) if word in entries and (word, "n") in wordnet.index)
    return next(bases, None)


def glosses(entries: Iterable[str], wordnet: WordNet, labels: Path) -> dict[str, str]:
    """Entry -> "name, a kind of KIND, KIND: definition" of the sense that a photo would show.

    That is the sense of the ImageNet class whose tag has this name, else the first that is a thing.
    """
    classes = json.loads((labels / "classes.json").read_text(encoding="utf-8"))
    meant = {fold_text(row["tags"][0]): row["synset"] for row in reversed(classes)}
    written: dict[str, str] = {}
    for word, pos in wordnet.index:
        if pos == "n":
            written.setdefault(fold_text(word), word)
    result = {}
    for name in entries:
        senses = [wordnet.synsets[meant[name]]] if name in meant else []
        senses += wordnet.senses(written.get(name, name))
        things = [s for s in senses if s.topic in THING_TOPICS and not s.is_instance]
        if things:
            kinds = [up.lemmas[0] for up in wordnet.ancestors(things[0])[:2]]
            result[name] = f"{name}, a kind of {', '.join(kinds)}: {things[0].definition}"
    return result


def _is_visible(word: str, wordnet: WordNet) -> bool:
    """Whether a noun names a kind of thing rather than an individual, an idea or a taxon."""
    senses = [
        synset
        for synset in wordnet.senses(word)[:3]
        if synset.topic in WORD_TOPICS and not synset.is_instance
    ]
    if not senses:
        return False
    first = senses[0]
    if " " not in word:
        used = first.topic in PICTURE_TOPICS or (word, "n") in wordnet.counts
        return used and not all(_is_capital(word, synset) for synset in senses)
    taxon = first.topic in ("animal", "plant") and _is_capital(word, first)
    scientific = taxon and first.lemmas[0].lower() != word
    rank = word.split()[0] in {"genus", "family", "order", "class", "phylum", "suborder"}
    return any(synset.topic in PHRASE_TOPICS for synset in senses) and not (scientific or rank)


def _is_capital(word: str, synset: Synset) -> bool:
    return any(lemma[0].isupper() for lemma in synset.lemmas if lemma.lower() == word)
