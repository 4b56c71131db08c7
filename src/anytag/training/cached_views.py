"""The caches of a run: what the frozen part of its backbone gives for views of its pictures.

They are filled before the first step, by all processes together, and stay in the run's folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from anytag.errors import OutputError
from anytag.files import display_path
from anytag.training.config import TrainConfig
from anytag.training.examples import Examples
from anytag.training.feature_cache import FeatureCache, Wanted
from anytag.training.feature_fill import fill
from anytag.training.features import cut_backbone
from anytag.training.objective import Objective

#: is told views of this process that are kept, all of them, and the bytes of all processes' on disk
Told = Callable[[int, int, int], None]


class CachedViews:
    """The caches of training and validation pictures.

    Args:
        config: of the run, with ``data.cached_views``
        objective: on its device, not yet spread over processes
        image_size: side S of the views
        sets: training pictures and, if any, validation pictures, each of which has one view

    Raises:
        ConfigError: the backbone cannot be cut where it is frozen
    """

    def __init__(
        self,
        config: TrainConfig,
        objective: Objective,
        image_size: int,
        sets: Sequence[Examples],
    ) -> None:
        self._folder = Path(config.output) / "cache"
        self._objective = objective
        self._num_workers = config.data.num_workers
        self._wanted = _wanted(config, objective, image_size, sets)
        #: in the order of ``sets``; can be asked once they are filled
        self.caches = [FeatureCache(self._folder, one) for one in self._wanted]

    def fill(self, accelerator: Any, told: Told) -> None:
        """Compute what is not there; leaves the objective in evaluation mode.

        Args:
            accelerator: Accelerate's, which is an extra and has no types for us
            told: how it goes on

        Raises:
            OutputError: the disk has too little room, or cannot be written
            TrainingError: most pictures cannot be read, or features do not fit into float16
        """
        objective = self._objective.eval()
        cut = cut_backbone(objective.network.encoder.backbone)
        if accelerator.is_main_process:
            self._make_room()
        accelerator.wait_for_everyone()
        rank, world = accelerator.process_index, accelerator.num_processes
        total = sum(cache.count(cache.share(rank, world)) for cache in self.caches)
        # what is not there is found once: other processes are writing
        parts = [cache.missing(rank, world) for cache in self.caches]
        left = sum(cache.count(own) for cache, own in zip(self.caches, parts, strict=True))
        num_bytes = sum(one.num_rows * one.row_bytes for one in self._wanted)

        def compute(images: Tensor) -> Tensor:
            with accelerator.autocast():  # as the steps compute
                return cut.lower(objective.normalize(images.to(accelerator.device))).float()

        def advance(num: int) -> None:
            nonlocal left
            left -= num
            told(total - left, total, num_bytes)

        if left:
            advance(0)
        for cache, wanted, own in zip(self.caches, self._wanted, parts, strict=True):
            fill(cache, wanted, own, compute, advance=advance, num_workers=self._num_workers)
        accelerator.wait_for_everyone()
        if any(cache.missing() for cache in self.caches):
            raise OutputError(
                f"{display_path(self._folder)}: what other processes have computed is not there; "
                "all processes of a run need the same output folder"
            )

    def _make_room(self) -> None:
        """Make the folders, remove what a killed run or another configuration has left in this
        run's own, and see that the disk has room for the rest.
        """
        for old in self._folder.glob("features-*"):
            if old not in [cache.folder for cache in self.caches]:
                shutil.rmtree(old, ignore_errors=True)
        needed = 0
        for cache, wanted in zip(self.caches, self._wanted, strict=True):
            cache.folder.mkdir(parents=True, exist_ok=True)
            for left in cache.folder.glob(".anytag-*.tmp"):
                left.unlink(missing_ok=True)
            needed += cache.count(cache.missing()) * wanted.row_bytes
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            num_views = sum(one.num_rows for one in self._wanted)
            raise OutputError(
                f"{display_path(self._folder)}: the features of {num_views:,} views need "
                f"{needed / 1e9:,.2f} GB more, and {free / 1e9:,.2f} GB are free there; lower "
                "data.cached_views or model.image_size, give an output on another disk, or set "
                "data.cached_views=null (nothing is kept)"
            )


def _wanted(
    config: TrainConfig, objective: Objective, image_size: int, sets: Sequence[Examples]
) -> list[Wanted]:
    cut = cut_backbone(objective.network.encoder.backbone)
    network, shape = f"{cut.hash()} {config.run.precision}", cut.shape(image_size)
    statistics = objective.normalization
    assert config.data.cached_views is not None
    ways = ((config.data.augment, config.data.cached_views), (None, 1))
    return [
        Wanted(
            examples=examples,
            network=network,
            shape=shape,
            size=image_size,
            normalization=(statistics.mean, statistics.std),
            augment=augment,
            num_views=num_views,
            seed=config.run.seed,
        )
        for examples, (augment, num_views) in zip(sets, ways, strict=False)
    ]
