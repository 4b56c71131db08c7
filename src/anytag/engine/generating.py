"""Step 2 of the engine, a shard at a time, in this process or in one that loads its own model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from anytag.data.records import Plain, from_plain
from anytag.engine.config import GenerateConfig
from anytag.engine.generate import Baseline, asked_tagger
from anytag.engine.records import Generated
from anytag.engine.steps import Step, read_rows, write_rows
from anytag.inference.tagger import Tagger


@dataclass(frozen=True, kw_only=True)
class TaggerSource:
    """Where the baseline comes from: names, no objects."""

    #: nano, a model directory, or a hub id
    model: str
    device: str
    dtype: str
    #: see `GenerateConfig.vocabulary`
    vocabulary: str
    #: names of the tags that occur in the data
    data_tags: tuple[str, ...]

    def load(self, tagger: Tagger | None = None) -> Tagger:
        """The baseline, asked for the tags that it may give.

        Args:
            tagger: the model, where it is there already
        """
        tagger = tagger or Tagger.from_pretrained(self.model, device=self.device, dtype=self.dtype)
        return asked_tagger(tagger, self.vocabulary, self.data_tags)


class GenerateShards:
    """Makes shards of the step; sent to another process it loads its model there.

    Args:
        read: the step with the records
        step: the one that is made
        source: of the model
        config: of the step
        adds: whether tags and captions are kept, or only the scores
        baseline: the model as it is in this process
    """

    def __init__(
        self,
        read: Step,
        step: Step,
        source: TaggerSource,
        config: GenerateConfig,
        *,
        adds: bool,
        baseline: Baseline,
    ) -> None:
        self._read = read
        self._step = step
        self._source = source
        self._config = config
        self._adds = adds
        self._baseline: Baseline | None = baseline

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_baseline": None}

    def __call__(self, shard: int) -> Counter[str]:
        """Write a shard; its counts."""
        if self._baseline is None:
            self._baseline = Baseline(self._source.load(), self._config)
        counts: Counter[str] = Counter()
        records = [from_plain(row) for row in read_rows(self._read.path(shard))]
        generated = self._baseline.generate(records)
        write_rows(
            self._step.path(shard), (_to_plain(one, counts, self._adds) for one in generated)
        )
        return counts


def _to_plain(one: Generated, counts: Counter[str], adds: bool) -> Plain:
    counts["pictures"] += one.error is None
    counts["unreadable pictures"] += one.error is not None
    if adds:
        counts["tags of the model"] += len(one.tags)
        counts["captions of the model"] += len(one.captions)
    return {
        "tags": [list(tag) for tag in one.tags] if adds else [],
        "captions": list(one.captions) if adds else [],
        "scores": dict(one.scores),
        "error": one.error,
    }
