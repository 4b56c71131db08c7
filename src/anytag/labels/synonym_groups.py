"""Links to groups: which names share a label, without chains.

A chain ("shop" with "store", "store" with "depot", "depot" with "terminal") is how synonym merging
goes wrong. So a name joins a group only if it is linked with **every** name in it (complete
linkage). What is the same by itself (curated, other spelling, inflection) is joined first and then
counts as one name: "tv" takes part with the links of "television".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import product

from anytag.labels.synonyms import Link

#: links that say that two strings are one name
_IDENTITY = frozenset(["curated", "spelling", "inflection"])


class Groups:
    """A partition of names.

    Args:
        names: all of them
        apart: pairs in alphabetical order that must not be in one group
        anchors: name -> label of an earlier system: names of one label are in one group from the
            start, and names of two labels never are
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        apart: Collection[tuple[str, str]] = (),
        anchors: Mapping[str, str] | None = None,
    ) -> None:
        self._group = {name: frozenset([name]) for name in names}
        #: group -> its parts, each of names that are the same by themselves
        self._parts = {group: [group] for group in self._group.values()}
        self._apart: dict[str, set[str]] = {}
        for first, second in apart:
            self._apart.setdefault(first, set()).add(second)
            self._apart.setdefault(second, set()).add(first)
        self._anchors: dict[frozenset[str], str] = {}
        for label, same in sorted(_by_label(anchors or {}, self._group).items()):
            self._join_fixed(same)
            self._anchors[self._group[same[0]]] = label

    def __getitem__(self, name: str) -> frozenset[str]:
        return self._group[name]

    def all(self) -> list[frozenset[str]]:
        """The groups, in the order of their alphabetically first names."""
        return sorted(set(self._group.values()), key=min)

    def apply(self, links: Iterable[Link]) -> list[Link]:
        """Join by links, the strongest first.

        Returns:
            those that joined two groups, in order of application
        """
        ordered = sorted((link for link in links if link.applies), key=lambda link: link.order)
        linked = {(link.first, link.second) for link in ordered}
        used = []
        for link in ordered:
            one, other = self._group[link.first], self._group[link.second]
            if one is other or self._is_apart(one, other):
                continue
            if link.why in _IDENTITY:
                self._join(one, other, as_one=True)
            elif self._is_complete(one, other, linked):
                self._join(one, other, as_one=False)
            else:
                continue
            used.append(link)
        return used

    def are_apart(self, first: str, second: str) -> bool:
        """Whether the groups of two names must not be joined."""
        return self._is_apart(self._group[first], self._group[second])

    def _is_apart(self, one: frozenset[str], other: frozenset[str]) -> bool:
        anchors = {self._anchors[group] for group in (one, other) if group in self._anchors}
        return len(anchors) > 1 or any(
            not other.isdisjoint(self._apart.get(name, ())) for name in one
        )

    def _is_complete(
        self, one: frozenset[str], other: frozenset[str], linked: set[tuple[str, str]]
    ) -> bool:
        return all(
            any((min(pair), max(pair)) in linked for pair in product(mine, theirs))
            for mine, theirs in product(self._parts[one], self._parts[other])
        )

    def _join(self, one: frozenset[str], other: frozenset[str], *, as_one: bool) -> None:
        joined = one | other
        parts = self._parts.pop(one) + self._parts.pop(other)
        self._parts[joined] = [joined] if as_one else parts
        anchor = self._anchors.pop(one, None) or self._anchors.pop(other, None)
        if anchor is not None:
            self._anchors[joined] = anchor
        for name in joined:
            self._group[name] = joined

    def _join_fixed(self, names: list[str]) -> None:
        for name in names[1:]:
            one, other = self._group[names[0]], self._group[name]
            if one is not other:
                self._join(one, other, as_one=True)


def _by_label(anchors: Mapping[str, str], names: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, label in sorted(anchors.items()):
        if name in names:
            found.setdefault(label, []).append(name)
    return found
