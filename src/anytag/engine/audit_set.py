"""A labelled set as a matrix: which picture has which tag, and what the model says of each.

Names that are equal but for case and ``_`` are one tag here, by the spelling that came first.

Shapes: N pictures, T tags, C columns of the model (its tags that answer for those of the set).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.data.images import LoadedImage
from anytag.data.records import Record, is_url
from anytag.engine.pictures import Pictures, content
from anytag.evaluation.asking import Asked
from anytag.evaluation.score_store import ScoreStore, fingerprint
from anytag.inference.stream import stream
from anytag.labels.labelset import fold_name

#: told how many pictures are done, and of how many
Report = Callable[[int, int], None]
_MAX_WORKERS = 8
_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledSet:
    """Pictures and their tags."""

    #: N, all different
    images: tuple[str, ...]
    #: T names, all different
    tags: tuple[str, ...]
    #: [N, T]
    given: npt.NDArray[np.bool_]

    @property
    def is_exclusive(self) -> bool:
        """Whether every picture has one tag, of several: then a tag is missing where another is
        wrong."""
        return len(self.tags) > 1 and bool((self.given.sum(axis=1) == 1).all())

    def only(self, kept: npt.NDArray[np.bool_]) -> LabelledSet:
        """Some of the pictures; ``kept`` is [N]."""
        images = tuple(image for image, keep in zip(self.images, kept, strict=True) if keep)
        return LabelledSet(images=images, tags=self.tags, given=self.given[kept])


def gather(records: Iterable[Record]) -> LabelledSet:
    """The set of some records; those of one picture are joined."""
    tags: dict[str, str] = {}
    places: dict[str, int] = {}
    pairs: list[tuple[int, str]] = []
    for record in records:
        row = places.setdefault(record.image, len(places))
        for name in record.tags:
            key = fold_name(name)
            if key:
                tags.setdefault(key, name)
                pairs.append((row, key))
    columns = {key: place for place, key in enumerate(tags)}
    given = np.zeros((len(places), len(tags)), bool)
    for row, key in pairs:
        given[row, columns[key]] = True
    return LabelledSet(images=tuple(places), tags=tuple(tags.values()), given=given)


def score_set(
    asked: Asked, images: Sequence[str], folder: Path, report: Report
) -> tuple[npt.NDArray[np.float32], dict[str, str]]:
    """Scores of every picture, kept in ``folder`` as they come, so that a killed run goes on.

    Args:
        asked: the model, asked for the T tags
        images: N
        folder: for the scores
        report: told of progress

    Returns:
        [N, T], NaN for pictures that cannot be read and for tags that the model does not know; and
        the reason for each picture that has none

    Raises:
        OutputError: the scores cannot be kept
    """
    store = ScoreStore(folder, asked.name, asked.settings, images, asked.num_columns)
    pictures = Pictures()
    marks = [_mark(image) for image in images]
    pending = store.pending(marks)
    failed: dict[str, str] = {}
    done = len(images) - len(pending)

    def sources() -> Iterator[_Item]:
        for row in pending:
            try:
                yield _Item(row, pictures.source(images[row]))
            except OSError:  # a shard that is damaged: its pictures are, too
                yield _Item(row, Path(images[row]))

    def load(item: _Item) -> LoadedImage:
        loaded: Any = asked.load(content(item.source))  # type: ignore[arg-type]  # bytes, too
        return loaded  # type: ignore[no-any-return]

    results = stream(
        sources(),
        load=load,
        score=asked.score,
        batch_size=_BATCH,
        workers=min(os.cpu_count() or 1, _MAX_WORKERS),
        pad_to=asked.pad_to,
    )
    with closing(store), closing(results):
        for one in results:
            store.put(one.item.row, one.scores, marks[one.item.row])
            if one.error is not None:
                failed[images[one.item.row]] = one.error.message
            done += 1
            report(done, len(images))
    return _of_tags(asked, store.scores()), failed


@dataclass(frozen=True, slots=True)
class _Item:
    row: int
    source: Any  # Any: what `Pictures.source` gives


def _of_tags(asked: Asked, found: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    scores = np.full((len(found), len(asked.columns)), np.nan, np.float32)
    for place, ids in enumerate(asked.columns):
        if ids:
            scores[:, place] = found[:, list(ids)].max(axis=1)
    return scores


def _mark(image: str) -> int:
    """Changes with the file, or the shard that holds it; 0 where there is none."""
    if is_url(image):
        return int.from_bytes(hashlib.blake2b(image.encode(), digest_size=8).digest(), "big") | 1
    path = Path(image)
    shard = next((one for one in path.parents if one.suffix == ".tar" and one.is_file()), None)
    return fingerprint(shard or path)
