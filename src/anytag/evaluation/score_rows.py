"""What a score file holds, before it is put into the order of the annotations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from anytag.errors import AnnotationError
from anytag.files import display_path
from anytag.labels.labelset import fold_name

#: the largest number that is kept: scores are float32
_LARGEST = float(np.finfo(np.float32).max)


def is_score(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number, as float32 too.

    >>> [is_score(value) for value in (0.5, -3, True, "0.5", float("nan"), 1e39)]
    [True, True, False, False, False, False]
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST  # false for NaN


@dataclass(kw_only=True, eq=False)
class ScoreRows:
    """What a file holds: all scores, or some of them one by one."""

    #: None where the file does not name them
    images: list[str] | None = None
    #: of each image, where the file has lines
    lines: list[int] | None = None
    classes: list[str] = field(default_factory=list)
    #: [images, classes]; None where they are given one by one
    scores: npt.NDArray[np.float32] | None = None
    #: one by one: image, class, score
    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def dense(self) -> npt.NDArray[np.float32]:
        """float32 [images, classes], NaN where there is no score."""
        if self.scores is not None:
            return self.scores
        assert self.images is not None
        scores = np.full((len(self.images), len(self.classes)), np.nan, np.float32)
        scores[self.rows, self.columns] = self.values
        return scores


class Collector:
    """Scores one by one, images in the order in which they come."""

    def __init__(self, path: Path) -> None:
        self.found = ScoreRows(images=[], lines=[])
        self._path = path
        self._columns: dict[str, int] = {}
        self._rows: dict[str, int] = {}

    def error(self, place: int | Path | None, message: str) -> AnnotationError:
        """What is wrong in a line, or in a file of the folder; None = as a whole."""
        path = place if isinstance(place, Path) else self._path
        line = f", line {place}" if isinstance(place, int) else ""
        return AnnotationError(f"{display_path(path)}{line}: {message}")

    def add_image(self, image: str, line: int) -> int:
        """A photo that must be new; its row."""
        if image in self._rows:
            raise self.error(line, f"the image {display_path(image)} comes again")
        return self.row_of(image, line)

    def row_of(self, image: str, line: int) -> int:
        """The row of a photo, new or not."""
        assert self.found.images is not None
        assert self.found.lines is not None
        row = self._rows.setdefault(image, len(self._rows))
        if row == len(self.found.images):
            self.found.images.append(image)
            self.found.lines.append(line)
        return row

    def add(self, row: int, name: str, score: object, place: int | Path) -> None:
        """One score; of equal names of a photo the highest counts."""
        if not is_score(score):
            raise self.error(
                place, f"the score of {name!r:.40} is {score!r:.40}, expected a finite number"
            )
        found = self.found
        column = self._columns.setdefault(fold_name(name), len(self._columns))
        if column == len(found.classes):
            found.classes.append(name)
        found.rows.append(row)
        found.columns.append(column)
        found.values.append(float(score))

    def result(self) -> ScoreRows:
        """All that was added.

        Raises:
            AnnotationError: nothing was
        """
        if not self.found.images:
            raise self.error(None, "holds no images")
        # the highest of equal names is written last
        order = np.argsort(np.array(self.found.values), kind="stable")
        for name in ("rows", "columns", "values"):
            setattr(self.found, name, [getattr(self.found, name)[i] for i in order.tolist()])
        return self.found
