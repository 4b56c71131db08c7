"""Tags of the hand-written lists and how they hang together. Format: see everyday.txt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


def fold(name: str) -> str:
    """The key under which names are compared; as ``anytag.labels.labelset.fold_name``."""
    return " ".join(name.replace("_", " ").split()).casefold()


@dataclass
class Tag:
    """One tag as the lists define it."""

    name: str
    kind: str
    synonyms: list[str] = field(default_factory=list)
    #: direct parents
    parents: list[str] = field(default_factory=list)
    #: WordNet words ("seal#9") whose descendants get the tag
    anchors: list[str] = field(default_factory=list)


def content_lines(path: Path) -> list[str]:
    """Lines without comments and blank lines."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def split(text: str, separator: str) -> list[str]:
    """Parts without surrounding space; empty parts are dropped."""
    return [part.strip() for part in text.split(separator) if part.strip()]


def read_tags(path: Path) -> list[Tag]:
    """Read a list in the format that everyday.txt explains."""
    tags, kind = [], "object"
    for line in content_lines(path):
        if line.startswith("["):
            kind = line.strip("[]")
            continue
        line, _, anchors = line.partition("|")
        names, _, parents = line.partition("<")
        name, *synonyms = split(names, ";")
        tags.append(Tag(name, kind, synonyms, split(parents, ","), split(anchors, ",") or [name]))
    return tags


class TagTree:
    """All tags by name; parents with their parents."""

    def __init__(self, tags: Iterable[Tag]) -> None:
        self.tags: dict[str, Tag] = {}
        for tag in tags:
            self.add(tag)

    def add(self, tag: Tag) -> Tag:
        """Add a tag, or merge it into the one of the same name."""
        known = self.tags.setdefault(fold(tag.name), tag)
        if known is not tag:
            known.synonyms += [word for word in tag.synonyms if word not in known.synonyms]
            known.parents += [name for name in tag.parents if name not in known.parents]
        return known

    def closure(self, names: Iterable[str]) -> list[str]:
        """``names`` and all that is above them, the nearest first."""
        found: dict[str, None] = {}
        level = list(names)
        while level:
            found.update(dict.fromkeys(name for name in level if name not in found))
            level = [
                up for name in level for up in self.tags[fold(name)].parents if up not in found
            ]
        return list(found)

    def check(self) -> None:
        """Every parent exists; nothing is above itself."""
        for tag in self.tags.values():
            unknown = [name for name in tag.parents if fold(name) not in self.tags]
            if unknown:
                raise SystemExit(f"tag {tag.name!r} has the unknown parents {unknown}")
            tag.parents = [name for name in dict.fromkeys(tag.parents) if name != tag.name]
        for tag in self.tags.values():
            if tag.name in self.closure(tag.parents):
                raise SystemExit(f"tag {tag.name!r} is its own ancestor")

    def synonyms(self) -> dict[str, list[str]]:
        """Synonyms by tag name without those that are a tag's name or claimed by two tags."""
        claims: dict[str, set[str]] = {}
        for tag in self.tags.values():
            for word in tag.synonyms:
                claims.setdefault(fold(word), set()).add(tag.name)
        return {
            tag.name: [
                word
                for word in {fold(word): word for word in tag.synonyms}.values()
                if fold(word) not in self.tags and len(claims[fold(word)]) == 1
            ]
            for tag in self.tags.values()
        }

    def rows(self, tags: Iterable[Tag]) -> list[dict[str, object]]:
        """Entries of ``labels.json``."""
        synonyms = self.synonyms()
        return [
            {
                "id": position,
                "name": tag.name,
                "synonyms": synonyms[tag.name],
                "kind": tag.kind,
                "parents": self.closure(tag.parents),
            }
            for position, tag in enumerate(tags)
        ]
