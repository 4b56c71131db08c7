"""Batches for training and validation, made by worker processes.

What an example becomes (its crop, or which view of a cache; its caption) is a pure function of
(seed, epoch, place in the epoch's order): the number of workers, the number of processes and an
interruption change no bit.
Process r of W takes the r-th part of each global batch.

    loader = Loader(train, targets, size=224, augment=config.augment, batch_size=32, seed=0)
    for step, batch in enumerate(loader.batches(epoch=3, start_step=17), start=17):
        ...
    print(loader.skipped.total, list(loader.skipped.failures))

Shapes: B images, S side in pixels, T tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from anytag.errors import UsageError
from anytag.training.batch import Batch
from anytag.training.config import AugmentConfig
from anytag.training.examples import Examples
from anytag.training.feature_cache import FeatureCache
from anytag.training.skipping import Skipped
from anytag.training.targets import TargetMaker
from anytag.training.texts import TextMaker
from anytag.training.views import Request, Views

#: batches that each worker has ready
_PREFETCH = 2


class _Requests(Sampler[Request]):
    """What the workers are asked for next; changed between epochs, while they live on."""

    def __init__(self) -> None:
        self.pending: Iterable[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.pending)


class _Workers:
    """Processes that make batches, in the order of the requests."""

    def __init__(self, views: Views, num_workers: int, pin_memory: bool, is_kept: bool) -> None:
        self._requests = _Requests()
        self._loader = DataLoader(
            views,
            batch_size=None,
            sampler=self._requests,
            num_workers=num_workers,
            collate_fn=_same,
            pin_memory=pin_memory,
            persistent_workers=is_kept and num_workers > 0,
            prefetch_factor=_PREFETCH if num_workers else None,
            # its own, else each start would take a number from the generator that dropout uses
            generator=torch.Generator(),
        )
        self.skipped = Skipped(len(views.examples))

    def batches(self, requests: Iterable[Request]) -> Iterator[Batch]:
        self._requests.pending = requests
        for reply in self._loader:
            self.skipped.add(reply.num, reply.failures)
            if reply.is_end:
                self.skipped.give_up()
            if reply.batch is not None:
                yield reply.batch


def _same(value: Any) -> Any:  # Any: what a worker made goes through unchanged
    return value


class Loader:
    """Batches of random views, epoch after epoch.

    Args:
        examples: what is learned from
        targets: makes targets of T tags
        size: side S of the views
        augment: how views are drawn
        batch_size: pictures a step, over all processes
        seed: of the order and the views
        texts: makes ids of captions and tag texts; None = `Batch.texts` is None
        cache: features of views of the examples; None = pictures are decoded
        rank: of this process
        world: number of processes
        num_workers: processes that decode; 0 = this one
        pin_memory: put batches where a GPU copies fast

    Raises:
        UsageError: fewer examples than a batch, or a batch that cannot be divided
    """

    def __init__(
        self,
        examples: Examples,
        targets: TargetMaker,
        *,
        size: int,
        augment: AugmentConfig,
        batch_size: int,
        seed: int,
        texts: TextMaker | None = None,
        cache: FeatureCache | None = None,
        rank: int = 0,
        world: int = 1,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        if batch_size % world:
            raise UsageError(f"batch_size {batch_size} cannot be divided by {world} processes")
        if len(examples) < batch_size:
            raise UsageError(
                f"{len(examples)} training pictures make no batch of {batch_size}; set "
                "run.batch_size to that or less"
            )
        self.steps_per_epoch = len(examples) // batch_size
        self._examples, self._seed = examples, seed
        self._batch_size = batch_size
        self._rank, self._world = rank, world
        views = Views(
            examples=examples,
            targets=targets,
            texts=texts,
            size=size,
            augment=augment,
            seed=seed,
            cache=cache,
        )
        self._workers = _Workers(views, num_workers, pin_memory, is_kept=True)

    @property
    def skipped(self) -> Skipped:
        """Pictures that this process could not read, in all epochs so far."""
        return self._workers.skipped

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from a step on; the last, incomplete one is left out.

        Raises:
            TrainingError: more than half of 1,000 pictures in a row cannot be read
        """
        share = self._batch_size // self._world
        first = self._rank * share
        requests = [
            Request(epoch, start, start + share)
            for start in range(
                start_step * self._batch_size + first,
                self.steps_per_epoch * self._batch_size,
                self._batch_size,
            )
        ]
        return self._workers.batches(requests)

    def names(self, positions: Sequence[int], step: int) -> list[str]:
        """The pictures at places of an epoch, for messages.

        Args:
            positions: of a batch
            step: of the run, from 0, which says the epoch
        """
        order = self._examples.order(seed=self._seed, epoch=step // self.steps_per_epoch)
        numbers = order.at(np.array(positions, np.int64))
        return [self._examples.record(int(number))[1].image for number in numbers]


class ValidationLoader:
    """All examples once, in order, as inference sees them; unreadable ones are left out.

    ``Batch.positions`` are the numbers of the examples. Of several captions the first is given.

    Args:
        examples: what is validated on
        targets: makes targets of T tags
        size: side S
        batch_size: pictures a batch of this process
        texts: see `Loader`
        cache: features of the whole pictures; None = they are decoded
        rank: of this process, which gets every ``world``-th batch
        world: number of processes
        num_workers: processes that decode, ended with each iteration; 0 = this one
        pin_memory: see `Loader`
    """

    def __init__(
        self,
        examples: Examples,
        targets: TargetMaker,
        *,
        size: int,
        batch_size: int,
        texts: TextMaker | None = None,
        cache: FeatureCache | None = None,
        rank: int = 0,
        world: int = 1,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        starts = range(rank * batch_size, len(examples), world * batch_size)
        self._requests = [
            Request(0, start, min(start + batch_size, len(examples))) for start in starts
        ]
        views = Views(
            examples=examples,
            targets=targets,
            texts=texts,
            size=size,
            augment=None,
            seed=0,
            cache=cache,
        )
        self._workers = _Workers(views, num_workers, pin_memory, is_kept=False)

    @property
    def skipped(self) -> Skipped:
        """Pictures that this process could not read, in all iterations so far."""
        return self._workers.skipped

    def __len__(self) -> int:
        """Number of batches of this process, unreadable ones included."""
        return len(self._requests)

    def __iter__(self) -> Iterator[Batch]:
        return self._workers.batches(self._requests)
