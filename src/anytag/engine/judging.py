"""Step 5 of cleaning: what each category's scores and embeddings say of its regions.

    limits.json   of all categories (`clean.Limits`)
    00007.npy     verdicts on the regions of category 7 (`evidence.VERDICT`)

What an outlier is, and how limits are learned, is in `clean`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anytag.engine.clean import find_outliers, joint_score, learn_limits, num_clusters
from anytag.engine.config import CleanConfig
from anytag.engine.evidence import VERDICT, gather, plain_limits
from anytag.engine.regions import Table, load_table
from anytag.engine.steps import Step, write_json
from anytag.files import atomic_write


@dataclass(frozen=True, kw_only=True)
class JudgeCategories:
    """Makes shards of step 5, a category each, here or in another process."""

    #: step 5
    step: Step
    #: step 4
    regions: Step
    #: of step 4
    num_shards: int
    num_categories: int
    config: CleanConfig

    def learn_limits(self) -> None:
        """Write the limits, unless they are there; before any category is judged."""
        path = self.step.folder / "limits.json"
        if path.exists():
            return
        parts = [
            np.array(load_table(self.regions.path(shard, ".background.npy")))
            for shard in range(self.num_shards)
        ]
        table = np.concatenate(parts)
        limits = learn_limits(
            table["category"],
            joint_score(table["whole"], table["crop"]),
            table["given"],
            table["present"],
            self.num_categories,
        )
        write_json(path, plain_limits(limits))

    def __call__(self, category: int) -> Counter[str]:
        """Write the verdicts on a category's regions."""
        scratch = self.step.folder / f".anytag-gather-{category}.tmp"
        verdicts, num = self._cluster(category, scratch)
        with atomic_write(self.step.path(category, ".npy")) as file:
            np.save(file, verdicts, allow_pickle=False)
        return Counter(
            {
                "categories": 1,
                "categories that are clustered": int(num > 0),
                "clusters": num,
                "regions": len(verdicts),
                "outlying regions": int(verdicts["outlier"].sum()),
            }
        )

    def _cluster(self, category: int, scratch: Path) -> tuple[Table, int]:
        """Verdicts on a category's regions, and how many clusters they are in."""
        config = self.config
        found = []
        for shard in range(self.num_shards):
            table = load_table(self.regions.path(shard, ".regions.npy"))
            found.append(np.flatnonzero(table["category"] == category))
        num = sum(map(len, found))
        verdicts = np.zeros(num, VERDICT)
        verdicts["shard"] = np.repeat(np.arange(self.num_shards), [len(one) for one in found])
        verdicts["index"] = np.concatenate(found)
        if not num:
            return verdicts, 0
        embeddings = gather(self.regions, found, num, scratch, on_disk=num >= config.minibatch_from)
        clusters = find_outliers(embeddings, config)
        for name in ("cluster", "distance", "relative", "outlier"):
            verdicts[name] = getattr(clusters, name)
        del embeddings
        scratch.unlink(missing_ok=True)
        return verdicts, num_clusters(num, config) if num >= config.min_regions else 0
