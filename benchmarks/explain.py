"""How often an explanation points at the object: the pointing game, and overlap of boxes.

::

    python benchmarks/explain.py coco128/ --json benchmarks/results/explain.json

The pointing game (Zhang et al. 2016, arXiv 1608.00507): a tag's map hits if its strongest place
lies in one of the tag's boxes. The strongest place here is the middle of the strongest cell, and
there is no tolerance around boxes (the paper allows 15 pixels). Counted for all pairs of photo and
tag; for those whose boxes together cover less than a quarter of the photo ("small"); and for those
that the model finds (score 0.5 or more). "centre" is the middle of the photo, for every tag, and as
a box the whole photo. Intervals come from resampling photos, 95 %.

IoU is that of the proposed box and the best of the tag's boxes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quality import machine, read_yolo, today

from anytag import Tagger
from anytag.inference.explain import METHODS, Explainer
from anytag.inference.heatmap import Box, peak
from engine import overlap, read_boxes

CENTRE = "centre"
SMALL = 0.25
FOUND = 0.5


def covered(boxes: Sequence[Box], cells: int = 200) -> float:
    """Share of the picture that boxes cover together, to a grid of so many cells a side.

    >>> covered([(0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 0.25)])
    0.25
    """
    grid = np.zeros((cells, cells), bool)
    for left, top, right, bottom in boxes:
        rows, columns = (
            slice(round(max(0.0, low) * cells), round(high * cells))
            for low, high in ((top, bottom), (left, right))
        )
        grid[rows, columns] = True
    return float(grid.mean())


def hits(point: tuple[float, float], boxes: Sequence[Box]) -> bool:
    """Whether a point lies in one of the boxes."""
    x, y = point
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)


def with_interval(
    values: npt.NDArray[np.float64], photos: npt.NDArray[np.int64], num_resamples: int = 1000
) -> dict[str, Any]:
    """Mean of values, and its interval from resampling the photos they belong to."""
    if not len(values):
        return {"value": None, "interval": None}
    num = int(photos.max()) + 1
    sums = np.bincount(photos, values, minlength=num)
    counts = np.bincount(photos, minlength=num)
    drawn = np.random.default_rng(0).integers(num, size=(num_resamples, num))
    means = sums[drawn].sum(axis=1) / np.maximum(counts[drawn].sum(axis=1), 1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": float(values.mean()), "interval": [float(low), float(high)]}


def measure(folder: Path, model: str, limit: int | None) -> dict[str, Any]:
    """All figures."""
    photo_set = read_yolo(folder)
    tagger = Tagger.from_pretrained(model, device="cpu")
    rows: list[dict[str, Any]] = []
    photos = 0
    for photo in photo_set.photos():
        assert isinstance(photo, Path)
        boxes = read_boxes(folder / "labels" / f"{photo.stem}.txt")
        if not boxes or (limit is not None and photos == limit):
            continue
        rows += _rows(
            tagger, photo, {photo_set.tags[tag]: boxes[tag] for tag in sorted(boxes)}, photos
        )
        photos += 1
    return {
        "kind": "explain",
        "model": tagger.model_name,
        "date": today(),
        "machine": machine(),
        "photos": photos,
        "pairs": len(rows),
        "small": sum(row["small"] for row in rows),
        "found": sum(row["found"] for row in rows),
        "methods": {name: _figures(rows, name) for name in (*METHODS, CENTRE)},
    }


def _rows(
    tagger: Tagger, photo: Path, boxes: dict[str, list[Box]], number: int
) -> list[dict[str, Any]]:
    """What each method does with each tag of a photo."""
    rows = [
        {
            "photo": number,
            "small": covered(own) < SMALL,
            "hits": {CENTRE: hits((0.5, 0.5), own)},
            "iou": {CENTRE: max(overlap((0.0, 0.0, 1.0, 1.0), box) for box in own)},
        }
        for own in boxes.values()
    ]
    loaded = tagger.load(photo)
    for method in METHODS:
        explanations = Explainer(tagger, list(boxes), method).explain(loaded)
        for row, one, own in zip(rows, explanations, boxes.values(), strict=True):
            row["found"] = one.score >= FOUND
            row["hits"][method] = hits(peak(one.grid), own)
            row["iou"][method] = max(overlap(one.box, box) for box in own)
    return rows


def _figures(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Of one method."""

    def mean(read: Callable[[dict[str, Any]], float], part: str | None = None) -> dict[str, Any]:
        chosen = [row for row in rows if part is None or row[part]]
        values = np.array([read(row) for row in chosen], np.float64)
        return with_interval(values, np.array([row["photo"] for row in chosen], np.int64))

    return {
        "pointing": mean(lambda row: row["hits"][name]),
        "pointing, small": mean(lambda row: row["hits"][name], "small"),
        "pointing, found": mean(lambda row: row["hits"][name], "found"),
        "iou": mean(lambda row: row["iou"][name]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="COCO128's folder")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--limit", type=int, help="so many photos with boxes, from the first")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    text = json.dumps(measure(args.path, args.model, args.limit), indent=1)
    if args.json is not None:
        args.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
