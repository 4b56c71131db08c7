"""Images per second of the training loader, beside a plain loop and beside the model's steps.

::

    python benchmarks/loader.py --json benchmarks/results/loader.json

loader
    `anytag.training.loader.Loader`: JPEGs decoded at reduced size where the crop allows, random
    crop, mirroring, RandAugment, targets of the model's tags
plain
    a `torch.utils.data.Dataset` of the same pictures: decoded in full by Pillow, then the same
    augmentation and a target vector, `DataLoader` with default collation and the same order of work
step
    nano's training step (forward, backward, AdamW; backbone frozen and not) on one batch that is
    there already: what the loader must keep up with

Photos are made by the script from scikit-image's, as `speed.py` does. Loader and plain alternate;
figures are medians over the rounds, a ratio is of one round.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from quality import machine, today
from speed import list_photos, make_photos
from torch.utils.data import DataLoader, Dataset

from anytag.labels.labelset import LabelSet
from anytag.training.augment import OPERATIONS, crop_box, operate
from anytag.training.config import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    SourceConfig,
    TrainConfig,
)
from anytag.training.examples import open_examples
from anytag.training.loader import Loader
from anytag.training.session import open_session
from anytag.training.targets import TargetMaker

SIZES = ((640, 480), (1600, 1200))
NUM_PHOTOS = 64
TAGS = ("cat", "dog", "tree")


class PlainPhotos(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What one writes first."""

    def __init__(self, photos: Sequence[Path], num_tags: int, size: int) -> None:
        self._photos = list(photos)
        self._num_tags = num_tags
        self._size = size
        self._config = AugmentConfig()

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        with Image.open(self._photos[number]) as image:
            picture = image.convert("RGB")
        generator = np.random.default_rng(number)
        box = crop_box(*picture.size, self._config.crop_area, generator)
        size = (self._size, self._size)
        view = picture.resize(size, Image.Resampling.BICUBIC, box=box)
        if generator.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for _ in range(self._config.num_operations):
            name = OPERATIONS[int(generator.integers(len(OPERATIONS)))]
            if generator.random() < 0.5:
                view = operate(view, name, self._config.magnitude, generator.random() < 0.5)
        target = torch.zeros(self._num_tags)
        target[number % len(TAGS)] = 1
        return torch.from_numpy(np.array(view)).permute(2, 0, 1), target


def write_table(folder: Path) -> Path:
    """The photos with tags, as a user would give them."""
    rows = [f"{p.name},{TAGS[n % len(TAGS)]}" for n, p in enumerate(list_photos(folder))]
    path = folder / "photos.csv"
    path.write_text("\n".join(["image,tags", *rows]) + "\n", encoding="utf-8")
    return path


def rate(batches: Callable[[int], Iterable[Any]], num: int, epochs: int) -> float:
    """Images a second over some epochs, after one of warm-up that starts the workers."""
    for _ in batches(0):
        pass
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        for _ in batches(epoch):
            pass
    return num * epochs / (time.perf_counter() - start)


def measure_loading(
    folder: Path, labels: LabelSet, options: argparse.Namespace, workers: int
) -> dict[str, Any]:
    """Loader and plain loop on one folder of photos."""
    photos = list_photos(folder)
    num = len(photos) // options.batch_size * options.batch_size
    source = SourceConfig(path=str(write_table(folder)))
    loader = Loader(
        open_examples([source], folder / "cache"),
        TargetMaker(labels),
        size=options.size,
        augment=AugmentConfig(),
        batch_size=options.batch_size,
        seed=0,
        num_workers=workers,
    )
    plain = DataLoader(
        PlainPhotos(photos, len(labels), options.size),
        options.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    rounds = []
    for number in range(options.rounds):
        found = {}
        for name in ("loader", "plain") if number % 2 == 0 else ("plain", "loader"):
            batches = loader.batches if name == "loader" else lambda _: plain
            found[name] = rate(batches, num, options.epochs)
        rounds.append(found)
    rates = {name: median(one[name] for one in rounds) for name in ("loader", "plain")}
    ratios = [one["loader"] / one["plain"] for one in rounds]
    return {
        "workers": workers,
        "images_per_second": round(rates["loader"], 1),
        "images_per_second_per_worker": round(rates["loader"] / max(1, workers), 1),
        "plain_images_per_second": round(rates["plain"], 1),
        "ratio": round(median(ratios), 2),
        "ratios": [round(one, 2) for one in ratios],
    }


def measure_step(
    folder: Path, options: argparse.Namespace, trainable_blocks: int | None
) -> dict[str, Any]:
    """The training step of nano alone, on a batch that stays."""
    config = TrainConfig(
        output=str(folder / "run"),
        model=ModelConfig(start="nano", num_trainable_blocks=trainable_blocks),
        data=DataConfig(train=(SourceConfig(path=str(write_table(folder))),), num_workers=0),
        loss=LossConfig(),
        optim=OptimConfig(),
        run=RunConfig(batch_size=options.batch_size, device=options.device),
    )
    session = open_session(config)
    batch = next(session.loader.batches(0)).to(session.accelerator.device)
    times = []
    for number in range(options.steps + 2):
        start = time.perf_counter()
        loss = session.model(batch)["total"]
        session.accelerator.backward(loss)
        session.optimizer.step()
        session.optimizer.zero_grad(set_to_none=True)
        float(loss.detach())  # waits for a GPU
        if number >= 2:
            times.append(time.perf_counter() - start)
    return {
        "backbone": "frozen" if trainable_blocks == 0 else "trained",
        "image_size": session.trainable.image_size,
        "tags": len(session.trainable.labels),
        "device": str(session.accelerator.device),
        "threads": torch.get_num_threads(),
        "steps_per_second": round(1 / median(times), 2),
        "images_per_second": round(options.batch_size / median(times), 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="side of the views")
    parser.add_argument("--photos", type=int, default=NUM_PHOTOS, help="of each size")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="in one round")
    parser.add_argument("--steps", type=int, default=10, help="of the model")
    parser.add_argument("--device", default="auto", help="of the model: auto or cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {
        "kind": "loader",
        "date": today(),
        "machine": machine(),
        "load": os.getloadavg()[0],
        "settings": {"batch_size": options.batch_size, "size": options.size},
        "loading": [],
    }
    with tempfile.TemporaryDirectory() as name:
        for width, height in SIZES:
            folder = Path(name) / f"{width}x{height}"
            folder.mkdir()
            make_photos(folder, options.photos, (width, height))
        first = Path(name) / f"{SIZES[0][0]}x{SIZES[0][1]}"
        result["step"] = [measure_step(first, options, blocks) for blocks in (0, None)]
        labels = LabelSet.from_names(f"tag {n}" for n in range(result["step"][0]["tags"]))
        for width, height in SIZES:
            folder = Path(name) / f"{width}x{height}"
            for workers in options.workers:
                found = measure_loading(folder, labels, options, workers)
                fastest = max(step["images_per_second"] for step in result["step"])
                found["times_the_fastest_step"] = round(found["images_per_second"] / fastest, 2)
                result["loading"].append({"photos": f"{width}x{height}", **found})
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
