"""Scores of other systems from files, put into the order of the annotations.

    .npz       scores [N, T], and images [N], classes [T] (as text); without these, in the order of
               the annotations
    .npy       scores [N, T] in the order of the annotations
    .csv       image,CLASS,CLASS...     one row a photo
    .parquet   image,tag,score          one row a score; both forms, in both formats
    .jsonl     records of `anytag tag --format jsonl`, or {"image": ..., "tags": {"cat": 0.9}}, or
               a cloud service's answers, {"image": ..., "response": {...}} (`cloud_answers`)
    folder     one answer of a cloud service for each photo, named as the photo: a.jpg.json, a.json

Images are found by their path as the annotations have it, with or without the ending, and also by
the last parts of a longer path. A class is found by its name or one of the mapping's. Scores that
are not in the file count as the lowest: a list of tags above a threshold can be compared, and its
AP is then a lower bound. A score that is there is a finite number, else the file is refused.

Shapes: N photos, T classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from anytag.errors import AnnotationError
from anytag.evaluation.annotations import Annotations
from anytag.evaluation.arrays import Truth
from anytag.evaluation.score_records import read_folder, read_jsonl
from anytag.evaluation.score_rows import ScoreRows
from anytag.evaluation.score_tables import read_csv, read_numpy, read_parquet
from anytag.files import display_path
from anytag.labels.labelset import fold_name

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".json", ".txt"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SystemScores:
    """Scores of one system for the photos and classes of a test set."""

    name: str
    #: float32 [N, T]; NaN in columns that are not supported
    scores: npt.NDArray[np.float32]
    #: [T]
    supported: Truth
    #: [N], false where there are no scores, for instance because the photo could not be read
    scored: Truth
    #: the system's own threshold of each class [T]; None where it has none
    thresholds: npt.NDArray[np.float32] | None = None
    #: what a reader of the figures should know
    notes: tuple[str, ...] = ()


def read_scores(
    name: str,
    path: Path,
    annotations: Annotations,
    names_of: Mapping[str, Sequence[str]] | None = None,
) -> SystemScores:
    """The scores of a file, in the order of the annotations.

    Args:
        name: of the system
        path: the file
        annotations: N photos and T classes
        names_of: what a class may be called, see `benchmarks.Benchmark.names_of`

    Raises:
        AnnotationError: the file is wrong, has a photo twice, lacks a photo, or has none of the
            classes; the message names line and cause
    """
    rows = read_rows(path)
    shape = (len(annotations.images), len(annotations.classes))
    notes: list[str] = []
    if rows.images is None:
        if rows.scores is None or rows.scores.shape != shape:
            found = None if rows.scores is None else list(rows.scores.shape)
            raise AnnotationError(
                f"{display_path(path)}: expected scores {list(shape)} for {shape[0]:,} images and "
                f"{shape[1]:,} classes, found {found}; or give names: images [N], classes [T]"
            )
        return _system(name, rows.scores, np.ones(shape[1], bool), notes)
    order = _image_rows(path, rows, annotations.images, notes)
    columns = _class_columns(rows.classes, annotations.classes, names_of or {})
    supported = columns >= 0
    if not supported.any():
        raise AnnotationError(
            f"{display_path(path)}: has none of the {shape[1]} classes; it has "
            f"{', '.join(rows.classes[:5])}, expected {', '.join(annotations.classes[:5])}, ..."
        )
    scores = np.full(shape, np.nan, np.float32)
    dense = rows.dense()
    scores[:, supported] = dense[order][:, columns[supported]]
    num_absent = int(np.isnan(scores[:, supported]).sum())
    if num_absent:
        lowest = -np.inf if (dense < 0).any() else 0.0
        scores[np.isnan(scores) & supported] = lowest
        part = num_absent / (shape[0] * int(supported.sum()))
        notes.append(
            f"{name}: {part:.1%} of the scores are not in the file and count as the lowest, so AP "
            "is a lower bound"
        )
    return _system(name, scores, supported, notes)


def read_rows(path: Path, *, skip_failed: bool = False) -> ScoreRows:
    """Read a score file.

    Args:
        path: the file
        skip_failed: leave out records of `anytag tag` that hold an error and no scores

    Raises:
        AnnotationError: it cannot be read; the message names line and cause
        MissingExtraError: it is Parquet and pyarrow is not installed
    """
    if not path.exists():
        raise AnnotationError(f"{display_path(path)} does not exist")
    name = path.name.lower().removesuffix(".gz")
    if path.is_dir():
        return read_folder(path)
    if name.endswith((".npz", ".npy")):
        return read_numpy(path)
    if name.endswith(".parquet"):
        return read_parquet(path)
    if name.endswith(".csv"):
        return read_csv(path)
    if name.endswith(".jsonl"):
        return read_jsonl(path, skip_failed=skip_failed)
    raise AnnotationError(
        f"{display_path(path)}: scores are read from .npz, .npy, .csv, .parquet, .jsonl or a "
        "folder of .json answers"
    )


def _system(
    name: str, scores: npt.NDArray[np.float32], supported: Truth, notes: list[str]
) -> SystemScores:
    return SystemScores(
        name=name,
        scores=scores,
        supported=supported,
        scored=np.ones(len(scores), np.bool_),
        notes=tuple(notes),
    )


def image_key(image: str) -> str:
    """Under which photos are compared: ``/`` between parts, without the ending.

    >>> image_key("test\\\\0000c64e1253d68f.jpg")
    'test/0000c64e1253d68f'
    """
    path = PurePosixPath(image.replace("\\", "/"))
    while path.suffix.lower() in _ENDINGS:
        path = path.with_suffix("")
    return str(path)


def _image_rows(
    path: Path, rows: ScoreRows, images: Sequence[str], notes: list[str]
) -> npt.NDArray[np.intp]:
    """The row of the file for each photo of the annotations."""
    assert rows.images is not None
    wanted: dict[str, int] = {}
    for number, image in enumerate(images):
        if wanted.setdefault(image_key(image), number) != number:
            raise AnnotationError(
                f"the annotations name {display_path(images[wanted[image_key(image)]])} and "
                f"{display_path(image)}, which scores cannot tell apart"
            )
    short = _unique_ends(wanted)
    order = np.full(len(images), -1, np.intp)
    unknown = 0
    for row, image in enumerate(rows.images):
        place = _find_image(image_key(image), wanted, short)
        if place is None:
            unknown += 1
        elif order[place] >= 0:
            line = "" if rows.lines is None else f", line {rows.lines[row]}"
            raise AnnotationError(
                f"{display_path(path)}{line}: the image {display_path(image)} comes again"
            )
        else:
            order[place] = row
    missing = np.flatnonzero(order < 0)
    if missing.size:
        first = display_path(images[missing[0]])
        found = display_path(rows.images[0]) if rows.images else "no images"
        raise AnnotationError(
            f"{display_path(path)}: no scores for {missing.size:,} of {len(images):,} images; the "
            f"first is {first} (the file begins with {found})"
        )
    if unknown:
        notes.append(f"{display_path(path)}: {unknown:,} images are not in the annotations")
    return order


def _unique_ends(wanted: Mapping[str, int]) -> dict[str, int]:
    """Photos by their file name alone, where it is that of one only."""
    ends: dict[str, int] = {}
    for key, number in wanted.items():
        end = key.rpartition("/")[2]
        ends[end] = -1 if end in ends else number
    return {end: number for end, number in ends.items() if number >= 0}


def _find_image(key: str, wanted: Mapping[str, int], short: Mapping[str, int]) -> int | None:
    parts = key.split("/")
    for start in range(len(parts)):
        found = wanted.get("/".join(parts[start:]))
        if found is not None:
            return found
    return short.get(parts[-1])


def _class_columns(
    found: Sequence[str], classes: Sequence[str], names_of: Mapping[str, Sequence[str]]
) -> npt.NDArray[np.intp]:
    """The column of the file for each class, -1 for none."""
    columns: dict[str, int] = {}
    for column, name in enumerate(found):
        columns.setdefault(fold_name(name), column)
    places = []
    for one in classes:
        names = (one, *names_of.get(one, ()))
        places.append(next((columns[n] for n in map(fold_name, names) if n in columns), -1))
    return np.array(places, np.intp)
