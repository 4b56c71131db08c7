"""A label set: the tags a model knows, keyed by id.

Everything is keyed by id, never by a name or a translation: 4,585 English names of RAM have only
4,466 distinct Chinese ones. ``_`` and space are the same in names, upper and lower case too.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from anytag.errors import LabelError

KINDS = ("object", "scene", "action", "attribute")


def fold_name(name: str) -> str:
    """The key under which names are compared.

    >>> fold_name(" Hot_Air  Balloon ")
    'hot air balloon'
    """
    return " ".join(name.replace("_", " ").split()).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One tag of a label set."""

    #: position in the label set and in the score vector
    id: int
    name: str
    synonyms: tuple[str, ...] = ()
    #: score in (0, 1] from which the tag counts as present; 1.0 can never fire
    threshold: float = 0.5
    #: language code -> name
    translations: Mapping[str, str] = field(default_factory=dict)
    #: one of `KINDS`, or None where unknown (tags given by a user)
    kind: str | None = None
    #: more general tags by name, nearest first; they need not be in the label set
    parents: tuple[str, ...] = ()
    #: scored, but not given as a tag unless it is asked for by name (Tag2Text mutes "two")
    muted: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise LabelError(f"label {self.id} has an empty name")
        if not 0.0 <= self.threshold <= 1.0:
            raise LabelError(
                f"label {self.id} ({self.name!r}): threshold {self.threshold} is outside [0, 1]"
            )
        if self.kind is not None and self.kind not in KINDS:
            raise LabelError(
                f"label {self.id} ({self.name!r}): kind {self.kind!r} is none of {', '.join(KINDS)}"
            )
        object.__setattr__(self, "translations", MappingProxyType(dict(self.translations)))

    def __reduce__(self) -> tuple[Any, ...]:
        # a read-only mapping cannot be pickled, and spawned processes get what is pickled
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return _label, ({**values, "translations": dict(self.translations)},)

    def display_name(self, language: str | None = None) -> str:
        """The name in ``language``; the English one where there is no translation."""
        return self.translations.get(language, self.name) if language else self.name


def _label(values: dict[str, Any]) -> Label:
    return Label(**values)


class LabelSet(Sequence[Label]):
    """Labels in id order, found by id or by name.

    Args:
        labels: with ids 0, 1, 2, ... in order
        repeated_names: a name may occur again and is then found at its first place. Released
            lists need it: 116 of Tag2Text's 3,429 names do, as noun and as verb or in capitals.

    Raises:
        LabelError: ids have gaps, or a name occurs twice and must not
    """

    def __init__(self, labels: Iterable[Label], *, repeated_names: bool = False) -> None:
        self._labels = tuple(labels)
        self._repeated_names = repeated_names
        self._by_name: dict[str, int] = {}
        for position, label in enumerate(self._labels):
            if label.id != position:
                raise LabelError(
                    f"label {label.name!r} has id {label.id}, expected {position}: "
                    "ids must be 0, 1, 2, ... in order"
                )
            other = self._by_name.setdefault(fold_name(label.name), position)
            if other != position and not repeated_names:
                raise LabelError(
                    f"the name {label.name!r} occurs twice (ids {other} and {position})"
                )
        # A synonym never hides a real name, and the first label that claims it keeps it.
        for label in self._labels:
            for synonym in label.synonyms:
                self._by_name.setdefault(fold_name(synonym), label.id)

    @classmethod
    def from_names(cls, names: Iterable[str], threshold: float = 0.5) -> LabelSet:
        """A label set of plain names, all with one threshold."""
        return cls(
            Label(id=position, name=name, threshold=threshold)
            for position, name in enumerate(names)
        )

    def __getitem__(self, index: Any) -> Any:  # Any: int -> Label, slice -> tuple of them
        return self._labels[index]

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSet) and self._labels == other._labels

    def __hash__(self) -> int:
        return hash(tuple(label.name for label in self._labels))

    def __repr__(self) -> str:
        return f"LabelSet({len(self)} labels)"

    @property
    def names(self) -> list[str]:
        """English names in id order."""
        return [label.name for label in self._labels]

    def find(self, name: str) -> Label | None:
        """The label of this name or synonym, or None."""
        position = self._by_name.get(fold_name(name))
        return None if position is None else self._labels[position]

    def find_all(self, name: str) -> list[Label]:
        """All labels of this name, or the one of which it is a synonym."""
        first = self.find(name)
        if first is None or not self._repeated_names:
            return [] if first is None else [first]
        key = fold_name(first.name)
        return [label for label in self._labels[first.id :] if fold_name(label.name) == key]

    def with_thresholds(self, thresholds: Mapping[str, float]) -> LabelSet:
        """A copy in which the named labels have other thresholds.

        Raises:
            LabelError: a name is not in the label set
        """
        changed: dict[int, float] = {}
        for name, threshold in thresholds.items():
            found = self.find_all(name)
            if not found:
                raise LabelError(f"no tag named {name!r} in this label set of {len(self)}")
            changed |= {label.id: threshold for label in found}
        return self.with_threshold_list([changed.get(label.id, label.threshold) for label in self])

    def with_threshold_list(self, thresholds: Sequence[float]) -> LabelSet:
        """A copy with these thresholds, in id order.

        Raises:
            LabelError: not as many as labels, or one is outside [0, 1]
        """
        if len(thresholds) != len(self):
            raise LabelError(f"{len(thresholds)} thresholds for {len(self)} tags")
        pairs = zip(self, thresholds, strict=True)
        changed = (replace(label, threshold=threshold) for label, threshold in pairs)
        return LabelSet(changed, repeated_names=self._repeated_names)

    def to_json(self) -> str:
        """The text of ``labels.json``."""
        rows = []
        for label in self._labels:
            row: dict[str, Any] = {"id": label.id, "name": label.name}
            row["synonyms"] = list(label.synonyms)
            row["threshold"] = label.threshold
            row["translations"] = dict(label.translations)
            row["kind"] = label.kind
            row["parents"] = list(label.parents)
            if label.muted:
                row["muted"] = True
            rows.append(json.dumps(row, ensure_ascii=False))
        return "[\n" + ",\n".join(rows) + "\n]\n"

    @classmethod
    def load(cls, path: Path, *, repeated_names: bool = False) -> LabelSet:
        """Read ``labels.json``.

        Args:
            path: the file
            repeated_names: see `LabelSet`

        Raises:
            LabelError: the file is missing, is no such JSON, or has an unknown key
        """
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise LabelError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise LabelError(f"{path}: not valid JSON ({error})") from error
        if not isinstance(rows, list):
            raise LabelError(f"{path}: expected a list of labels, found {type(rows).__name__}")
        labels = (_label_from_row(path, position, row) for position, row in enumerate(rows))
        return cls(labels, repeated_names=repeated_names)


_FIELDS = {"id", "name", "synonyms", "threshold", "translations", "kind", "parents", "muted"}


def _label_from_row(path: Path, position: int, row: Any) -> Label:
    if not isinstance(row, dict) or "name" not in row:
        raise LabelError(f"{path}: entry {position} is not an object with a 'name'")
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise LabelError(f"{path}: entry {position} has the unknown key {unknown[0]!r}")
    values = dict(row)
    values.setdefault("id", position)
    for key in ("synonyms", "parents"):
        values[key] = tuple(values.get(key) or ())
    values["translations"] = values.get("translations") or {}
    try:
        return Label(**values)
    except (TypeError, LabelError) as error:
        raise LabelError(f"{path}: entry {position}: {error}") from error


def read_tag_list(path: Path) -> list[str]:
    """Tag names from a text file: one a line; blank lines and ``#`` comments are skipped.

    Names that are equal but for case, ``_`` or spaces are given once, at their first place.

    Raises:
        LabelError: the file cannot be read, is not UTF-8 text, or names no tag
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: not UTF-8 text; save the tag list as UTF-8") from error
    names: dict[str, str] = {}
    for line in text.splitlines():
        name = " ".join(line.replace("_", " ").split())
        if name and not name.startswith("#"):
            names.setdefault(fold_name(name), name)
    if not names:
        raise LabelError(f"{path}: holds no tag names; write one a line")
    return list(names.values())


def read_thresholds(path: Path, labels: LabelSet) -> LabelSet:
    """Apply a threshold file: one number a line in id order, or ``tag,threshold`` CSV.

    Raises:
        LabelError: the file cannot be read, has a wrong count, or names an unknown tag
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path}: cannot be read as text ({error})") from error
    rows = list(csv.reader(lines))
    if rows and all(len(row) == 1 for row in rows):
        if len(rows) != len(labels):
            raise LabelError(
                f"{path}: {len(rows)} thresholds for {len(labels)} tags; expected one a line"
            )
    else:
        if rows and [cell.strip() for cell in rows[0]] == ["tag", "threshold"]:
            rows = rows[1:]
        if any(len(row) != 2 for row in rows):
            raise LabelError(f"{path}: expected 'tag,threshold' on every line")
    try:
        if rows and len(rows[0]) == 1:
            return labels.with_threshold_list([float(row[0]) for row in rows])
        return labels.with_thresholds({name: float(value) for name, value in rows})
    except (ValueError, LabelError) as error:
        raise LabelError(f"{path}: {error}") from error
