"""What another tagger thinks of a data set's pictures: probabilities of tags, from a score file.

The file (`anytag.evaluation.score_files`) is put into the order of the data set's records, in the
run's cache, from which every process maps what it needs:

    KEY.scores.npy     float16 [N, K], NaN in the rows of pictures that the file lacks
    KEY.scores.json    the K tags, and what was left out; written last

A picture is found by its name and its folder's name, by the name alone where the file gives no
folders, and by more of its path where that is not enough; endings do not count.

Shapes: N records of a data set, K tags that the label set and the file have.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.errors import AnnotationError
from anytag.evaluation.score_files import image_key, read_rows
from anytag.files import atomic_write, display_path
from anytag.labels.labelset import LabelSet
from anytag.training.spool import Spool, parse_line

#: changes when the files are written in another way
_FORMAT = 1
#: classes outside of the label set that are named
_NUM_NAMED = 5
#: parts of a path (name, folder) that must be the same
_NUM_PARTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a score file holds for a data set."""

    #: of the label set, ascending [K]
    ids: tuple[int, ...]
    num_records: int
    #: records whose picture the file lacks
    num_missing: int
    #: classes that the label set lacks
    unknown: tuple[str, ...]


class Scores:
    """Probabilities for the records of one data set; can be passed to worker processes.

    Args:
        path: the score file, for messages
        table: float16 [N, K]
        about: its tags
    """

    def __init__(self, path: str, table: Path, about: About) -> None:
        self.path = path
        self.table = table
        self.about = about
        #: [K]
        self.ids = np.array(about.ids, np.int64)
        self._rows: npt.NDArray[np.float16] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # what is mapped would be copied to each worker process
        return {"path": self.path, "table": self.table, "about": self.about}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def row(self, number: int) -> npt.NDArray[np.float32] | None:
        """Probabilities [K] of a record's picture; None where the file lacks it."""
        if self._rows is None:
            self._rows = np.load(self.table, mmap_mode="r")
        found = np.array(self._rows[number], np.float32)
        return None if np.isnan(found[0]) else found

    def notes(self) -> list[str]:
        """What a person should know, a line each."""
        shown, about = display_path(self.path), self.about
        lines = []
        if about.num_missing:
            lines.append(
                f"{shown}: no scores for {about.num_missing:,} of {about.num_records:,} pictures; "
                "they are learned from their own tags alone"
            )
        if about.unknown:
            more = ", ..." if len(about.unknown) > _NUM_NAMED else ""
            lines.append(
                f"{shown}: {len(about.unknown):,} classes are no tags that are learned and are "
                f"left out: {', '.join(about.unknown[:_NUM_NAMED])}{more}"
            )
        return lines


def open_scores(spool: Spool, labels: LabelSet, folder: Path) -> Scores | None:
    """The scores of a data set, read into ``folder`` unless they are there; None if it has none.

    Raises:
        AnnotationError: the file cannot be read, is no file of probabilities, has no class that is
            a tag or no picture of the data set, or its pictures cannot be told apart
        OutputError: the folder cannot be written
    """
    if spool.scores is None:
        return None
    path = Path(spool.scores)
    key = _fingerprint(path, spool, labels)
    table, about = folder / f"{key}.scores.npy", folder / f"{key}.scores.json"
    found = _read_about(about)
    if found is None:
        values, found = _arrange(path, spool, labels)
        with atomic_write(table) as file:
            np.save(file, values)
        with atomic_write(about, text=True) as file:
            json.dump(asdict(found), file)
    return Scores(spool.scores, table, found)


def _arrange(path: Path, spool: Spool, labels: LabelSet) -> tuple[npt.NDArray[np.float16], About]:
    """The file's scores in the order of the records, float16 [N, K]."""
    rows = read_rows(path, skip_failed=True)
    if rows.images is None:
        raise AnnotationError(
            f"{display_path(path)}: does not say which picture a score belongs to; expected arrays "
            "'images' and 'classes' beside 'scores'"
        )
    columns, unknown = _columns(rows.classes, labels)
    if not columns:
        raise AnnotationError(
            f"{display_path(path)}: none of its {len(rows.classes):,} classes is a tag that is "
            f"learned; it has {', '.join(rows.classes[:_NUM_NAMED])}, ... Expected names or "
            f"synonyms of data.labels, such as {', '.join(labels.names[:_NUM_NAMED])}"
        )
    dense = rows.dense()
    _check_range(path, dense, rows.images, rows.classes)
    with spool.records_file.open("rb") as file:
        wanted = [parse_line(line)[0].image for line in file]
    places = match_pictures(path, rows.images, wanted)
    if (places < 0).all():
        raise AnnotationError(
            f"{display_path(path)}: has no picture of {display_path(spool.path)}; it begins with "
            f"{display_path(rows.images[0])}, expected pictures such as {display_path(wanted[0])}"
        )
    there = places >= 0
    values = np.full((len(wanted), len(columns)), np.nan, np.float16)
    for number, tag in enumerate(sorted(columns)):
        # a list of tags above a threshold lacks those below it
        best = np.nan_to_num(dense[:, columns[tag]], nan=0.0).max(axis=1)
        values[there, number] = best[places[there]]
    about = About(
        ids=tuple(sorted(columns)),
        num_records=len(wanted),
        num_missing=int((~there).sum()),
        unknown=tuple(unknown),
    )
    return values, about


def _columns(classes: Sequence[str], labels: LabelSet) -> tuple[dict[int, list[int]], list[str]]:
    """The file's columns of each tag, and the classes that are none."""
    columns: dict[int, list[int]] = {}
    unknown = []
    for column, name in enumerate(classes):
        found = list(labels.find_all(name))
        for label in found:
            columns.setdefault(label.id, []).append(column)
        if not found:
            unknown.append(name)
    return columns, unknown


def _check_range(
    path: Path, dense: npt.NDArray[np.float32], images: Sequence[str], classes: Sequence[str]
) -> None:
    wrong = (dense < 0) | (dense > 1)  # neither is true of NaN
    for row, column in np.argwhere(wrong)[:1].tolist():
        raise AnnotationError(
            f"{display_path(path)}: the score of {classes[column]!r} for "
            f"{display_path(images[row])} is {dense[row, column]:.4g}, expected probabilities from "
            "0 to 1; make them of logits by 1 / (1 + exp(-x)), of percentages by dividing"
        )


def match_pictures(
    path: Path, found: Sequence[str], wanted: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Which of a file's pictures each record shows, int64 [N], -1 = none of them.

    Args:
        path: the file, for messages
        found: its pictures
        wanted: pictures of the records [N]; several records may show one

    Raises:
        AnnotationError: two pictures fit a record equally well, or two records one picture
    """
    given = [_parts(image) for image in found]
    by_name: dict[str, list[int]] = {}
    for place, parts in enumerate(given):
        by_name.setdefault(parts[-1], []).append(place)
    places = np.full(len(wanted), -1, np.int64)
    #: of each of the file's pictures: parts that agree, and the first record for which they do
    claims: dict[int, tuple[int, int]] = {}
    for number, image in enumerate(wanted):
        parts = _parts(image)
        fits = [(_num_common(given[one], parts), one) for one in by_name.get(parts[-1], ())]
        best = max((common for common, _ in fits), default=0)
        chosen = [one for common, one in fits if common == best]
        if not chosen or best < min(_NUM_PARTS, len(given[chosen[0]]), len(parts)):
            continue
        if len(chosen) > 1:
            raise _ambiguous(path, image, [found[one] for one in chosen[:2]])
        places[number] = chosen[0]
        before = claims.get(chosen[0])
        if before is None or before[0] < best:
            claims[chosen[0]] = (best, number)
        elif before[0] == best and _parts(wanted[before[1]]) != parts:
            raise _ambiguous(path, found[chosen[0]], [wanted[before[1]], image])
    for number in np.flatnonzero(places >= 0).tolist():
        common, first = claims[int(places[number])]
        parts = _parts(wanted[number])
        if parts != _parts(wanted[first]) and _num_common(given[places[number]], parts) < common:
            places[number] = -1  # another record fits better
    return places


def _ambiguous(path: Path, image: str, others: Sequence[str]) -> AnnotationError:
    both = " and ".join(map(display_path, others))
    return AnnotationError(
        f"{display_path(path)}: {display_path(image)} may be {both}; expected paths that tell them "
        "apart, such as those that `anytag tag` writes"
    )


def _parts(image: str) -> tuple[str, ...]:
    return tuple(part for part in image_key(image).split("/") if part not in ("", "."))


def _num_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Parts at the end that are the same."""
    num = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        num += 1
    return num


def _fingerprint(path: Path, spool: Spool, labels: LabelSet) -> str:
    digest = hashlib.sha256(repr((_FORMAT, spool.key, str(path.absolute()))).encode())
    digest.update(labels.to_json().encode())
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        if file.exists():
            status = file.stat()
            digest.update(repr((str(file), status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()[:24]


def _read_about(path: Path) -> About | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return About(
            ids=tuple(found["ids"]),
            num_records=found["num_records"],
            num_missing=found["num_missing"],
            unknown=tuple(found["unknown"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
