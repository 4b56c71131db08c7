"""What goes into the engine: records of any data set, and of its own output what people gave."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from anytag.data.problems import Problems
from anytag.data.records import Record
from anytag.data.sources import Source
from anytag.data.text_files import read_lines
from anytag.engine.records import original
from anytag.engine.steps import Step

#: names of tags that are counted
_MAX_NAMES = 1_000_000


def read_originals(source: Source, problems: Problems) -> Iterator[Record]:
    """The records of a source; of the engine's own output, those that it was given.

    So that a second round does not take for human what the first one generated.
    """
    if source.kind != "records":
        yield from source
        problems.counts.update(source.problems.counts)
        return
    files = [source.path]
    if source.path.is_dir():
        files = sorted(source.path.iterdir())
    files = [file for file in files if file.suffix.lower() in (".jsonl", ".ndjson", ".parquet")]
    for file in files:
        if file.suffix.lower() == ".parquet":
            part = replace(source, path=file)
            yield from part
            problems.counts.update(part.problems.counts)
        else:
            yield from _lines(file, source.images, problems)


def _lines(file: Path, root: Path | None, problems: Problems) -> Iterator[Record]:
    for line in read_lines(file, problems):
        if not line.text.strip():
            continue
        try:
            record = original(json.loads(line.text))
        except (ValueError, RecursionError) as error:
            problems.add("malformed", file, line.number, f"is no record: {error}")
            continue
        yield record if root is None else replace(record, image=str(root / record.image))


def count_names(step: Step, num_shards: int) -> Counter[str]:
    """How many records have each tag; the rarest are dropped when there are a million names.

    Equally frequent ones stand in the order of their names.
    """
    total: Counter[str] = Counter()
    for shard in range(num_shards):
        total.update(json.loads(step.path(shard, ".tags.json").read_text(encoding="utf-8")))
        if len(total) > _MAX_NAMES:
            total = Counter(dict(total.most_common(_MAX_NAMES // 2)))
    return Counter(dict(sorted(total.items(), key=lambda one: (-one[1], one[0]))))


def names_of(record: Record) -> set[str]:
    """Names of the tags of a record, parsed ones too."""
    return {*record.tags, *chain.from_iterable(record.parsed_tags)}


def counts_of(records: Sequence[Record]) -> Counter[str]:
    """Counts of a shard."""
    return Counter(
        {
            "records": len(records),
            "captions": sum(len(record.captions) for record in records),
            "tags": sum(len(record.tags) for record in records),
        }
    )
