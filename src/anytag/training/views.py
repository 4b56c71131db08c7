"""Examples to batches: what the loader's worker processes do.

What an example becomes is a pure function of (seed, epoch, place in the epoch's order).

Shapes: B images, S side in pixels, T tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from anytag.data.records import Record
from anytag.errors import ImageError
from anytag.training.augment import augment
from anytag.training.batch import Batch
from anytag.training.config import AugmentConfig
from anytag.training.examples import Examples
from anytag.training.skipping import WINDOW, Failure
from anytag.training.targets import TargetMaker
from anytag.training.texts import TextMaker, clean_caption


class Request(NamedTuple):
    """A batch that a worker is asked for: places ``start`` to below ``stop`` of an epoch."""

    epoch: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back; no batch if no picture could be read."""

    batch: Batch | None
    #: examples that were asked for
    num: int
    failures: list[Failure]
    #: so many pictures in a row cannot be read that the worker has given up
    is_end: bool = False

    def pin_memory(self) -> Reply:
        batch = None if self.batch is None else self.batch.pin_memory()
        return Reply(batch, self.num, self.failures, self.is_end)


class _View(NamedTuple):
    """One example, ready to become a row of a batch."""

    pixels: npt.NDArray[np.uint8]
    ids: tuple[int, ...]
    weights: npt.NDArray[np.bool_] | None
    caption: str
    caption_tags: tuple[str, ...]
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Views(Dataset[Reply]):
    """Makes batches; lives in the worker processes.

    With `augment` as in training: a random view, and in place of a picture that cannot be read the
    next one of the order. Without it as in validation: the whole picture, unreadable ones left out.
    """

    examples: Examples
    targets: TargetMaker
    texts: TextMaker | None
    size: int
    augment: AugmentConfig | None
    seed: int

    def __getitem__(self, request: Request) -> Reply:
        failures: list[Failure] = []
        views = []
        for place in range(request.start, request.stop):
            if self.augment is None:
                view = self._whole(place, failures)
            else:
                view = self._random(request.epoch, place, self.augment, failures)
                if view is None:
                    return Reply(None, place + 1 - request.start, failures, is_end=True)
            if view is not None:
                views.append(view)
        batch = self._collate(views) if views else None
        return Reply(batch, request.stop - request.start, failures)

    def _random(
        self, epoch: int, place: int, config: AugmentConfig, failures: list[Failure]
    ) -> _View | None:
        num = len(self.examples)
        order = self.examples.order(seed=self.seed, epoch=epoch)
        generator = np.random.default_rng([self.seed, epoch, place])
        for attempt in range(min(WINDOW, num)):
            number = int(order.at(np.array([(place + attempt) % num]))[0])
            try:
                example = self.examples[number]
                pixels = augment(example.picture, self.size, config, generator)
            except ImageError as error:
                if attempt == 0:  # the next one is counted at its own place
                    failures.append(self._failure(number, error))
                continue
            chosen = generator.random()
            return self._view(example.source, example.record, pixels, chosen, place)
        return None

    def _whole(self, number: int, failures: list[Failure]) -> _View | None:
        try:
            example = self.examples[number]
            pixels = example.pixels(self.size)
        except ImageError as error:
            failures.append(self._failure(number, error))
            return None
        return self._view(example.source, example.record, pixels, 0.0, number)

    def _view(
        self,
        source: int,
        record: Record,
        pixels: npt.NDArray[np.uint8],
        chosen: float,
        place: int,
    ) -> _View:
        targets = self.targets.make(record)
        caption = ""
        caption_tags: tuple[str, ...] = ()
        if record.captions:
            index = int(chosen * len(record.captions))
            caption = clean_caption(record.captions[index])
            caption_tags = targets.caption_tags[index]
        weights = self.targets.weights(source, targets.ids)
        return _View(pixels, targets.ids, weights, caption, caption_tags, place)

    def _collate(self, views: Sequence[_View]) -> Batch:
        num_tags = len(self.targets.labels)
        targets = torch.zeros(len(views), num_tags)
        images = torch.empty(len(views), 3, self.size, self.size, dtype=torch.uint8)
        weights = None if views[0].weights is None else torch.ones(len(views), num_tags)
        for row, view in enumerate(views):
            images[row] = torch.from_numpy(view.pixels.transpose(2, 0, 1).copy())
            targets[row, list(view.ids)] = 1.0
            if weights is not None and view.weights is not None:
                weights[row] = torch.from_numpy(view.weights).float()
        captions = tuple(view.caption for view in views)
        texts = None
        if self.texts is not None:
            texts = self.texts.make(captions, [view.caption_tags for view in views])
        return Batch(
            images=images,
            targets=targets,
            weights=weights,
            texts=texts,
            captions=captions,
            positions=torch.tensor([view.place for view in views]),
        )

    def _failure(self, number: int, error: ImageError) -> Failure:
        return Failure(self.examples.record(number)[1].image, error.kind, str(error))
