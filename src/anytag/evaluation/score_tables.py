"""Scores in arrays and tables: .npz, .npy, .csv, .parquet; see `score_files`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from anytag.errors import AnnotationError, MissingExtraError
from anytag.evaluation.annotation_text import open_text
from anytag.evaluation.score_rows import Collector, ScoreRows, is_score
from anytag.files import display_path

_IMAGE_COLUMNS = ("image", "path", "file", "filename", "file_name")


def read_numpy(path: Path) -> ScoreRows:
    """Scores [N, T], with or without names."""
    try:
        with path.open("rb") as file:  # numpy leaves it open where it is damaged
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return ScoreRows(scores=_finite(path, _matrix(path, loaded)))
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise AnnotationError(f"{display_path(path)}: cannot be read ({error})") from error
    if "scores" not in arrays:
        raise AnnotationError(
            f"{display_path(path)}: no array 'scores', found {', '.join(arrays) or 'none'}"
        )
    scores = _matrix(path, arrays["scores"])
    if "images" not in arrays and "classes" not in arrays:
        return ScoreRows(scores=_finite(path, scores))
    texts = {}
    for name, length in zip(("images", "classes"), scores.shape, strict=True):
        array = arrays.get(name)
        if array is None or array.shape != (length,) or array.dtype.kind not in "US":
            found = "none" if array is None else f"{array.dtype} {list(array.shape)}"
            raise AnnotationError(
                f"{display_path(path)}: expected {name!r}, texts [{length}], found {found}"
            )
        texts[name] = [str(text) for text in array.astype(str)]
    images, classes = texts["images"], texts["classes"]
    return ScoreRows(images=images, classes=classes, scores=_finite(path, scores, images, classes))


def _matrix(path: Path, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if scores.ndim != 2 or scores.dtype.kind not in "fiu":
        raise AnnotationError(
            f"{display_path(path)}: expected scores [images, classes] of numbers, found "
            f"{scores.dtype} {list(scores.shape)}"
        )
    return scores


def _finite(
    path: Path,
    scores: npt.NDArray[Any],
    images: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> npt.NDArray[np.float32]:
    """Scores [N, T] as float32.

    Raises:
        AnnotationError: one of them is no finite number there
    """
    found = _as_float32(scores)
    for row, column in np.argwhere(~np.isfinite(found))[:1].tolist():
        image = "" if images is None else f" ({display_path(images[row])})"
        name = "" if classes is None else f" ({classes[column]})"
        raise AnnotationError(
            f"{display_path(path)}: the score of image {row + 1}{image}, class {column + 1}{name} "
            f"is {scores[row, column]}, expected a finite number"
        )
    return found


def _as_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """What is too large becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def read_csv(path: Path) -> ScoreRows:
    """A row for each photo, or for each score."""
    reader = csv.reader(io.StringIO(open_text(path), newline=""), strict=True)
    collector = Collector(path)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        form = _form(header, path)
        matrix: list[list[float]] = []
        for cells in reader:
            if not cells:
                continue
            line = reader.line_num
            if len(cells) != len(header):
                raise collector.error(line, f"expected {len(header)} columns, found {len(cells)}")
            if form.tag is not None:
                row = collector.row_of(cells[form.image], line)
                if cells[form.tag]:  # a photo without tags has a row too
                    score = _number(cells[form.score], collector, line)
                    collector.add(row, cells[form.tag], score, line)
                continue
            collector.add_image(cells[form.image], line)
            matrix.append([_number(cells[i], collector, line) for i in form.classes])
    except csv.Error as error:
        raise collector.error(reader.line_num, f"is no CSV row ({error})") from error
    found = collector.result()
    if form.tag is None:
        found.classes = [header[i] for i in form.classes]
        found.scores = np.array(matrix, np.float32)
    return found


@dataclass(frozen=True, slots=True)
class _Form:
    """Which column is what: one score a row, or one photo a row."""

    image: int
    tag: int | None
    score: int
    classes: tuple[int, ...]


def _form(header: Sequence[str], path: Path) -> _Form:
    folded = [name.casefold() for name in header]
    image = next((folded.index(name) for name in _IMAGE_COLUMNS if name in folded), None)
    if image is None:
        raise AnnotationError(
            f"{display_path(path)}, line 1: expected a header with 'image' and either 'tag' and "
            f"'score', or the classes; found {', '.join(header)!r:.80}"
        )
    if "tag" in folded and "score" in folded:
        return _Form(image, folded.index("tag"), folded.index("score"), ())
    return _Form(image, None, 0, tuple(i for i in range(len(header)) if i != image))


def _number(text: str, collector: Collector, line: int) -> float:
    try:
        score = float(text)
    except ValueError as error:
        raise collector.error(line, f"the score {text!r:.40} is no number") from error
    if not is_score(score):
        raise collector.error(
            line, f"the score {text!r:.40} is no finite number; leave out what is unknown"
        )
    return score


def read_parquet(path: Path) -> ScoreRows:
    """As `read_csv`."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise AnnotationError(f"{display_path(path)}: cannot be read ({error})") from error
    names: list[str] = table.column_names
    form = _form(names, path)
    collector = Collector(path)
    images = table.column(form.image).to_pylist()
    if form.tag is None:
        for line, image in enumerate(images, 1):
            collector.add_image(str(image), line)
        found = collector.result()
        found.classes = [names[i] for i in form.classes]
        columns = [_column(names[i], table.column(i), collector) for i in form.classes]
        found.scores = np.stack(columns, axis=1)
        return found
    tags, scores = table.column(form.tag).to_pylist(), table.column(form.score).to_pylist()
    for line, (image, tag, score) in enumerate(zip(images, tags, scores, strict=True), 1):
        row = collector.row_of(str(image), line)
        if tag:
            collector.add(row, tag, score, line)
    return collector.result()


def _column(name: str, cells: Any, collector: Collector) -> npt.NDArray[np.float32]:
    """A column of pyarrow as [N]; NaN where a cell is empty, which is a score that is not there."""
    try:
        found = _as_float32(cells.to_numpy())
    except (ValueError, TypeError) as error:
        raise collector.error(None, f"a score of {name!r:.40} is no number ({error})") from error
    wrong = ~np.isfinite(found) & cells.is_valid().to_numpy()
    for row in np.flatnonzero(wrong)[:1].tolist():
        raise collector.error(
            row + 1, f"the score of {name!r:.40} is {cells[row]}, expected a finite number"
        )
    return found
