"""Groups of names to rows of the review table: which name a label has, its id, and why.

The label of a group has the base's name, else the one that the curated table prefers, else the most
frequent one. Ids of the base stay; new labels follow, the most frequent first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from anytag.labels.labelset import LabelSet, fold_name
from anytag.labels.review import apply_table
from anytag.labels.synonym_groups import Groups
from anytag.labels.synonyms import Link, Names
from anytag.labels.table import Row

#: why a base label's row is there though nothing else has it
BASE = "base"


@dataclass(frozen=True, kw_only=True)
class Base:
    """An earlier label system."""

    #: folded name of each label -> id
    ids: Mapping[str, int] = field(default_factory=dict)
    #: folded name -> folded name of its label; labels are there too
    label_of: Mapping[str, str] = field(default_factory=dict)
    #: folded names that a person did not keep
    dropped: Collection[str] = ()
    #: folded name of a label -> kind
    kinds: Mapping[str, str] = field(default_factory=dict)
    num_ids: int = 0

    @classmethod
    def from_labels(cls, labels: LabelSet, rows: Iterable[Row] = ()) -> Base:
        """Of ``labels.json``.

        Args:
            labels: muted ones keep their ids and stay out
            rows: the reviewed table that they come from; what it dropped stays dropped
        """
        active = [label for label in labels if not label.muted]
        label_of = {fold_name(label.name): fold_name(label.name) for label in active}
        for label in active:
            for synonym in label.synonyms:
                label_of.setdefault(fold_name(synonym), fold_name(label.name))
        dropped = {fold_name(label.name) for label in labels if label.muted}
        dropped |= {fold_name(row.name) for row in rows if not row.keep}
        return cls(
            ids={fold_name(label.name): label.id for label in active},
            label_of=label_of,
            dropped=frozenset(dropped - label_of.keys()),
            kinds={fold_name(label.name): label.kind or "" for label in active},
            num_ids=len(labels),
        )

    @classmethod
    def from_rows(cls, rows: Iterable[Row], source: str) -> Base:
        """Of a reviewed table alone: with the ids that it gives when it is applied."""
        rows = list(rows)
        return cls.from_labels(apply_table(rows, source=source).labels, rows)


@dataclass
class KnownName:
    """What is known of one name."""

    count: int = 0
    rank: int | None = None
    kinds: dict[str, int] = field(default_factory=dict)
    lists: list[str] = field(default_factory=list)


class TableRows:
    """Groups of names to rows."""

    def __init__(
        self,
        names: Mapping[str, KnownName],
        known: Names,
        groups: Groups,
        links: Sequence[Link],
        *,
        base: Base,
        translations: Mapping[str, Mapping[str, str]],
        heads: Mapping[str, Collection[str]],
    ) -> None:
        self._names, self._known, self._groups = names, known, groups
        self._base, self._translations, self._heads = base, translations, heads
        self._links_of: dict[str, list[Link]] = {}
        for link in links:
            for name in (link.first, link.second):
                self._links_of.setdefault(name, []).append(link)
        self._label = {group: self._choose(group) for group in groups.all()}

    def _choose(self, group: Collection[str]) -> str:
        """The name that the label has: the base's, the curated table's, the most frequent one."""
        return min(
            group,
            key=lambda name: (
                name not in self._base.ids,
                any(head in group for head in self._heads.get(name, ())),
                -self._names[name].count,
                -len(self._names[name].lists),
                len(name),
                name,
            ),
        )

    def label_of(self, name: str) -> str:
        return self._label[self._groups[name]]

    def kept(self) -> list[Row]:
        """Labels by id, each followed by the names that share it."""
        labels = sorted(self._label.values(), key=lambda name: (-self._names[name].count, name))
        ids = {name: self._base.ids[name] for name in labels if name in self._base.ids}
        new = (name for name in labels if name not in ids)
        ids |= {name: number for number, name in enumerate(new, start=self._base.num_ids)}
        rows = []
        for label in sorted(labels, key=ids.__getitem__):
            others = sorted(
                self._groups[label] - {label}, key=lambda name: (-self._names[name].count, name)
            )
            rows += [self._row(label, ids[label]), *(self._row(one, ids[label]) for one in others)]
        return rows

    def dropped(self, reasons: Mapping[str, str]) -> list[Row]:
        """Names that are not kept, the most frequent first."""
        ordered = sorted(reasons, key=lambda name: (-self._names[name].count, name))
        return [
            self._plain(name, id=self._base.ids.get(name), keep=False, reason=reasons[name])
            for name in ordered
        ]

    def _plain(self, name: str, **values: Any) -> Row:  # Any: fields of Row
        known = self._names[name]
        is_mixed = name in self._known.mixed
        kind = self._known.kinds.get(name) or next(iter(known.kinds), "")
        if name in self._base.kinds:
            kind, is_mixed = self._base.kinds[name], False
        sources = [f"corpus #{known.rank}"] if known.rank else []
        sources += known.lists
        if name in self._base.label_of:
            sources.append(BASE)
        row = Row(
            name=name,
            kind="" if is_mixed else kind,
            count=known.count,
            sources=tuple(sources),
            kinds=", ".join(f"{kind} {num}" for kind, num in known.kinds.items())
            if len(known.kinds) > 1
            else "",
            translations={
                language: words[name]
                for language, words in sorted(self._translations.items())
                if words.get(name)
            },
            **values,
        )
        return replace(row, proposed=row.decision)

    def _row(self, name: str, number: int) -> Row:
        label = self.label_of(name)
        if name == label:
            suggest, why = self._suggestion(name)
            return self._plain(name, id=number, suggest=suggest, suggest_reason=why)
        reason, score = self._reason(name, label)
        return self._plain(name, id=number, merge_into=label, reason=reason, score=score)

    def _reason(self, name: str, label: str) -> tuple[str, float | None]:
        """The strongest evidence for a merge, with the label itself if there is any."""
        if name in self._base.label_of and label in self._base.label_of:
            return f"{BASE}: merged before", None
        group = self._groups[name]
        links = [link for link in self._links_of.get(name, ()) if link.applies]
        direct = [link for link in links if label in (link.first, link.second)]
        others = [link for link in links if group >= {link.first, link.second}]
        link = (direct or others)[0]
        other = link.second if link.first == name else link.first
        through = "" if other == label else f"with {other}, "
        return f"{link.why}: {through}{link.detail}", link.score

    def _suggestion(self, label: str) -> tuple[str, str]:
        """A more frequent label that may be the same, and why."""
        mine = (-self._names[label].count, label)
        found = []
        for name in self._groups[label]:
            for link in self._links_of.get(name, ()):
                other = self.label_of(link.second if link.first == name else link.first)
                theirs = (-self._names[other].count, other)
                if theirs < mine and not self._groups.are_apart(label, other):
                    found.append((link.order, other, f"{link.why}: {link.detail}"))
        return min(found)[1:] if found else ("", "")
