"""What anytag writes into XMP for the tags of an image, and what it remembers of that."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from anytag.inference.results import Tag

Values = dict[str, tuple[str, ...]]  #: property, as in `PROPERTIES` -> keywords

OURS = "http://ns.anytag.org/1.0/"
NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "anytag": OURS,
}
#: what we fill: name for people -> full name, as nodes have it
PROPERTIES = {
    name: NAMESPACES[name.split(":")[0]] + name.split(":")[1]
    for name in ("dc:subject", "lr:hierarchicalSubject", "digiKam:TagsList")
}
#: scores differ by this much between devices and batch sizes: no reason to rewrite a file
_SCORE_NOISE = 0.005


def keyword(name: str) -> str:
    """A tag name as photo software can hold it: one line, without separators of any program.

    >>> keyword("black/white, film")
    'black white film'
    """
    return _one_line(re.sub(r"[,;|/\\]", " ", unicodedata.normalize("NFC", name)))


def _one_line(text: str) -> str:
    """Without control characters and what else XML cannot hold."""
    bad = {"Cc", "Cs", "Zl", "Zp"}
    return " ".join(
        "".join(
            " " if c in "\ufffe\uffff" or unicodedata.category(c) in bad else c for c in text
        ).split()
    )


def key_of(value: str) -> str:
    """Keywords with the same key count as one: "Dog" of the user spares our "dog"."""
    return unicodedata.normalize("NFC", value).casefold()


def nothing() -> Values:
    return dict.fromkeys(PROPERTIES, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Our own properties: what we wrote, from what, and what of it the user did not want."""

    model: str = ""
    source: str = ""
    #: we made the file
    created: bool = False
    #: name -> (score, threshold, id)
    tags: dict[str, tuple[float, float, str]] = field(default_factory=dict)
    wrote: Values = field(default_factory=nothing)
    declined: Values = field(default_factory=nothing)

    @staticmethod
    def of(tags: Sequence[Tag], *, model: str, source: str) -> Record:
        """What we would like to write for these tags."""
        facts: dict[str, tuple[float, float, str]] = {}
        values: dict[str, dict[str, str]] = {name: {} for name in PROPERTIES}
        seen: set[str] = set()
        for tag in tags:
            leaf = keyword(tag.name)
            if not leaf or key_of(leaf) in seen:
                continue
            seen.add(key_of(leaf))
            facts[leaf] = (round(tag.score, 4), round(tag.threshold, 4), str(tag.id))
            words: dict[str, str] = {}
            for word in (leaf, *map(keyword, tag.parents)):
                if word:
                    words.setdefault(key_of(word), word)
            path = [*words.values()][::-1]  # root first
            levels = (path[::-1], ["|".join(path)], ["/".join(path)])
            for found, entries in zip(values.values(), levels, strict=True):
                for entry in entries:
                    found.setdefault(key_of(entry), entry)
        wrote = {name: tuple(found.values()) for name, found in values.items()}
        return Record(model=_one_line(model), source=source, tags=facts, wrote=wrote)

    def is_empty(self) -> bool:
        return not (self.tags or any(self.declined.values()))

    def says_same(self, other: Record) -> bool:
        """Equal but for the order of values and for noise in the scores."""

        def rough(record: Record) -> Record:
            tags = {name: (0.0, threshold, id) for name, (_, threshold, id) in record.tags.items()}
            wrote, declined = (
                {name: tuple(sorted(found)) for name, found in values.items()}
                for values in (record.wrote, record.declined)
            )
            return replace(record, tags=tags, wrote=wrote, declined=declined)

        return rough(self) == rough(other) and all(
            abs(score - other.tags[name][0]) <= _SCORE_NOISE
            for name, (score, _, _) in self.tags.items()
        )
