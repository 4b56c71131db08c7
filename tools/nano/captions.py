"""Caption -> tags by longest match: enough to make nano's training labels from captions.

The library has a real parser (``anytag.labels``); this one knows names, synonyms, regular and
some irregular inflections, and the scope of "no", "without" and "not".

    >>> tags = [{"name": "dog", "kind": "object"}, {"name": "running", "kind": "action"}]
    >>> sorted(caption_tags("Two dogs ran without a leash.", tags))
    ['dog', 'running']
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

NEGATIONS = {"no", "without", "not", "isn't", "aren't", "nobody", "never"}
#: words after which a negation no longer holds
STOPS = {",", ".", ";", "!", "?", "and", "but", "while", "with", "on", "in", "at", "near"}
IRREGULAR_NOUNS = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot",
    "teeth": "tooth", "mice": "mouse", "geese": "goose", "leaves": "leaf", "knives": "knife",
    "wolves": "wolf", "shelves": "shelf", "loaves": "loaf", "calves": "calf", "scarves": "scarf",
    "oxen": "ox", "policemen": "policeman", "firemen": "fireman", "buses": "bus",
}  # fmt: skip
IRREGULAR_VERBS = {
    "ran": "run", "sat": "sit", "stood": "stand", "rode": "ride", "ridden": "ride", "swam": "swim",
    "ate": "eat", "eaten": "eat", "held": "hold", "threw": "throw", "thrown": "throw",
    "caught": "catch", "flew": "fly", "drove": "drive", "fought": "fight", "sang": "sing",
    "slept": "sleep", "lay": "lie", "lies": "lie", "lain": "lie", "leapt": "leap", "spoke": "speak",
    "dug": "dig", "wrote": "write", "drank": "drink", "hung": "hang", "lying": "lie",
}  # fmt: skip


def singular(word: str) -> str:
    """The singular of a regular or listed plural; other words as they are.

    >>> [singular(word) for word in ("dogs", "buses", "berries", "glass", "women", "beaches")]
    ['dog', 'bus', 'berry', 'glass', 'woman', 'beach']
    """
    head, space, last = word.rpartition(" ")
    if last in IRREGULAR_NOUNS:
        last = IRREGULAR_NOUNS[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif re.search(r"(s|x|z|ch|sh)es$", last):
        last = last[:-2]
    elif last.endswith("s") and len(last) > 3 and not re.search(r"(ss|us|is)$", last):
        last = last[:-1]
    return head + space + last


def verb_forms(gerund: str) -> set[str]:
    """Inflected forms of the verb whose -ing form is given.

    >>> {"run", "runs", "ran", "running"} <= verb_forms("running")
    True
    """
    stem = gerund.removesuffix("ing")
    bases = {stem, stem + "e"}
    if len(stem) > 2 and stem[-1] == stem[-2]:
        bases.add(stem[:-1])
    forms = {gerund}
    for base in bases:
        forms |= {base, base + "s", base.removesuffix("e") + "ed", stem + "ed"}
        if re.search(r"(s|x|z|ch|sh)$", base):
            forms.add(base + "es")
        if base.endswith("y"):
            forms |= {base[:-1] + "ies", base[:-1] + "ied"}
        forms |= {form for form, verb in IRREGULAR_VERBS.items() if verb == base}
    return forms


def tokens(caption: str) -> list[str]:
    """Lower-case words and punctuation."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*|[,.;!?]", caption.lower().replace("’", "'"))


def phrase_index(tags: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], str]:
    """Word sequences -> tag name. Names win over synonyms, both over inflections."""
    index: dict[tuple[str, ...], str] = {}
    for tag in tags:
        index.setdefault(tuple(tokens(tag["name"])), tag["name"])
    for tag in tags:
        for word in tag.get("synonyms", ()):
            index.setdefault(tuple(tokens(word)), tag["name"])
    for tag in tags:
        if tag.get("kind") == "action":
            for word in (tag["name"], *tag.get("synonyms", ())):
                if word.endswith("ing") and " " not in word:
                    for form in verb_forms(word):
                        index.setdefault((form,), tag["name"])
    index.pop((), None)
    return index


@lru_cache(maxsize=4)
def _index_of(key: int, tags: _Tags) -> tuple[dict[tuple[str, ...], str], int]:
    index = phrase_index(tags.rows)
    return index, max(map(len, index), default=0)


class _Tags:
    """Tag rows that can be a cache key: by identity."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows = rows

    def __hash__(self) -> int:
        return id(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tags) and other.rows is self.rows


def caption_tags(caption: str, tags: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names of the tags that ``caption`` mentions, without their parents.

    Args:
        caption: one sentence or several
        tags: rows of ``tags.json`` ("name", "synonyms", "kind"); pass the same list object again,
            its index is kept
    """
    index, longest = _index_of(len(tags), _Tags(tags))
    words = tokens(caption)
    found: set[str] = set()
    position, negated = 0, False
    while position < len(words):
        word = words[position]
        negated = word in NEGATIONS or (negated and word not in STOPS)
        for length in range(min(longest, len(words) - position), 0, -1):
            span = tuple(words[position : position + length])
            one = (*span[:-1], singular(span[-1]))
            name = index.get(span) or index.get(one)
            if name is not None:
                if not negated:
                    found.add(name)
                position += length
                break
        else:
            position += 1
    return found
