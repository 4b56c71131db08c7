"""Small data sets of made pictures."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

TAGS = ["cat", "dog", "animal", "beach", "sofa"]
CAPTIONS = ["a puppy on the beach", "no dog", "two cats", "a sofa"]


class Listener:
    """Counts the steps of trainings, and may stop a run as Ctrl-C does."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps = 0
        self._stop_after = stop_after

    def noted(self, text: str) -> None:
        pass

    def caching(self, done: int, total: int, size: int) -> None:
        pass

    def started(self, step: int, total: int) -> None:
        pass

    def stepped(self, step: int, epoch: int, losses: dict[str, float]) -> None:
        self.steps += 1
        if self.steps == self._stop_after:
            raise KeyboardInterrupt

    def validated(self, step: int, validation: Any, is_best: bool) -> None:
        pass


def picture(number: int) -> bytes:
    """A PNG of noise in blocks, another one for each number."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.kron(blocks, np.ones((10, 10, 1), np.uint8))).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[..., Path]:
    """``make(num)`` writes that many pictures and their records; one in ten cannot be read."""

    def make(num: int, name: str = "data", broken: bool = True) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        draw = random.Random(num)
        rows = []
        for number in range(num):
            image = folder / f"{number:04}.png"
            image.write_bytes(b"no picture" if broken and number % 10 == 7 else picture(number))
            row = {"image": str(image), "tags": draw.sample(TAGS, draw.randrange(4))}
            if number % 3 == 0:
                row["captions"] = draw.sample(CAPTIONS, 2)
            rows.append(json.dumps({**row, "source": "made"}))
        path = folder / "records.jsonl"
        path.write_text("\n".join(rows) + "\n")
        return path

    return make


@pytest.fixture
def make_shard(tmp_path: Path) -> Callable[[int], Path]:
    """``make(num)`` writes a webdataset shard."""

    def make(num: int) -> Path:
        path = tmp_path / "00000.tar"
        with tarfile.open(path, "w") as tar:
            for number in range(num):
                for suffix, content in (("png", picture(number)), ("txt", b"a puppy")):
                    member = tarfile.TarInfo(f"{number:04}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        return path

    return make
