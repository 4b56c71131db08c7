"""Models asked for the classes of a test set, on the same list as every other system.

    asked = ask_tagger("nano", tagger, annotations.classes, names_of)
    system = score_images(asked, annotations.images, paths, store)

Shapes: N photos, T classes of the set, C columns of the model (its tags that answer for them).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from anytag.errors import LabelError, ModelError, UsageError
from anytag.evaluation.benchmarks import Match, match_classes
from anytag.evaluation.score_files import SystemScores
from anytag.evaluation.score_store import ScoreStore, fingerprint, model_mark
from anytag.files import display_path
from anytag.inference.scorer import CPU_CHUNK
from anytag.inference.stream import Decoded, Score, stream
from anytag.labels.labelset import LabelSet, fold_name

#: an image is decoded in some milliseconds: more threads only cost memory
MAX_WORKERS = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A model and the columns that answer for each class."""

    name: str
    #: of the weights and of all else that changes the scores
    settings: Mapping[str, Any]
    load: Callable[[Path], Decoded]
    #: pixels -> [B, C]
    score: Score
    num_columns: int
    #: columns of each class, of which the highest score counts; none where it is not supported
    columns: tuple[tuple[int, ...], ...]
    #: the model's own threshold of each class [T]; None where it has none
    thresholds: npt.NDArray[np.float32] | None = None
    #: images that the model takes at once; other numbers may change the last bits
    pad_to: int = 1
    notes: tuple[str, ...] = ()


class AnyTagger(Protocol):
    """What is used of `anytag.inference.tagger.Tagger`."""

    labels: LabelSet
    device: Any
    dtype: Any

    @property
    def model_name(self) -> str: ...

    def with_tags(self, tags: Any, /) -> Any: ...


def ask_tagger(
    name: str,
    tagger: AnyTagger,
    classes: Sequence[str],
    names_of: Mapping[str, Sequence[str]] | None = None,
    descriptions: Mapping[str, Sequence[str]] | None = None,
) -> Asked:
    """Ask a tagger for classes: for its own tags where it has them, else for new ones.

    A model that can ask for no new tags (Tag2Text, or RAM without a text encoder) answers for its
    own alone, and the other classes are not supported.

    Args:
        name: of the system
        tagger: a `Tagger`
        classes: T names
        names_of: what a class may be called, see `benchmarks.Benchmark.names_of`
        descriptions: class -> texts that describe it, for RAM++; these are always asked

    Raises:
        ModelError: the model has none of the classes and can ask for no others
    """
    match = match_classes(classes, tagger.labels, names_of or {})
    texts = {fold_name(one): list(found) for one, found in (descriptions or {}).items()}
    wanted = {
        tag: texts.get(fold_name(one), []) for one, tag in zip(classes, match.names, strict=True)
    }
    notes: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()
    try:
        asked = tagger.with_tags(wanted if texts else list(wanted))
    except (LabelError, ModelError) as error:
        missing = frozenset(match.new)
        asked = tagger.with_tags(_own_tags(name, classes, match, error))
        notes = (f"{name} answers for its own tags alone: {_first_sentence(error)}",)
    labels: LabelSet = asked.labels
    columns = tuple(
        () if one in missing else tuple(label.id for label in labels.find_all(tag))
        for one, tag in zip(classes, match.names, strict=True)
    )
    own = [labels[ids[0]].threshold if ids else 1.0 for ids in columns]
    return Asked(
        name=name,
        settings={
            "model": asked.model_name,
            "weights": _weights_mark(getattr(tagger, "path", None)),
            "dtype": str(asked.dtype),
            "tags": labels.names,
            "descriptions": wanted if texts else None,
        },
        load=asked.load,
        score=asked.score,
        num_columns=len(labels),
        columns=columns,
        thresholds=np.array(own, np.float32),
        pad_to=CPU_CHUNK if asked.device.type == "cpu" else 1,
        notes=notes,
    )


def score_images(
    asked: Asked,
    images: Sequence[str],
    paths: Sequence[Path],
    store: ScoreStore,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    advance: Callable[[bool], None] = lambda failed: None,
) -> tuple[SystemScores, dict[str, str]]:
    """Scores of all photos; those that the store holds are not computed again.

    Args:
        asked: the model
        images: N ids
        paths: their files
        store: keeps the scores
        batch_size: photos that are decoded and scored together
        workers: decoding threads; None = one for each processor, at most 16
        advance: called for each photo that is done, with whether it failed

    Returns:
        the scores, and the reason for each photo that has none
    """
    marks = [fingerprint(path) for path in paths]
    pending = store.pending(marks)
    failed: dict[str, str] = {}

    def load(row: int) -> Decoded:
        return asked.load(paths[row])

    results = stream(
        iter(pending),
        load=load,
        score=asked.score,
        batch_size=batch_size,
        workers=workers or min(os.cpu_count() or 1, MAX_WORKERS),
        pad_to=asked.pad_to,
    )
    with closing(results):
        for one in results:
            store.put(one.item, one.scores, marks[one.item])
            if one.error is not None:
                failed[images[one.item]] = one.error.message
            advance(one.error is not None)
    return system_scores(asked, store.scores()), failed


def system_scores(asked: Asked, found: npt.NDArray[np.float32]) -> SystemScores:
    """Scores of the classes, of scores of the model's columns [N, C]; NaN where a photo failed."""
    scores = np.full((len(found), len(asked.columns)), np.nan, np.float32)
    for place, ids in enumerate(asked.columns):
        if ids:
            scores[:, place] = found[:, list(ids)].max(axis=1)
    return SystemScores(
        name=asked.name,
        scores=scores,
        supported=np.array([bool(ids) for ids in asked.columns]),
        scored=np.array(~np.isnan(found).any(axis=1)),
        thresholds=asked.thresholds,
        notes=asked.notes,
    )


def find_all(
    images: Sequence[str], given: Path | None, places: Sequence[Path | None]
) -> list[Path]:
    """The files of all ids: in the folder that was given, or the first place that has the first.

    Raises:
        UsageError: no folder was given, and no place has it
    """
    if given is not None:
        return find_images(images, given)
    for folder in places:
        if folder is not None and next(_existing(images[0], folder), None) is not None:
            return find_images(images, folder)
    raise UsageError(
        f"the photos are needed: --images DIR (the first is {display_path(images[0])})"
    )


def find_images(images: Sequence[str], folder: Path) -> list[Path]:
    """The file of each id below a folder: as it is named, with an ending, or by its last part.

    Where there is none, the path that was expected first.
    """
    return [next(_existing(image, folder), folder / image) for image in images]


def _existing(image: str, folder: Path) -> Iterator[Path]:
    for name in dict.fromkeys((image, Path(image).name)):
        for ending in ("", ".jpg", ".jpeg", ".png", ".webp", ".JPEG"):
            path = folder / f"{name}{ending}"
            if path.is_file():
                yield path


def _own_tags(name: str, classes: Sequence[str], match: Match, error: Exception) -> list[str]:
    """The model's own tags among the classes.

    Raises:
        ModelError: there are none
    """
    pairs = zip(classes, match.names, strict=True)
    known = list(dict.fromkeys(tag for one, tag in pairs if one not in match.new))
    if not known:
        raise ModelError(f"{name} has none of the {len(classes)} classes: {error}") from error
    return known


def _weights_mark(folder: Path | None) -> list[int]:
    """Changes with the weights in a model directory."""
    return [] if folder is None else model_mark(folder, (".safetensors", ".onnx", ".bin"))


def _first_sentence(error: Exception) -> str:
    return str(error).split(": ", 1)[-1].split(". ")[0]
