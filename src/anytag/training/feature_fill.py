"""Filling a `FeatureCache`: views are decoded by worker processes and go through the frozen part of
the backbone, in parts that a killed run need not compute again.

A part is the same whichever process computes it.

Shapes: R views of a request, S side in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anytag.errors import ImageError, TrainingError
from anytag.training.augment import augment
from anytag.training.config import AugmentConfig
from anytag.training.examples import Examples
from anytag.training.feature_cache import FeatureCache, Features, Wanted
from anytag.training.skipping import Failure, Skipped

#: views that are computed together; a part holds a whole number of them
_CHUNK = 32
_PREFETCH = 2

#: normalised pixels of uint8 images [R, 3, S, S] -> features [R, ...]
Compute = Callable[[Tensor], Tensor]


class _Made(NamedTuple):
    """Views of some rows."""

    rows: range
    #: uint8 [R, 3, S, S], zeros where a picture cannot be read
    images: Tensor
    failures: dict[int, Failure]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pixels(Dataset[_Made]):
    """Makes views; lives in the worker processes. A view is a function of seed, example and its
    number alone.
    """

    examples: Examples
    size: int
    augment: AugmentConfig | None
    num_views: int
    seed: int

    def __getitem__(self, rows: range) -> _Made:
        images = torch.zeros(len(rows), 3, self.size, self.size, dtype=torch.uint8)
        failures = {}
        for place, row in enumerate(rows):
            number, view = divmod(row, self.num_views)
            try:
                pixels = self._view(number, view)
            except ImageError as error:
                image = self.examples.record(number)[1].image
                failures[row] = Failure(image, error.kind, str(error))
                continue
            images[place] = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        return _Made(rows, images, failures)

    def _view(self, number: int, view: int) -> npt.NDArray[np.uint8]:
        example = self.examples[number]
        if self.augment is None:
            return example.pixels(self.size)
        # four numbers: the loader's draws have three
        generator = np.random.default_rng([self.seed, number, view, 0])
        return augment(example.picture, self.size, self.augment, generator)


def fill(
    cache: FeatureCache,
    wanted: Wanted,
    parts: Sequence[int],
    compute: Compute,
    *,
    advance: Callable[[int], None],
    num_workers: int = 0,
) -> None:
    """Compute parts and write them.

    Args:
        cache: its folder exists
        wanted: what it is of
        parts: those to be filled
        compute: the frozen part of the backbone
        advance: is told how many more views are done
        num_workers: processes that decode; 0 = this one

    Raises:
        TrainingError: most pictures cannot be read, or features are too large for float16
        OutputError: a part cannot be written
    """
    if not parts:
        return
    skipped = Skipped(wanted.num_rows)
    chunks = [rows for part in parts for rows in _chunks(cache.rows(part))]
    made = _made(wanted, chunks, num_workers)
    for part in parts:
        start = cache.rows(part).start
        features = np.empty((len(cache.rows(part)), *wanted.shape), np.float16)
        failures: dict[int, Failure] = {}
        for rows in _chunks(cache.rows(part)):
            _, images, failed = next(made)
            skipped.add(len(rows), list(failed.values()))
            failures |= failed
            features[rows.start - start : rows.stop - start] = _half(compute, images)
            advance(len(rows))
        cache.write(part, features, failures)


def _chunks(rows: range) -> Iterator[range]:
    for start in range(rows.start, rows.stop, _CHUNK):
        yield range(start, min(start + _CHUNK, rows.stop))


def _made(wanted: Wanted, chunks: Sequence[range], num_workers: int) -> Iterator[_Made]:
    pixels = _Pixels(
        examples=wanted.examples,
        size=wanted.size,
        augment=wanted.augment,
        num_views=wanted.num_views,
        seed=wanted.seed,
    )
    loader: DataLoader[Any] = DataLoader(  # Any: what a worker made goes through unchanged
        pixels,
        batch_size=None,
        sampler=chunks,
        num_workers=num_workers,
        collate_fn=_same,
        prefetch_factor=_PREFETCH if num_workers else None,
        generator=torch.Generator(),  # its own: the run's draws stay what they are
    )
    return iter(loader)


def _same(value: Any) -> Any:  # Any: as above
    return value


@torch.inference_mode()
def _half(compute: Compute, images: Tensor) -> Features:
    values = compute(images).cpu().numpy()
    with np.errstate(over="ignore"):
        features: Features = values.astype(np.float16)
    if not np.isfinite(features).all():
        raise TrainingError(
            f"features of the frozen backbone are up to {np.abs(values).max():.3g} and do not fit "
            "into float16, in which they are kept; set data.cached_views=null"
        )
    return features
