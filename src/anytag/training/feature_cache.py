"""What the frozen part of a backbone gives for some views of each picture, kept on disk.

A folder of parts, each of them whole; its name is a hash of all that decides what is in them:

    cache/features-KEY/00000.npy    float16 [ROWS, ...]; row = number of the example * views + view
    cache/features-KEY/00000.json   {row: [image, kind, message]} of pictures that cannot be read

A part is read through the memory map of its file. `feature_fill` writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.errors import ImageError
from anytag.files import atomic_write
from anytag.training.config import AugmentConfig
from anytag.training.examples import Examples
from anytag.training.skipping import Failure

#: changes when the files are written in another way, or views are drawn in another way
_FORMAT = 1
#: of a part
ROWS = 256

Features = npt.NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which views of which pictures, and what computes them."""

    examples: Examples
    #: hash of what computes them: `Cut.hash`
    network: str
    #: of one view
    shape: tuple[int, ...]
    #: side of the views in pixels
    size: int
    #: mean and standard deviation of the pixels
    normalization: tuple[tuple[float, ...], tuple[float, ...]]
    #: how views are drawn; None = the whole picture, as inference sees it
    augment: AugmentConfig | None
    num_views: int
    seed: int

    @property
    def num_rows(self) -> int:
        """Views in all."""
        return len(self.examples) * self.num_views

    @property
    def row_bytes(self) -> int:
        """Of one view on disk."""
        return int(np.prod(self.shape)) * np.dtype(np.float16).itemsize

    @property
    def key(self) -> str:
        """A hash of everything that decides what the features are."""
        drawn = None if self.augment is None else (self.augment, self.num_views, self.seed)
        told = (
            _FORMAT, self.network, self.shape, self.size, self.normalization, drawn,
            [spool.key for spool in self.examples.spools], self.examples.part,
        )  # fmt: skip
        return hashlib.sha256(repr(told).encode()).hexdigest()[:24]


class FeatureCache:
    """The features of views, by example and view.

    Args:
        cache: folder of caches; what is in it is not opened before it is asked for
        wanted: what it is of
    """

    def __init__(self, cache: Path, wanted: Wanted) -> None:
        self.folder = cache / f"features-{wanted.key}"
        self.num_views = wanted.num_views
        self.num_rows = wanted.num_rows
        self._parts: dict[int, tuple[Features, dict[str, list[str]]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": {}}  # what is mapped would be copied to each worker

    def share(self, rank: int = 0, world: int = 1) -> range:
        """The parts that a process fills; the same ones whenever it asks."""
        return range(rank, -(-self.num_rows // ROWS), world)

    def missing(self, rank: int = 0, world: int = 1) -> list[int]:
        """Those of them that are not there; one that is there is whole."""
        return [part for part in self.share(rank, world) if not self._file(part).is_file()]

    def count(self, parts: Iterable[int]) -> int:
        """Rows of parts."""
        return sum(len(self.rows(part)) for part in parts)

    def rows(self, part: int) -> range:
        """Those of a part."""
        return range(part * ROWS, min((part + 1) * ROWS, self.num_rows))

    def get(self, number: int, view: int) -> Features:
        """The features of a view of an example.

        Raises:
            ImageError: the picture could not be read when they were computed
        """
        part, place = divmod(number * self.num_views + view, ROWS)
        if part not in self._parts:
            self._parts[part] = self._open(part)
        features, failures = self._parts[part]
        failure = failures.get(str(part * ROWS + place))
        if failure is not None:
            _, kind, message = failure
            raise ImageError(kind, message)
        row: Features = features[place]
        return row

    def write(self, part: int, features: Features, failures: dict[int, Failure]) -> None:
        """Keep a part.

        Raises:
            OutputError: it cannot be written
        """
        file = self._file(part)
        if failures:  # before the features, which say that the part is whole
            with atomic_write(file.with_suffix(".json"), text=True) as text:
                json.dump(failures, text)
        with atomic_write(file) as handle:
            np.save(handle, features)

    def _open(self, part: int) -> tuple[Features, dict[str, list[str]]]:
        file = self._file(part)
        notes = file.with_suffix(".json")
        failures = json.loads(notes.read_text(encoding="utf-8")) if notes.is_file() else {}
        return np.load(file, mmap_mode="r"), failures

    def _file(self, part: int) -> Path:
        return self.folder / f"{part:05d}.npy"
