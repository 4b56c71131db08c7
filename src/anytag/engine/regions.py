"""Regions of every tag that is cleaned: found, cut out, embedded and scored; a shard at a time.

Files of shard 7, all NumPy, so that a category's part of them can be read without the rest:

    00007.regions.npy       `REGION` [R]: which record, which category, where, and the scores
    00007.embeddings.npy    float16 [R, D]: the baseline's mean token of the crop, of length 1
    00007.background.npy    `BACKGROUND` [K]: scores of *all* categories on some pictures

The background pictures are a sample of the data. What the scores of a tag are like where it is
absent, and which score separates best, is learned from them (`clean`).

Shapes: R regions, C categories, D token width.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from anytag.data.images import open_image
from anytag.engine.ground import Box, Detector, best_regions, crop
from anytag.engine.pictures import Pictures, content
from anytag.errors import AnytagError
from anytag.files import atomic_write
from anytag.inference.scorer import Scorer

#: sides of a picture need not be longer for crops of it
_SIDE = 640
_DECODERS = 2
_AHEAD = 4
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

#: row: of the record within the shard. score: the detector's. whole and crop: the baseline's of
#: the tag on the picture and on the crop.
REGION = np.dtype(
    [
        ("row", "<i4"),
        ("category", "<i4"),
        ("box", "<f4", (4,)),
        ("score", "<f4"),
        ("whole", "<f4"),
        ("crop", "<f4"),
    ]
)
#: crop: the best region's, NaN without one. given: by people. present: given or generated.
BACKGROUND = np.dtype(
    [
        ("row", "<i4"),
        ("category", "<i4"),
        ("whole", "<f4"),
        ("crop", "<f4"),
        ("given", "?"),
        ("present", "?"),
    ]
)
Table: TypeAlias = npt.NDArray[Any]  # Any: a structured array


@dataclass(frozen=True, slots=True)
class ShardRegions:
    """What is known of one shard's regions."""

    #: `REGION` [R]
    regions: Table
    #: float16 [R, D]
    embeddings: npt.NDArray[np.float16]
    #: `BACKGROUND` [K]
    background: Table
    counts: Counter[str]


class RegionFinder:
    """Finds, cuts out, embeds and scores.

    Args:
        tagger: the baseline, asked for the C categories in order; also embeds crops
        detector: made for the same categories
        max_regions: of a tag in a picture
    """

    def __init__(self, tagger: Scorer, detector: Detector, max_regions: int) -> None:
        self._tagger = tagger
        self._detector = detector
        self._max_regions = max_regions

    def shard(
        self, images: Sequence[str], tags: Sequence[Mapping[int, bool]], background: set[int]
    ) -> ShardRegions:
        """All regions of a shard.

        Args:
            images: of its records
            tags: categories of each record, and whether people gave them
            background: rows in which all categories are looked for
        """
        regions: list[tuple[Any, ...]] = []
        vectors: list[npt.NDArray[np.float16]] = []
        rest: list[tuple[Any, ...]] = []
        counts: Counter[str] = Counter()
        wanted = [row for row in range(len(images)) if tags[row] or row in background]
        decoded = _decoded(images[row] for row in wanted)
        for row, image in zip(wanted, decoded, strict=True):
            if image is None:
                counts["unreadable pictures"] += 1
                continue
            own = tags[row]
            everything = list(range(len(self._tagger.labels)))
            found, whole = self._look(image, everything if row in background else list(own))
            with_region = {tag for tag, *_ in found}
            counts["tags with a region"] += len(own.keys() & with_region)
            counts["tags without a region"] += len(own.keys() - with_region)
            for tag, box, score, on_crop, vector in found:
                if tag in own:
                    regions.append((row, tag, box, score, whole[tag], on_crop))
                    vectors.append(vector)
            if row in background:
                best: dict[int, float] = {}
                for tag, _, _, on_crop, _ in found:
                    best[tag] = max(on_crop, best.get(tag, 0.0))
                rest += [
                    (row, tag, whole[tag], best.get(tag, np.nan), own.get(tag, False), tag in own)
                    for tag in everything
                ]
        counts["regions"] = len(regions)
        counts["background pictures"] = len({one[0] for one in rest})
        return ShardRegions(
            regions=np.array(regions, REGION),
            embeddings=np.stack(vectors) if vectors else np.zeros((0, 0), np.float16),
            background=np.array(rest, BACKGROUND),
            counts=counts,
        )

    def _look(
        self, image: Image.Image, tags: Sequence[int]
    ) -> tuple[
        list[tuple[int, Box, float, float, npt.NDArray[np.float16]]], npt.NDArray[np.float32]
    ]:
        """(tag, box, detector's score, crop's score, embedding) of each region; scores [C]."""
        found = best_regions(self._detector.detect(image, tags), self._max_regions)
        boxes = list(dict.fromkeys([WHOLE, *(one.box for one in found)]))
        size = self._tagger.image_size
        # the picture itself too, cut from the same pixels as its crops
        scores, means = self._tagger.look(np.stack([crop(image, box, size) for box in boxes]))
        lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        vectors = (means / lengths).astype(np.float16)
        place = {box: number for number, box in enumerate(boxes)}
        rows = [
            (
                one.tag,
                one.box,
                one.score,
                float(scores[place[one.box], one.tag]),
                vectors[place[one.box]],
            )
            for one in found
        ]
        return rows, scores[0]


def save_regions(path: Callable[[str], Path], found: ShardRegions) -> None:
    """Write the files of one shard; ``path`` gives the file of a suffix."""
    for suffix in ("regions", "embeddings", "background"):
        with atomic_write(path(f".{suffix}.npy")) as file:
            np.save(file, getattr(found, suffix), allow_pickle=False)


def load_table(path: Path) -> Table:
    """One of the files, of which only what is looked at is read."""
    try:
        table: Table = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an array without elements cannot be mapped
        table = np.load(path, allow_pickle=False)
    return table


def _decoded(images: Iterable[str]) -> Iterator[Image.Image | None]:
    """Pictures in order, decoded some ahead; None for those that cannot be read."""
    pictures = Pictures()
    names = iter(images)
    waiting: deque[Future[Image.Image]] = deque()
    with ThreadPoolExecutor(_DECODERS, thread_name_prefix="anytag-decode") as pool:
        while True:
            for name in islice(names, _AHEAD - len(waiting)):
                waiting.append(pool.submit(_decode, pictures.source(name)))
            if not waiting:
                return
            try:
                yield waiting.popleft().result()
            except AnytagError:
                yield None


def _decode(source: Any) -> Image.Image:
    return open_image(content(source), target_size=_SIDE)
