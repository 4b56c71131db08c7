"""How often captions say a tag (RAM, section 3.1): counters of open parsing that can be merged.

A tag counts once a caption, and not where the caption denies it. Beside the tags, an adjective
right before a noun is counted as a pair, of which `compounds` makes names ("double decker bus").

Memory is bounded. Where the table grows over its limit, entries of the lowest counts go, the fewest
that leave it half full; `TagCounts.floor` is the sum of those counts. Hence a count is never too
high, is too low by ``floor`` at most, and a name said more often than ``floor`` is in the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from anytag.errors import LabelError
from anytag.labels.labelset import KINDS
from anytag.labels.parse import ParsedTag

_HEADER = "#anytag counts 1"
#: entries, some 150 bytes each
MAX_ENTRIES = 2_000_000


class Parser(Protocol):
    """`CaptionParser` in open mode, or another one."""

    def parse(self, caption: str) -> list[ParsedTag]:
        """The tags of a caption."""


@dataclass
class TagCounts:
    """Captions by what they say."""

    num_captions: int = 0
    #: (name, kind) -> captions
    names: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: (adjective, noun, kind of the noun) -> captions
    pairs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    #: counts may be too low by as much
    floor: int = 0

    def __len__(self) -> int:
        return len(self.names) + len(self.pairs)

    def add_captions(self, captions: Iterable[str], parser: Parser) -> None:
        """Parse and count."""
        for caption in captions:
            tags = parser.parse(caption)
            self.num_captions += 1
            self.names.update({(tag.name, tag.kind) for tag in tags if not tag.negated})
            self.pairs.update(_pairs(tags))

    def add(self, other: TagCounts, *, limit: int = MAX_ENTRIES) -> None:
        """Add what was counted elsewhere, and prune.

        The result depends on the order of additions only if something is pruned; callers that add
        in the order of the captions get the same with any number of processes.
        """
        self.num_captions += other.num_captions
        self.floor += other.floor
        self.names.update(other.names)
        self.pairs.update(other.pairs)
        if len(self) > limit:
            self._prune(limit // 2)

    def _prune(self, size: int) -> None:
        of_count = Counter(self.names.values())
        of_count.update(self.pairs.values())
        left, least = len(self), 0
        while left > size:
            least = min(count for count in of_count if count > least)
            left -= of_count[least]
        self.names = Counter({key: num for key, num in self.names.items() if num > least})
        self.pairs = Counter({key: num for key, num in self.pairs.items() if num > least})
        self.floor += least

    def to_text(self) -> str:
        """The counts as tab-separated text, sorted; what several machines counted can be added."""
        lines = [f"{_HEADER}\t{self.num_captions}\t{self.floor}"]
        lines += [f"{name}\t{kind}\t{num}" for (name, kind), num in sorted(self.names.items())]
        lines += [
            f"{first}\t{second}\t{kind}\t{num}"
            for (first, second, kind), num in sorted(self.pairs.items())
        ]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_text(cls, text: str, source: str) -> TagCounts:
        """Read `to_text`.

        Raises:
            LabelError: it is no such text
        """
        counts = cls()
        for row, line in enumerate(text.splitlines(), 1):
            *key, last = line.split("\t")
            try:
                if row == 1:
                    counts.num_captions, counts.floor = int(key[1]), int(last)
                    is_wrong = key[0] != _HEADER
                elif is_wrong := len(key) not in (2, 3) or key[-1] not in KINDS:
                    pass
                elif len(key) == 2:
                    counts.names[key[0], key[1]] += int(last)
                else:
                    counts.pairs[key[0], key[1], key[2]] += int(last)
            except (ValueError, IndexError):
                is_wrong = True
            if is_wrong:
                raise LabelError(
                    f"{source}, row {row}: not counts of 'anytag labels build'; found {line!r:.80}"
                )
        return counts


def _pairs(tags: list[ParsedTag]) -> set[tuple[str, str, str]]:
    """Adjectives with the noun that follows after one space or hyphen."""
    return {
        (first.name, second.name, second.kind)
        for first, second in pairwise(tags)
        if first.kind == "attribute"
        and second.kind in ("object", "scene")
        and second.start == first.end + 1
        and not (first.negated or second.negated)
    }


def group_kinds(names: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """(name, kind) -> count, as name -> kind -> count; the most frequent kind first."""
    found: dict[str, dict[str, int]] = {}
    for (name, kind), num in sorted(names.items(), key=lambda item: (-item[1], item[0])):
        found.setdefault(name, {})[kind] = num
    return found
