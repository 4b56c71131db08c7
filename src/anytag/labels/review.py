"""An edited review table to a label set, with what was changed.

Ids of a base stay: a label that is no longer wanted keeps its place, muted, since the rows of a
trained head and of embeddings are found by id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from anytag.errors import LabelError
from anytag.labels.labelset import Label, LabelSet, fold_name
from anytag.labels.table import Row

#: problems that are shown at once
_MAX_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A label set and how it came about."""

    labels: LabelSet
    num_dropped: int
    #: (name, proposed, decided) of rows that a person changed
    edits: tuple[tuple[str, str, str], ...]
    #: ids of the base with a new name: (id, before, after)
    renamed: tuple[tuple[int, str, str], ...] = ()
    #: ids of the base that no name has any longer
    retired: tuple[int, ...] = ()
    #: labels that the base lacks
    num_new: int = 0

    def report(self) -> list[str]:
        """What to tell the user, line by line."""
        names = sum(len(label.synonyms) + 1 for label in self.labels if not label.muted)
        active = sum(not label.muted for label in self.labels)
        lines = [f"{names:,} names in {active:,} labels; {self.num_dropped:,} not kept"]
        if self.edits:
            kinds = Counter(_edit_kind(before, after) for _, before, after in self.edits)
            said = ", ".join(f"{num} {kind}" for kind, num in sorted(kinds.items()))
            lines.append(
                f"{len(self.edits):,} row{'s' * (len(self.edits) > 1)} changed by hand: {said}"
            )
        lines += [f"id {number}: {old!r} is now {new!r}" for number, old, new in self.renamed]
        if self.retired:
            shown = ", ".join(map(str, self.retired[:10])) + (", ..." * (len(self.retired) > 10))
            lines.append(f"{len(self.retired):,} ids of the base are retired (muted): {shown}")
        if self.num_new:
            lines.append(f"{self.num_new:,} new labels")
        return lines


def _edit_kind(before: str, after: str) -> str:
    if after == "drop":
        return "dropped"
    if before == "drop":
        return "kept after all"
    return "made a label of its own" if after == "keep" else "merged"


def apply_table(rows: Sequence[Row], *, source: str, base: LabelSet | None = None) -> Applied:
    """The label set that a table describes.

    Args:
        rows: of `table.read_table`
        source: name of the file, for messages
        base: the label set whose ids must stay

    Raises:
        LabelError: rows contradict one another; names all of them, with what to do
    """
    targets = _targets(rows, source)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.keep:
            groups.setdefault(targets[fold_name(row.name)], []).append(row)
    if not groups:
        raise LabelError(f"{source}: no row is kept; write yes in the column keep")
    labels = [_label(label, members) for label, members in groups.items()]
    edits = tuple(
        (row.name, row.proposed, row.decision)
        for row in rows
        if row.proposed and not _is_same(row.proposed, row.decision)
    )
    num_dropped = sum(not row.keep for row in rows)
    if base is None:
        numbered = [replace(label, id=number) for number, label in enumerate(labels)]
        return Applied(labels=LabelSet(numbered), num_dropped=num_dropped, edits=edits)
    return _on_base(base, labels, rows, num_dropped, edits)


def _is_same(proposed: str, decided: str) -> bool:
    return fold_name(proposed) == fold_name(decided)


def _targets(rows: Sequence[Row], source: str) -> dict[str, str]:
    """Folded name of each kept row -> that of its label; merges are followed to their end."""
    problems: list[str] = []
    found: dict[str, Row] = {}
    for row in rows:
        other = found.setdefault(fold_name(row.name), row)
        if other is not row:
            problems.append(
                f"row {row.line}: {row.name!r} is in row {other.line} too; remove one of the two"
            )
    targets: dict[str, str] = {}
    for name, row in found.items():
        if row.keep:
            label = _follow(row, found, problems)
            targets[name] = label or name
    if problems:
        rest = f"\n  and {len(problems) - _MAX_SHOWN} more" * (len(problems) > _MAX_SHOWN)
        raise LabelError(f"{source}:\n  " + "\n  ".join(problems[:_MAX_SHOWN]) + rest)
    return targets


def _follow(row: Row, rows: Mapping[str, Row], problems: list[str]) -> str | None:
    """The label that a row ends at; None and a problem where there is none."""
    seen, at = [fold_name(row.name)], row
    while at.merge_into:
        target = fold_name(at.merge_into)
        where = f"row {at.line}: {at.name!r} is merged into {at.merge_into!r}"
        if target in seen:
            if at is row or target == seen[0]:
                circle = " -> ".join([*seen, target]) if len(seen) > 1 else "itself"
                problems.append(f"{where}, in a circle ({circle}); clear merge_into in one of them")
            return None
        if target not in rows:
            near = get_close_matches(target, rows, n=1)
            hint = f"; do you mean {rows[near[0]].name!r}?" if near else ""
            if at is row:
                problems.append(f"{where}, which is in no row{hint}")
            return None
        at = rows[target]
        if not at.keep:
            if len(seen) == 1:
                problems.append(
                    f"{where}, which is not kept (row {at.line}); keep it, or merge into another"
                )
            return None
        seen.append(target)
    return seen[-1]


def _label(name: str, members: Sequence[Row]) -> Label:
    own = next(row for row in members if fold_name(row.name) == name)
    translations: dict[str, str] = {}
    for row in (own, *members):
        for language, word in row.translations.items():
            translations.setdefault(language, word)
    return Label(
        id=0,
        name=own.name,
        synonyms=tuple(row.name for row in members if row is not own),
        translations=translations,
        kind=own.kind or None,
    )


def _on_base(
    base: LabelSet,
    labels: Sequence[Label],
    rows: Sequence[Row],
    num_dropped: int,
    edits: tuple[tuple[str, str, str], ...],
) -> Applied:
    places = _places(base, labels, rows)
    taken = {fold_name(name) for label in labels for name in (label.name, *label.synonyms)}
    slots: list[Label] = [_retired(label, taken) for label in base]
    renamed, new = [], []
    for label, place in zip(labels, places, strict=True):
        if place is None:
            new.append(label)
            continue
        before: Label = base[place]
        slots[place] = replace(
            label, id=place, threshold=before.threshold, parents=before.parents,
            translations={**before.translations, **label.translations},
        )  # fmt: skip
        if fold_name(before.name) != fold_name(label.name):
            renamed.append((place, before.name, label.name))
    slots += [replace(label, id=len(base) + number) for number, label in enumerate(new)]
    used = {place for place in places if place is not None}
    return Applied(
        labels=LabelSet(slots),
        num_dropped=num_dropped,
        edits=edits,
        renamed=tuple(sorted(renamed)),
        retired=tuple(label.id for label in base if label.id not in used and not label.muted),
        num_new=len(new),
    )


def _places(base: LabelSet, labels: Sequence[Label], rows: Sequence[Row]) -> list[int | None]:
    """The id that each label has in the base: by name, as a new name of its id, by a synonym."""
    ids = {fold_name(label.name): label.id for label in base}
    of_row = {fold_name(row.name): row.id for row in rows}
    places = [ids.get(fold_name(label.name)) for label in labels]
    used = set(places)
    for number, label in enumerate(labels):
        if places[number] is not None:
            continue
        id_ = of_row[fold_name(label.name)]
        is_rename = id_ is not None and id_ < len(base) and fold_name(base[id_].name) not in of_row
        choices = [id_] if is_rename else []
        choices += [ids.get(fold_name(name)) for name in label.synonyms]
        places[number] = next((one for one in choices if one is not None and one not in used), None)
        used.add(places[number])
    return places


def _retired(label: Label, taken: set[str]) -> Label:
    """The label as one that is never given, under a name that no other has."""
    name = label.name
    if fold_name(name) in taken:
        name = f"{name} (retired {label.id})"
    return replace(label, name=name, synonyms=(), muted=True)
