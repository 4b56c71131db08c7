"""What a model does with a batch of decoded images: scores, captions, explanations.

A task is one object for all requests that ask the same (`anytag.serve.recent.Recent` keeps it), so
that the batcher puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from anytag.data.images import LoadedImage
from anytag.inference.results import Tag
from anytag.inference.scorer import CPU_CHUNK
from anytag.inference.stream import Scored, scored_item
from anytag.inference.tagger import Tagger

if TYPE_CHECKING:
    from anytag.inference.explain import Explainer, Explanation
    from anytag.inference.image_captions import ImageCaptioner

T = TypeVar("T")


class Scoring:
    """Scores of a list of tags."""

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger

    def __call__(self, images: Sequence[LoadedImage]) -> list[Scored[Tagger]]:
        scores = self.tagger.score(_pixels(images))
        return [
            scored_item(self.tagger, image, row) for image, row in zip(images, scores, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Captioned:
    """A caption and the tags that were found."""

    caption: str
    tags: tuple[Tag, ...]


class Captioning:
    """Captions, as many at a time as the network takes at once."""

    def __init__(self, captioner: ImageCaptioner, *, on_cpu: bool) -> None:
        self._captioner = captioner
        self._on_cpu = on_cpu

    def __call__(self, images: Sequence[LoadedImage]) -> list[Captioned]:
        step = CPU_CHUNK if self._on_cpu else len(images)
        parts = (images[start : start + step] for start in range(0, len(images), step))
        rows = [row for part in parts for row in self._captioner(_pixels(part))]
        return [Captioned(caption, tags) for tags, _, caption in rows]


class Explaining:
    """Where each image shows a tag."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer

    def __call__(self, images: Sequence[LoadedImage]) -> list[Explanation]:
        return [self._explainer.explain(image)[0] for image in images]


def _pixels(images: Sequence[LoadedImage]) -> npt.NDArray[np.uint8]:
    return np.stack([image.pixels for image in images])
