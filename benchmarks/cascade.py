"""How many final tags a cascade loses, on real photos and with real weights: nano's.

::

    python benchmarks/cascade.py imagenet-sample-images/ coco128/ --json OUT.json

All photos in a random order go through ``Tagger.with_cascade`` and through the full decoder; what
counts are the tags of the photos that the cascade did not audit. Three orders. RAM's own recall
needs its weights: `Tagger.cascade_report` tells it on a user's photos.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from quality import machine, today
from speed import list_photos

BATCH = 32


def measure(tagger: Any, scores: np.ndarray[Any, Any], pixels: Any, order: Any) -> dict[str, Any]:
    """One order of the photos."""
    from anytag.inference.cascade import CascadeConfig
    from anytag.inference.selection import TagSelector

    config = CascadeConfig()
    cascaded, select = tagger.with_cascade(config), TagSelector(tagger.labels)
    tags = lost = audited = 0
    kept: list[int] = []
    started = time.process_time()
    difference = 0.0
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        found = cascaded.score(pixels[chosen])
        for row, full in zip(found, scores[chosen], strict=True):
            asked = np.isfinite(row)
            difference = max(difference, float(np.abs(row - full)[asked].max()))
            if asked.all():
                audited += 1
                continue
            kept.append(int(asked.sum()))
            wanted = {tag.id for tag in select(full)}
            tags += len(wanted)
            lost += len(wanted - {tag.id for tag in select(row)})
    return {
        "photos": len(order),
        "audited": audited,
        "tags": tags,
        "lost": lost,
        "recall": 1 - lost / max(tags, 1),
        "recall_by_audit": cascaded.cascade_report.recall,
        "mean_kept": float(np.mean(kept)) if kept else None,
        "last_kept": cascaded.cascade_report.num_kept,
        "max_difference": difference,
        "cpu_seconds": time.process_time() - started,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)

    from anytag import Tagger

    tagger = Tagger.from_pretrained("nano", device="cpu")
    photos = [photo for folder in options.folders for photo in list_photos(folder)]
    pixels = np.stack([tagger.load(photo).pixels for photo in photos])
    scores = tagger.score(pixels)
    random = np.random.default_rng(0)
    orders = [random.permutation(len(photos)) for _ in range(options.orders)]
    rows = [measure(tagger, scores, pixels, order) for order in orders]
    figures = {
        "kind": "cascade",
        "date": today(),
        "machine": machine(),
        "model": tagger.model_name,
        "num_tags": len(tagger.labels),
        "rows": rows,
    }
    for row in rows:
        print(row)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
