"""The three steps of cleaning: find regions, judge categories, write what stays.

What is decided, and why, is in `clean`; this is where its numbers come from and go to. Step 5 is
`judging`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from anytag.config import to_plain
from anytag.data.records import Plain
from anytag.engine.clean import reason_to_remove
from anytag.engine.config import CleanConfig, EngineConfig
from anytag.engine.detectors import make_detector
from anytag.engine.evidence import EvidenceReader
from anytag.engine.generating import TaggerSource
from anytag.engine.judging import JudgeCategories
from anytag.engine.records import Names, remove
from anytag.engine.regions import RegionFinder, ShardRegions, save_regions
from anytag.engine.steps import RunShards, Step, Steps, read_rows, run_shards, write_rows
from anytag.errors import UsageError
from anytag.inference.tagger import Tagger

_GIVEN = ("human", "caption")
Report = Callable[[str, int, int], None]


def choose_categories(
    counts: Mapping[str, int], tagger: Tagger, config: CleanConfig
) -> tuple[str, ...]:
    """Names of the tags that are cleaned: the config's, or the most frequent that the model knows.

    Args:
        counts: records of each tag, most frequent first
        tagger: of the baseline
        config: says which, or how many
    """
    names = Names(tagger.labels)
    if config.categories:
        return tuple({names.key(name): name for name in config.categories}.values())
    found: dict[str, str] = {}
    for name in counts:
        label = tagger.labels.find(name)
        if label is not None and len(found) < config.num_categories:
            found.setdefault(names.key(name), label.name)
    return tuple(found.values())


class Cleaner:
    """Cleans merged records.

    Args:
        config: of the run
        tagger: the baseline
        categories: names of the C tags that are cleaned
        merged: the step with the records
        num_shards: of each step
        num_records: of all shards
        source: of the baseline, for other processes
        run: who makes the shards of regions and of judgements
    """

    def __init__(
        self,
        config: EngineConfig,
        tagger: Tagger,
        categories: Sequence[str],
        merged: Step,
        num_shards: int,
        num_records: int,
        *,
        source: TaggerSource | None = None,
        run: RunShards = run_shards,
    ) -> None:
        if not categories:
            raise UsageError(
                "no tag of the data is one of the model's, so nothing can be cleaned; set "
                "generate.vocabulary to data, or clean.categories"
            )
        self.counts: dict[str, Counter[str]] = {}
        self._config = config
        self._names = Names(tagger.labels)
        self._categories = list(categories)
        self._places = {self._names.key(name): place for place, name in enumerate(categories)}
        self._tagger: Tagger | None = tagger.with_tags(list(categories))
        self._source = source
        self._run_shards = run
        self._merged = merged
        self._num_shards = num_shards
        wanted = min(config.clean.num_background, num_records)
        random = np.random.default_rng(config.clean.seed)
        self._background = np.sort(random.choice(num_records, wanted, replace=False)).tolist()

    def find_regions(self, steps: Steps, report: Report) -> Step:
        """Step 4."""
        config = self._config
        settings = {
            "detector": config.ground.detector,
            "box_threshold": config.ground.box_threshold,
            "max_regions": config.ground.max_regions,
            "categories": self._categories,
            "background": [config.clean.num_background, config.clean.seed],
        }
        step = steps.open("4-regions", settings)
        make = _RegionShards(self, step)
        self.counts[step.name] = self._run_shards(step, self._num_shards, make, report=report)
        return step

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tagger": None, "_run_shards": run_shards}

    @property
    def tagger(self) -> Tagger:
        """The baseline, asked for the categories; loaded anew in another process."""
        if self._tagger is None:
            assert self._source is not None
            self._tagger = self._source.load().with_tags(self._categories)
        return self._tagger

    def make_finder(self) -> RegionFinder:
        """What finds regions."""
        ground = self._config.ground
        return RegionFinder(self.tagger, make_detector(ground, self.tagger), ground.max_regions)

    def regions_of(self, shard: int, finder: RegionFinder) -> ShardRegions:
        """All regions of a shard."""
        rows = list(read_rows(self._merged.path(shard)))
        tags = [self._tags(row) for row in rows]
        images = [row["image"] for row in rows]
        return finder.shard(images, tags, self._background_rows(shard, len(rows)))

    def _tags(self, row: Plain) -> dict[int, bool]:
        """Categories of a record, and whether people gave them."""
        tags: dict[int, bool] = {}
        for name in row["tags"]:
            place = self._places.get(self._names.key(name))
            if place is not None:
                given = any(one["source"] in _GIVEN for one in row["provenance"][name])
                tags[place] = given or tags.get(place, False)
        return tags

    def _background_rows(self, shard: int, num_rows: int) -> set[int]:
        first = shard * self._config.shard_size
        start = bisect_left(self._background, first)
        stop = bisect_left(self._background, first + num_rows)
        return {record - first for record in self._background[start:stop]}

    def judge(self, steps: Steps, regions: Step, report: Report) -> Step:
        """Step 5."""
        step = steps.open("5-judge", {"clean": to_plain(self._config.clean)})
        make = JudgeCategories(
            step=step,
            regions=regions,
            num_shards=self._num_shards,
            num_categories=len(self._categories),
            config=self._config.clean,
        )
        make.learn_limits()
        self.counts[step.name] = self._run_shards(step, make.num_categories, make, report=report)
        return step

    def write(self, steps: Steps, regions: Step, judged: Step, report: Report) -> Step:
        """The last step."""
        step = steps.open("records", {})
        evidence = EvidenceReader(regions, judged, self.tagger, len(self._categories))

        def make(shard: int) -> Counter[str]:
            counts: Counter[str] = Counter()
            tags = evidence.of_shard(shard)

            def rows() -> Iterator[Plain]:
                for number, row in enumerate(read_rows(self._merged.path(shard))):
                    cleaned = remove(
                        row, self._reasons(row, tags.get(number, {}), evidence), self._names
                    )
                    counts.update({"records": 1, "tags": len(cleaned["tags"])})
                    counts["tags removed"] += len(cleaned["removed"])
                    counts.update(
                        f"removed: {one['reason']}" for one in cleaned["removed"].values()
                    )
                    yield cleaned

            write_rows(step.path(shard), rows())
            return counts

        self.counts[step.name] = run_shards(step, self._num_shards, make, report=report)
        return step

    def _reasons(
        self, row: Plain, regions: Mapping[int, list[Plain]], evidence: EvidenceReader
    ) -> dict[str, Plain]:
        reasons = {}
        given = self._tags(row)
        for name in row["tags"]:
            category = self._places.get(self._names.key(name))
            own = regions.get(category, []) if category is not None else []
            score = row["scores"].get(name)
            if category is None or (score is None and not own):
                continue
            seen = evidence.of_tag(category, own, given[category], score)
            why = reason_to_remove(seen, self._config.clean)
            if why is not None:
                box = max(own, key=lambda one: one["crop"])["box"] if own else None
                reasons[name] = {**_rounded(why), "box": box}
        return reasons


class _RegionShards:
    """Makes shards of step 4; sent to another process it loads its models there."""

    def __init__(self, cleaner: Cleaner, step: Step) -> None:
        self._cleaner = cleaner
        self._step = step
        self._finder: RegionFinder | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_finder": None}

    def __call__(self, shard: int) -> Counter[str]:
        if self._finder is None:
            self._finder = self._cleaner.make_finder()
        found = self._cleaner.regions_of(shard, self._finder)
        save_regions(partial(self._step.path, shard), found)
        return found.counts


def _rounded(figures: Mapping[str, Any]) -> Plain:
    return {
        name: None
        if isinstance(value, float) and math.isnan(value)
        else round(value, 4)
        if isinstance(value, float)
        else value
        for name, value in figures.items()
    }
