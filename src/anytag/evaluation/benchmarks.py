"""The test sets of RAM's papers as data: files, counts, rules, and names of their categories.

    benchmark = find_benchmark("coco-80")
    found = benchmark.read(Path("annotations/instances_val2017.json"))
    benchmark.names_of("cell phone")       # ("cell phone", "mobile phone", "cellphone", ...)

Sources: RAM (arXiv 2306.03514), table 1; RAM++ (arXiv 2310.15200), table 2. The everyday names are
ours. A benchmark's category is asked for by the first of its names that a model knows, and of a
model with an open vocabulary by the first of all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from anytag.config import from_plain
from anytag.errors import AnnotationError, UsageError
from anytag.evaluation.annotation_kinds import read_annotations
from anytag.evaluation.annotations import Annotations
from anytag.files import display_path
from anytag.labels.labelset import LabelSet, fold_name


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A test set."""

    name: str
    title: str
    #: of the annotations, see `annotation_kinds`
    kind: str
    num_classes: int
    num_images: int
    #: category -> everyday tag and other names; categories that are not in it have their own
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: columns of the published tables, and what is special about them
    published: Mapping[str, str] = field(default_factory=dict)
    #: drop classes whose everyday tag is that of a class before them
    one_class_a_tag: bool = False
    #: where the files come from
    files: str = ""
    #: how the files become truth
    rule: str = ""

    def names_of(self, category: str) -> tuple[str, ...]:
        """What a category may be called, the everyday tag first, itself included.

        >>> find_benchmark("coco-133").names_of("wall-brick")
        ('brick wall', 'wall-brick')
        """
        names = self.names.get(fold_name(category), (category,))
        return tuple(dict.fromkeys((*names, category)))

    def read(self, path: Path, tags: Path | None = None) -> Annotations:
        """The set's annotations.

        Raises:
            AnnotationError: they are wrong, or have not the set's classes
        """
        found = read_annotations(path, self.kind, tags=tags)
        if self.one_class_a_tag:
            found = found.take_classes(self.first_of_each_tag(found.classes))
        if len(found.classes) != self.num_classes:
            raise AnnotationError(
                f"{display_path(path)}: {len(found.classes)} classes, {self.title} has "
                f"{self.num_classes}; it is made from {self.files}"
            )
        return found

    def first_of_each_tag(self, categories: Sequence[str]) -> list[int]:
        """Columns of the categories that have an everyday tag of their own."""
        seen: dict[str, int] = {}
        for column, category in enumerate(categories):
            seen.setdefault(fold_name(self.names_of(category)[0]), column)
        return list(seen.values())

    def note_on_images(self, num_images: int) -> list[str]:
        """What to say where the file has not the set's photos."""
        if num_images == self.num_images:
            return []
        return [f"{num_images:,} images, {self.title} has {self.num_images:,}: not the whole set"]


@dataclass(frozen=True, slots=True)
class Match:
    """Which tag of a model answers for each class."""

    #: name to ask for, the model's own where it has one
    names: tuple[str, ...]
    #: classes that the model's own tags do not have
    new: tuple[str, ...]


def match_classes(
    classes: Sequence[str], labels: LabelSet, names_of: Mapping[str, Sequence[str]]
) -> Match:
    """The model's tag for each class: the first of its names that is a tag or a synonym there.

    Args:
        classes: of the test set
        labels: of the model
        names_of: what a class may be called, the one to ask an open vocabulary for first
    """
    names: list[str] = []
    new: list[str] = []
    for one in classes:
        candidates = names_of.get(one) or (one,)
        known = next((label for name in candidates if (label := labels.find(name))), None)
        if known is None:
            new.append(one)
        names.append(candidates[0] if known is None else known.name)
    return Match(tuple(names), tuple(new))


@cache
def benchmarks() -> tuple[Benchmark, ...]:
    """All that are known."""
    return tuple(_benchmark(row) for row in json.loads(_text("benchmarks.json")))


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        UsageError: it is not known
    """
    for one in benchmarks():
        if fold_name(one.name) == fold_name(name):
            return one
    known = ", ".join(one.name for one in benchmarks())
    raise UsageError(f"no test set {name!r}; known: {known}; others: --annotations FILE")


def _benchmark(row: dict[str, Any]) -> Benchmark:  # Any: JSON
    mapping = json.loads(_text(row["names"])) if row["names"] else {}
    names = {fold_name(category): tuple(names) for category, names in mapping.items()}
    published = row["published"]
    plain = {key: value for key, value in row.items() if key not in ("names", "published")}
    return from_plain(_Plain, plain).with_names(names, published)


@dataclass(frozen=True, kw_only=True)
class _Plain:
    """The fields of a row that are plain values."""

    name: str
    title: str
    kind: str
    num_classes: int
    num_images: int
    files: str
    rule: str
    one_class_a_tag: bool = False

    def with_names(
        self, names: Mapping[str, tuple[str, ...]], published: Mapping[str, str]
    ) -> Benchmark:
        return Benchmark(**vars(self), names=names, published=published)


def _text(name: str) -> str:
    return (files("anytag.evaluation") / "data" / name).read_text(encoding="utf-8")
