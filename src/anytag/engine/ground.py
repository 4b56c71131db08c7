"""Where a tag is in a picture: the `Detector` protocol, and the two detectors that need no weights
but the baseline's own. Grounding DINO is in `grounding_dino`.

windows     the window of the picture in which the baseline's score of the tag is highest. Nine
            windows of half the side and four of 0.6 of it, evenly spaced.
attention   the box around the largest connected part of the tag's cross-attention map where it
            has at least half of its maximum. It costs one pass instead of thirteen, and for nano it
            is no better than chance (docs/engine.md).

Shapes: S side that the network sees, T tags. Boxes are (left, top, right, bottom) as fractions of
the picture in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from anytag.inference.heatmap import Box as Box
from anytag.inference.heatmap import attended_box as attended_box
from anytag.inference.scorer import Scorer

Pixels: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Region:
    """A place in a picture where a tag was found."""

    #: place of the tag in the list that was asked for
    tag: int
    box: Box
    #: in [0, 1]; its meaning is the detector's
    score: float


class Detector(Protocol):
    """Finds tags in one picture."""

    #: part of the settings of a run, so that regions of another detector are not mixed in
    name: str

    def detect(self, image: Image.Image, tags: Sequence[int]) -> list[Region]:
        """Regions of some of the tags that the detector was made for.

        Args:
            image: RGB
            tags: places in that list, without repetition

        Returns:
            regions of these tags, in no particular order; a tag may have none, or several
        """


def crop(image: Image.Image, box: Box, size: int) -> Pixels:
    """A part of a picture as the network sees it, uint8 [S, S, 3]; at least one pixel of it."""
    width, height = image.size
    left = min(int(box[0] * width), width - 1)
    top = min(int(box[1] * height), height - 1)
    right = max(left + 1, min(width, round(box[2] * width)))
    bottom = max(top + 1, min(height, round(box[3] * height)))
    part = image.crop((left, top, right, bottom))
    return np.array(part.resize((size, size), Image.Resampling.BILINEAR))  # writable, for torch


def grid_boxes(side: float, num: int) -> list[Box]:
    """``num`` x ``num`` evenly spaced squares of this side that together cover the picture.

    >>> grid_boxes(0.5, 2)[1]
    (0.5, 0.0, 1.0, 0.5)
    """
    starts = [float(start) for start in np.linspace(0, 1 - side, num)]
    return [(x, y, x + side, y + side) for y in starts for x in starts]


WINDOWS = (*grid_boxes(0.6, 2), *grid_boxes(0.5, 3))


class WindowDetector:
    """The window with the highest score of the tag; the score of a region is that score.

    Args:
        tagger: the baseline, asked for the tags
        threshold: least score; with 0 every tag has a region
    """

    def __init__(self, tagger: Scorer, threshold: float = 0.0) -> None:
        self.name = f"windows >= {threshold}"
        self._tagger = tagger
        self._threshold = threshold

    def detect(self, image: Image.Image, tags: Sequence[int]) -> list[Region]:
        """See `Detector.detect`."""
        parts = np.stack([crop(image, box, self._tagger.image_size) for box in WINDOWS])
        scores = self._tagger.score(parts)[:, list(tags)]
        return [
            Region(tag, WINDOWS[best], float(scores[best, column]))
            for column, (tag, best) in enumerate(zip(tags, scores.argmax(axis=0), strict=True))
            if scores[best, column] >= self._threshold
        ]


class AttentionDetector:
    """The box around where the network looks; its score is the tag's share of attention there.

    Args:
        tagger: the baseline, asked for the tags; one with attention maps
        threshold: least score
    """

    def __init__(self, tagger: Scorer, threshold: float = 0.0) -> None:
        self.name = f"attention >= {threshold}"
        self._tagger = tagger
        self._threshold = threshold

    def detect(self, image: Image.Image, tags: Sequence[int]) -> list[Region]:
        """See `Detector.detect`."""
        pixels = crop(image, (0.0, 0.0, 1.0, 1.0), self._tagger.image_size)[None]
        maps = self._tagger.attention(pixels)[0]
        regions = []
        for tag in tags:
            box, share = attended_box(maps[tag])
            if share >= self._threshold:
                regions.append(Region(tag, box, share))
        return regions


def best_regions(regions: Sequence[Region], most: int) -> list[Region]:
    """At most so many regions of each tag, the best first; tags in order."""
    ranked = sorted(regions, key=lambda one: (one.tag, -one.score, one.box))
    taken: dict[int, int] = {}
    kept = []
    for region in ranked:
        taken[region.tag] = taken.get(region.tag, 0) + 1
        if taken[region.tag] <= most:
            kept.append(region)
    return kept
