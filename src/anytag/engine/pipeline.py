"""The engine: read, generate, merge, look for regions, judge, write. Step by step, shard by shard.

Source: RAM (arXiv 2306.03514), section 3.3.

    1-read       the data sets' records, cut into shards
    2-generate   what the baseline says of each picture (`generate`)
    3-merge      the union, with provenance (`records`); the result of a run without "clean"
    4-regions    regions of the tags that are cleaned, cut out, embedded, scored (`regions`)
    5-judge      clusters and limits of each category (`clean`)
    records      the result: training data
    report.html, counts.json

Each is a folder of the run (`steps`). What is held in memory and grows with the records: some 30
bytes a region of the one category that is being judged.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from anytag.config import to_plain
from anytag.data.problems import Problems
from anytag.data.records import Plain, Record, from_plain
from anytag.data.records import to_plain as record_to_plain
from anytag.data.sources import open_source
from anytag.engine.claim import locked
from anytag.engine.cleaning import Cleaner, choose_categories
from anytag.engine.config import EngineConfig
from anytag.engine.generate import Baseline
from anytag.engine.generating import GenerateShards, TaggerSource
from anytag.engine.reading import count_names, counts_of, names_of, read_originals
from anytag.engine.records import SOURCES, Generated, Names, merge
from anytag.engine.steps import (
    RunShards,
    Step,
    Steps,
    read_rows,
    run_shards,
    write_json,
    write_rows,
)
from anytag.errors import UsageError
from anytag.files import display_path
from anytag.inference.tagger import Tagger

#: told the step, how many shards are done, and of how many
Report = Callable[[str, int, int], None]
#: tags that the data may give to the model
_MAX_ASKED = 20_000
RUN = "engine.json"


@dataclass(frozen=True, kw_only=True)
class EngineResult:
    """What a run has made."""

    #: folder of records: training data
    records: Path
    #: counts of each step by its name
    counts: dict[str, Counter[str]]


class Engine:
    """A run.

    Args:
        config: what to do
        redo: make steps anew that were made with other settings
        report: told of progress
        tagger: the baseline; read from ``config.model`` if None
        run: who makes the shards that take long

    Raises:
        UsageError: the output folder holds something else
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        redo: bool = False,
        report: Report = lambda name, done, total: None,
        tagger: Tagger | None = None,
        run: RunShards = run_shards,
    ) -> None:
        self.folder = Path(config.output)
        self.config = config
        self.problems = Problems()
        self.counts: dict[str, Counter[str]] = {}
        self._report = report
        self._tagger = tagger
        self._run_shards = run
        self._steps = Steps(self.folder, redo)
        _claim(self.folder)

    def run(self) -> EngineResult:
        """Do what is not done yet.

        Raises:
            UsageError: there is no record, an earlier run in this folder had other settings, or
                another run works in it now
        """
        with locked(self.folder / RUN):
            return self._run()

    def _run(self) -> EngineResult:
        read = self._read()
        num_shards = self._num_shards(read)
        if not num_shards:
            raise UsageError("there is no record in the data; see: anytag data info PATH")
        data_tags = count_names(read, num_shards).most_common(_MAX_ASKED)
        source = TaggerSource(
            model=self.config.model,
            device=self.config.device,
            dtype=self.config.dtype,
            vocabulary=self.config.generate.vocabulary,
            data_tags=tuple(name for name, _ in data_tags),
        )
        tagger = source.load(self._tagger)
        baseline = Baseline(tagger, self._generate_config())
        generated = self._generate(read, source, baseline, num_shards)
        merged = self._merge(read, generated, baseline, num_shards)
        if "clean" not in self.config.steps:
            return self._finish(merged.folder)
        return self._finish(self._clean(merged, source, tagger, num_shards).folder)

    def _read(self) -> Step:
        settings = {"data": to_plain(self.config.data), "shard_size": self.config.shard_size}
        step = self._steps.open("1-read", settings)
        if step.manifest is None:
            records = chain.from_iterable(self._sources())
            num_shards = 0
            while shard := list(islice(records, self.config.shard_size)):
                if step.counts(num_shards) is None:
                    write_rows(step.path(num_shards), map(record_to_plain, shard))
                    names = Counter(name for record in shard for name in names_of(record))
                    write_json(step.path(num_shards, ".tags.json"), dict(sorted(names.items())))
                    step.finish_shard(num_shards, counts_of(shard))
                num_shards += 1
                self._report("1-read", num_shards, num_shards)
            step.finish(num_shards, {"problems": dict(sorted(self.problems.counts.items()))})
        self.counts["1-read"] = Counter((step.manifest or {})["counts"])
        return step

    def _sources(self) -> Iterator[Iterable[Record]]:
        for one in self.config.data:
            source = open_source(one.path, one.kind, images=one.images)
            yield read_originals(source, self.problems)

    def _num_shards(self, read: Step) -> int:
        return int((read.manifest or {})["num_shards"])

    def _generate_config(self) -> Any:
        if "generate" in self.config.steps:
            return self.config.generate
        return replace(self.config.generate, captions=False)

    def _generate(
        self, read: Step, source: TaggerSource, baseline: Baseline, num_shards: int
    ) -> Step:
        config, tagger = self.config.generate, baseline.tagger
        adds = "generate" in self.config.steps
        settings = {
            "model": tagger.model_name,
            "tags (SHA-256)": hashlib.sha256(tagger.labels.to_json().encode()).hexdigest(),
            "dtype": str(tagger.dtype),
            "adds": adds,
            "threshold": config.threshold,
            "captions": baseline.writes_captions,
        }
        step = self._steps.open("2-generate", settings)

        make = GenerateShards(
            read, step, source, self._generate_config(), adds=adds, baseline=baseline
        )
        self.counts[step.name] = self._run_shards(step, num_shards, make, report=self._report)
        return step

    def _merge(self, read: Step, generate: Step, baseline: Baseline, num_shards: int) -> Step:
        step = self._steps.open("3-merge", {})
        names = Names(baseline.tagger.labels)

        def make(shard: int) -> Counter[str]:
            counts: Counter[str] = Counter()
            tags: Counter[str] = Counter()

            def rows() -> Iterator[Plain]:
                given, said = read_rows(read.path(shard)), read_rows(generate.path(shard))
                for record, generated in zip(given, said, strict=True):
                    row = merge(from_plain(record), _generated(generated), baseline.parse, names)
                    counts.update(_origin_counts(row))
                    tags.update(row["tags"])
                    yield row

            write_rows(step.path(shard), rows())
            write_json(step.path(shard, ".tags.json"), dict(sorted(tags.items())))
            return counts

        self.counts[step.name] = run_shards(step, num_shards, make, report=self._report)
        return step

    def _clean(self, merged: Step, source: TaggerSource, tagger: Tagger, num_shards: int) -> Step:
        categories = choose_categories(count_names(merged, num_shards), tagger, self.config.clean)
        num_records = self.counts["1-read"]["records"]
        cleaner = Cleaner(
            self.config,
            tagger,
            categories,
            merged,
            num_shards,
            num_records,
            source=source,
            run=self._run_shards,
        )
        regions = cleaner.find_regions(self._steps, self._report)
        judged = cleaner.judge(self._steps, regions, self._report)
        written = cleaner.write(self._steps, regions, judged, self._report)
        self.counts |= cleaner.counts
        return written

    def _finish(self, records: Path) -> EngineResult:
        write_json(
            self.folder / "counts.json",
            {name: dict(sorted(counts.items())) for name, counts in self.counts.items()},
        )
        return EngineResult(records=records, counts=self.counts)


def _claim(folder: Path) -> None:
    """Refuse a folder with other things; mark ours."""
    marker = folder / RUN
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{display_path(folder)} is a file; the engine writes a folder")
    if folder.is_dir() and not marker.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{display_path(folder)} holds other files; name a new folder for the output"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if not marker.exists():
        write_json(marker, {"format": 1})


def _generated(row: Plain) -> Generated:
    return Generated(
        tags=tuple((name, score, threshold) for name, score, threshold in row["tags"]),
        captions=tuple(row["captions"]),
        scores=row["scores"],
        error=row["error"],
    )


def _origin_counts(row: Plain) -> Counter[str]:
    """Of the tags of a merged record: all, and those that only one kind of origin has."""
    counts = Counter({"records": 1, "tags": len(row["tags"])})
    for origins in row["provenance"].values():
        sources = {one["source"] for one in origins}
        counts[f"first from {next(name for name in SOURCES if name in sources)}"] += 1
    return counts
