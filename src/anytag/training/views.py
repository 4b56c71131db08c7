"""Examples to batches: what the loader's worker processes do.

What an example becomes is a pure function of (seed, epoch, place in the epoch's order), also where
features of views stand in for pixels (`feature_cache`): then the place decides which view.

Shapes: B images, S side in pixels, T tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from anytag.training.feature_cache import FeatureCache
from anytag.training.skipping import WINDOW, Failure
from anytag.training.targets import Answers, TargetMaker
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

    #: uint8 [S, S, 3], or float16 features of it
    seen: npt.NDArray[Any]
    answers: Answers
    caption: str
    caption_tags: tuple[str, ...]
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Views(Dataset[Reply]):
    """Makes batches; lives in the worker processes.

    With `augment` as in training: a random view, and in place of a picture that cannot be read the
    next one of the order. Without it as in validation: the whole picture, unreadable ones left out.
    With a `cache` nothing is decoded: its features stand in for pixels, of a view that is drawn.
    """

    examples: Examples
    targets: TargetMaker
    texts: TextMaker | None
    size: int
    augment: AugmentConfig | None
    seed: int
    cache: FeatureCache | None = None

    def __getitem__(self, request: Request) -> Reply:
        failures: list[Failure] = []
        views = []
        for place in range(request.start, request.stop):
            if self.augment is None:
                view = self._whole(place, failures)
            else:
                view = self._random(request.epoch, place, failures)
                if view is None:
                    return Reply(None, place + 1 - request.start, failures, is_end=True)
            if view is not None:
                views.append(view)
        batch = self._collate(views) if views else None
        return Reply(batch, request.stop - request.start, failures)

    def _random(self, epoch: int, place: int, failures: list[Failure]) -> _View | None:
        num = len(self.examples)
        order = self.examples.order(seed=self.seed, epoch=epoch)
        generator = np.random.default_rng([self.seed, epoch, place])
        for attempt in range(min(WINDOW, num)):
            number = int(order.at(np.array([(place + attempt) % num]))[0])
            try:
                record, seen = self._see(number, generator)
            except ImageError as error:
                if attempt == 0:  # the next one is counted at its own place
                    failures.append(self._failure(number, error))
                continue
            chosen = generator.random()
            return self._view(number, record, seen, chosen, place)
        return None

    def _whole(self, number: int, failures: list[Failure]) -> _View | None:
        try:
            record, seen = self._see(number, None)
        except ImageError as error:
            failures.append(self._failure(number, error))
            return None
        return self._view(number, record, seen, 0.0, number)

    def _see(
        self, number: int, generator: np.random.Generator | None
    ) -> tuple[Record, npt.NDArray[Any]]:
        """Record, and pixels or features: of a random view, or of the whole picture."""
        if self.cache is not None:
            view = 0 if generator is None else int(generator.integers(self.cache.num_views))
            return self.examples.record(number)[1], self.cache.get(number, view)
        example = self.examples[number]
        if self.augment is None or generator is None:
            return example.record, example.pixels(self.size)
        return example.record, augment(example.picture, self.size, self.augment, generator)

    def _view(
        self,
        number: int,
        record: Record,
        seen: npt.NDArray[Any],
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
        answers = self.targets.answers(*self.examples.place(number), targets.ids)
        return _View(seen, answers, caption, caption_tags, place)

    def _collate(self, views: Sequence[_View]) -> Batch:
        targets = torch.from_numpy(np.stack([view.answers.targets for view in views]))
        given = [w for w in (view.answers.weights for view in views) if w is not None]
        weights = torch.from_numpy(np.stack(given)) if given else None
        captions = tuple(view.caption for view in views)
        texts = None
        if self.texts is not None:
            texts = self.texts.make(captions, [view.caption_tags for view in views])
        seen = torch.from_numpy(np.stack([view.seen for view in views]))
        return Batch(
            images=seen.permute(0, 3, 1, 2).contiguous() if self.cache is None else None,
            features=None if self.cache is None else seen,
            targets=targets,
            weights=weights,
            texts=texts,
            captions=captions,
            positions=torch.tensor([view.place for view in views]),
        )

    def _failure(self, number: int, error: ImageError) -> Failure:
        return Failure(self.examples.record(number)[1].image, error.kind, str(error))
