"""``anytag`` with a model that is fast, needs no weights, and can be slow on purpose.

Run as ``python fake_anytag.py DELAY COMMAND...``: the real command line, but its `Tagger` gives
the mean red, green and blue of an image, and takes DELAY seconds for each batch. As with the real
one on a CPU, the last digits depend on how many images are computed together.
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.data.images import LoadedImage, load_image
from anytag.labels.labelset import Label, LabelSet

CPU_CHUNK = 4
LABELS = LabelSet(
    [
        Label(id=0, name="red", kind="attribute", parents=("color",), translations={"de": "rot"}),
        Label(id=1, name="green", synonyms=("verdant",), translations={"de": "grün"}),
        Label(id=2, name="blue", threshold=0.9),
    ]
)


class Tagger:
    """What the command line uses of `anytag.inference.tagger.Tagger`."""

    model_name = "fake-1"
    image_size = 8
    own_tags = "any"
    writes_captions = False
    device = SimpleNamespace(type="cpu")
    dtype = "float32"
    delay = 0.0

    def __init__(self, labels: LabelSet = LABELS) -> None:
        self.labels = labels

    @classmethod
    def from_pretrained(cls, model: str = "nano", **_: str) -> Tagger:
        tagger = cls()
        tagger.model_name = f"{model}-fake"
        return tagger

    def with_tags(self, names: list[str], *, extend: bool = False) -> Tagger:
        before = self.labels.names if extend else []
        return Tagger(LabelSet.from_names([*before, *names]))

    def with_labels(self, labels: LabelSet) -> Tagger:
        return Tagger(labels)

    def load(self, source: Any, limits: Any = None) -> LoadedImage:
        return load_image(source, size=self.image_size)

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        time.sleep(self.delay)
        colors = pixels.reshape(len(pixels), -1, 3).mean(axis=1) / 256
        colors += 0.001 * (len(pixels) % CPU_CHUNK)
        return np.resize(colors, (len(pixels), len(self.labels))).astype(np.float32)

    score_many = score


if __name__ == "__main__":
    Tagger.delay = float(sys.argv.pop(1))
    sys.modules["anytag.inference.tagger"] = sys.modules["__main__"]
    from anytag.cli.main import main

    main()
