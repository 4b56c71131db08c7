"""What the steps of cleaning leave for one another: embeddings by category, verdicts by shard."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from anytag.data.records import Plain
from anytag.engine.clean import Evidence, Limits
from anytag.engine.regions import Table, load_table
from anytag.engine.steps import Step
from anytag.inference.tagger import Tagger

#: index: place in the shard's table of regions
VERDICT = np.dtype(
    [
        ("shard", "<i4"),
        ("index", "<i4"),
        ("cluster", "<i4"),
        ("distance", "<f4"),
        ("relative", "<f4"),
        ("outlier", "?"),
    ]
)


class EvidenceReader:
    """What the steps before know of the tags of one shard."""

    def __init__(self, regions: Step, judged: Step, tagger: Tagger, num_categories: int) -> None:
        self._regions, self._judged = regions, judged
        self._num_categories = num_categories
        self._thresholds = [label.threshold for label in tagger.labels]

    @cached_property
    def _limits(self) -> Plain:
        text = (self._judged.folder / "limits.json").read_text(encoding="utf-8")
        limits: Plain = json.loads(text)
        return limits

    @cached_property
    def _verdicts(self) -> list[Table]:
        paths = (self._judged.path(number, ".npy") for number in range(self._num_categories))
        return [load_table(path) for path in paths]

    def of_shard(self, shard: int) -> dict[int, dict[int, list[Plain]]]:
        """Row -> category -> its regions: "box", "crop", "whole", "relative", "outlier"."""
        table = np.array(load_table(self._regions.path(shard, ".regions.npy")))
        relative = np.full(len(table), np.nan)
        outlier = np.zeros(len(table), bool)
        for verdicts in self._verdicts:
            start, stop = np.searchsorted(verdicts["shard"], [shard, shard + 1])
            part = verdicts[start:stop]
            relative[part["index"]], outlier[part["index"]] = part["relative"], part["outlier"]
        found: dict[int, dict[int, list[Plain]]] = {}
        for number, one in enumerate(table):
            of_row = found.setdefault(int(one["row"]), {})
            of_row.setdefault(int(one["category"]), []).append(
                {
                    "box": [round(float(side), 4) for side in one["box"]],
                    "crop": float(one["crop"]),
                    "whole": float(one["whole"]),
                    "relative": float(relative[number]),
                    "outlier": bool(outlier[number]),
                }
            )
        return found

    def of_tag(
        self, category: int, regions: list[Plain], given: bool, score: float | None
    ) -> Evidence:
        """One tag; ``score`` is the picture's where there is no region."""
        absent = self._limits["absent"][category]
        separating = self._limits["separating"]
        return Evidence(
            is_given=given,
            threshold=self._thresholds[category],
            whole=regions[0]["whole"] if regions else score or 0.0,
            crop=max((one["crop"] for one in regions), default=math.nan),
            relative=min((one["relative"] for one in regions), default=math.nan),
            all_outlying=bool(regions) and all(one["outlier"] for one in regions),
            absent=math.nan if absent is None else absent,
            separating=math.nan if separating is None else separating,
        )


def gather(regions: Step, found: list[Any], num: int, scratch: Path, *, on_disk: bool) -> Any:
    """float16 [num, D]: embeddings of one category out of all shards; Any: an array or a map."""
    embeddings: Any = None
    start = 0
    for shard, rows in enumerate(found):
        if not len(rows):
            continue
        part = np.asarray(load_table(regions.path(shard, ".embeddings.npy"))[rows])
        if embeddings is None:
            shape = (num, part.shape[1])
            embeddings = (
                np.lib.format.open_memmap(scratch, "w+", np.float16, shape)
                if on_disk
                else np.empty(shape, np.float16)
            )
        embeddings[start : start + len(part)] = part
        start += len(part)
    return embeddings


def plain_limits(limits: Limits) -> Plain:
    plain = asdict(limits)
    plain["absent"] = [None if math.isnan(value) else float(value) for value in limits.absent]
    plain["separating"] = None if math.isnan(limits.separating) else limits.separating
    return plain


def gather_category(folder: Path, category: int, most: int) -> tuple[Table, Any]:
    """Verdicts and embeddings of a category's regions, evenly spaced ones if there are more.

    Args:
        folder: of a run that was cleaned
        category: its place
        most: regions

    Returns:
        `VERDICT` [R] and float16 [R, D]
    """
    verdicts = np.array(load_table(folder / "5-judge" / f"{category:05}.npy"))
    if len(verdicts) > most:
        verdicts = verdicts[np.linspace(0, len(verdicts) - 1, most).astype(int)]
    parts = []
    for shard in np.unique(verdicts["shard"]).tolist():
        rows = verdicts["index"][verdicts["shard"] == shard]
        parts.append(load_table(folder / "4-regions" / f"{shard:05}.embeddings.npy")[rows])
    return verdicts, np.concatenate(parts)
