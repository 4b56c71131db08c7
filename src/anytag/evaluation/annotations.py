"""What each photo of a test set shows, read from the set's own files.

    found = read_annotations(Path("openimages_common_214_ram_annots.txt"))
    found.images, found.classes, found.truth          # N ids, T names, bool [N, T]

Unlike the readers of `anytag.data.sources`, which leave out what is broken and go on, these stop:
an evaluation of a part of a set is a figure of another set. Each error names file, line and cause.

Shapes: N photos, T classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anytag.errors import AnnotationError
from anytag.files import display_path
from anytag.labels.labelset import fold_name

Truth = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """N photos, T classes, and which photo has which."""

    #: as the file names them: ``test/0000c64e1253d68f``, ``000000000139.jpg``, a path
    images: tuple[str, ...]
    classes: tuple[str, ...]
    #: [N, T]
    truth: Truth
    #: [N, T], false where the file does not say whether the photo has it; None = it always does
    known: Truth | None = None
    #: the folder in which the images are, where the format says it
    folder: Path | None = None
    #: what a reader of the figures should know
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.images), len(self.classes))
        assert self.truth.shape == shape
        assert self.truth.dtype == np.bool_
        assert self.known is None or self.known.shape == shape

    def take_images(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> Annotations:
        """Some of the photos."""
        return replace(
            self,
            images=tuple(self.images[row] for row in rows),
            truth=self.truth[rows],
            known=None if self.known is None else self.known[rows],
        )

    def take_classes(self, columns: Sequence[int]) -> Annotations:
        """Some of the classes."""
        columns = list(columns)
        return replace(
            self,
            classes=tuple(self.classes[column] for column in columns),
            truth=self.truth[:, columns],
            known=None if self.known is None else self.known[:, columns],
        )


class ClassList:
    """Names of classes and their columns; equal names are one class.

    Args:
        names: in the order of the file's numbers
        where: the file, for messages

    Raises:
        AnnotationError: there is none, or one is empty
    """

    def __init__(self, names: Iterable[str], where: Path) -> None:
        self.where = where
        self._columns: dict[str, int] = {}
        #: column of each number of the file
        self.column_of: list[int] = []
        kept: list[str] = []
        repeated: list[str] = []
        for number, name in enumerate(names):
            if not name.strip():
                raise AnnotationError(
                    f"{display_path(where)}, line {number + 1}: a class without a name; line "
                    "numbers are class numbers, so no line may be empty"
                )
            column = self._columns.setdefault(fold_name(name), len(kept))
            if column == len(kept):
                kept.append(" ".join(name.replace("_", " ").split()))
            else:
                repeated.append(name)
            self.column_of.append(column)
        if not kept:
            raise AnnotationError(f"{display_path(where)}: names no class")
        self.names = tuple(kept)
        self.notes: tuple[str, ...] = ()
        if repeated:
            self.notes = (
                f"{len(repeated)} class names come again and count as one class each: "
                + ", ".join(repeated),
            )

    def column(self, name: str) -> int | None:
        """The column of a name, None if it is no class."""
        return self._columns.get(fold_name(name))


class TruthBuilder:
    """Collects photos line by line.

    Args:
        path: the annotation file, for messages
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, int | None] = {}
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._unknown: list[tuple[int, int]] = []

    def error(self, line: int | None, message: str) -> AnnotationError:
        """What is wrong in a line."""
        place = "" if line is None else f", line {line}"
        return AnnotationError(f"{display_path(self.path)}{place}: {message}")

    def add(
        self,
        image: str,
        columns: Iterable[int],
        line: int | None,
        unknown: Iterable[int] = (),
    ) -> None:
        """A photo.

        Raises:
            AnnotationError: it came before, or has no name
        """
        if not image:
            raise self.error(line, "no image is named; expected its name first")
        if image in self._lines:
            first = self._lines[image]
            before = "" if first is None else f" (first in line {first})"
            raise self.error(line, f"the image {display_path(image)} comes again{before}")
        row = len(self._lines)
        self._lines[image] = line
        for column in columns:
            self._rows.append(row)
            self._columns.append(column)
        self._unknown += [(row, column) for column in unknown]

    def build(
        self,
        classes: Sequence[str],
        *,
        folder: Path | None = None,
        notes: Sequence[str] = (),
    ) -> Annotations:
        """All that was added.

        Raises:
            AnnotationError: no photo was
        """
        if not self._lines:
            raise self.error(None, "holds no images")
        truth = np.zeros((len(self._lines), len(classes)), np.bool_)
        truth[self._rows, self._columns] = True
        known = None
        if self._unknown:
            known = np.ones_like(truth)
            rows, columns = np.array(self._unknown).T
            known[rows, columns] = False
        return Annotations(
            images=tuple(self._lines),
            classes=tuple(classes),
            truth=truth,
            known=known,
            folder=folder,
            notes=tuple(notes),
        )
