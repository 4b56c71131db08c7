"""Records to what is learned: which tags a picture has, has not, or may have.

* A tag is found by name or synonym; ``_`` is a blank and case does not count. Names that the label
  set lacks are left out and counted (`survey`).
* Targets are the union of a record's tags and of what was parsed from its captions (RAM, section
  3.2). Captions without parsed tags are parsed here; what a caption denies ("no people") is no tag.
* The parents of a tag, where the label set has them, are there too: a dog is an animal.
* Of an exhaustive data set, all other tags are absent. Of one that is not (`exhaustive: false`),
  tags that it never names have weight 0: its makers may not have looked for them. Tags that it
  names on other pictures count as absent, because without absent tags everything is predicted; the
  asymmetric loss leaves out those that the network itself holds for likely (its clip and gamma).
* An absence that is only assumed may weigh less (`absent_weight`): of an exhaustive data set that
  of the tags that it never names, of one that is not that of the tags that it does name.
* Another tagger's scores (`anytag.training.scores`) are the answers wherever people have not
  spoken: for all tags that the picture is not given, but for those that an exhaustive data set
  names, which are absent. They weigh 1, and bring no parents.

Shapes: T tags, D data sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anytag.data.records import Record
from anytag.errors import LabelError
from anytag.labels.labelset import LabelSet, fold_name
from anytag.labels.parse import CaptionParser
from anytag.training.examples import Examples
from anytag.training.scores import Scores, open_scores

#: different names outside of the label set that are told apart
_MAX_UNKNOWN = 100_000
#: pictures on which a parsed tag must be found to become one of the label set
_MIN_PARSED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What one picture has."""

    #: ids of the tags that are there
    ids: tuple[int, ...]
    #: names of the tags of each caption, which guide the captioner
    caption_tags: tuple[tuple[str, ...], ...]
    #: the record's tags that the label set lacks
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of data sets beside what their records say."""

    #: weight of the absence of tags that a picture is not given, float32 [D, T]
    absence: npt.NDArray[np.float32]
    #: tags of which people have said all: no scores change that, bool [D, T]
    settled: npt.NDArray[np.bool_]
    #: what another tagger thinks [D]
    scores: tuple[Scores | None, ...]


class Answers(NamedTuple):
    """What one picture teaches of every tag."""

    #: float32 [T] in [0, 1]
    targets: npt.NDArray[np.float32]
    #: float32 [T], 0 = not known; None = all are known
    weights: npt.NDArray[np.float32] | None


class TargetMaker:
    """Makes `Targets` and `Answers`; can be passed to worker processes.

    Args:
        labels: T tags
        parse_captions: parse captions of records that have no parsed tags
        evidence: of the data sets, see `gather_evidence`; None = what a picture is not given is
            absent
    """

    def __init__(
        self,
        labels: LabelSet,
        *,
        parse_captions: bool = True,
        evidence: Evidence | None = None,
    ) -> None:
        self.labels = labels
        self.parse_captions = parse_captions
        self.evidence = evidence
        self._parser: CaptionParser | None = None
        self._ids: dict[str, tuple[int, ...]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # what the parser remembers is large, and each process finds it again
        return {
            "labels": self.labels,
            "parse_captions": self.parse_captions,
            "evidence": self.evidence,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def make(self, record: Record) -> Targets:
        """The targets of one record."""
        ids: dict[int, None] = {}
        unknown = []
        for name in record.tags:
            found = self._find(name)
            ids.update(dict.fromkeys(found))
            if not found:
                unknown.append(name)
        caption_tags = self._caption_tags(record)
        for names in caption_tags:
            for name in names:
                ids.update(dict.fromkeys(self._find(name)))
        if not any(caption_tags) and not record.parsed_tags and not self.parse_captions:
            caption_tags = (self._canonical(record.tags),) * len(record.captions)
        return Targets(ids=tuple(ids), caption_tags=caption_tags, unknown=tuple(unknown))

    def answers(self, source: int, row: int, ids: Sequence[int]) -> Answers:
        """What a picture teaches.

        Args:
            source: number of its data set
            row: of its record there
            ids: tags that it is given
        """
        targets = np.zeros(len(self.labels), np.float32)
        named, evidence, weights = list(ids), self.evidence, None
        if evidence is not None:
            weights = evidence.absence[source].copy()
            scores = evidence.scores[source]
            found = None if scores is None else scores.row(row)
            if scores is not None and found is not None:
                is_open = ~evidence.settled[source][scores.ids]
                targets[scores.ids[is_open]] = found[is_open]
                weights[scores.ids[is_open]] = 1.0
            weights[named] = 1.0
        targets[named] = 1.0
        return Answers(targets, weights)

    def notes(self) -> tuple[str, ...]:
        """What a person should know of other taggers' scores."""
        scores = () if self.evidence is None else self.evidence.scores
        return tuple(dict.fromkeys(note for one in scores if one for note in one.notes()))

    def _caption_tags(self, record: Record) -> tuple[tuple[str, ...], ...]:
        """Canonical names of the label set's tags in each caption."""
        if record.parsed_tags:
            return tuple(self._canonical(names) for names in record.parsed_tags)
        if not self.parse_captions:
            return ((),) * len(record.captions)
        if self._parser is None and record.captions:
            self._parser = CaptionParser.closed(self.labels)
        return tuple(self._parsed(caption) for caption in record.captions)

    def _parsed(self, caption: str) -> tuple[str, ...]:
        assert self._parser is not None
        tags = self._parser.parse(caption)
        return self._canonical([tag.name for tag in tags if not tag.negated])

    def _canonical(self, names: Sequence[str]) -> tuple[str, ...]:
        labels = (self.labels.find(name) for name in names)
        return tuple(dict.fromkeys(label.name for label in labels if label is not None))

    def _find(self, name: str) -> tuple[int, ...]:
        """Ids of a tag and of its parents; none if it is not in the label set."""
        if name not in self._ids:
            if len(self._ids) > _MAX_UNKNOWN:
                self._ids.clear()
            found: dict[int, None] = {}
            for label in self.labels.find_all(name):
                found[label.id] = None
                for parent in label.parents:
                    found.update(dict.fromkeys(one.id for one in self.labels.find_all(parent)))
            self._ids[name] = tuple(found)
        return self._ids[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What data sets hold of a label set."""

    num_records: int
    num_captions: int
    #: records without any tag of the label set
    num_without_tags: int
    #: pictures of each tag in each data set, int64 [D, T]
    counts: npt.NDArray[np.int64]
    #: names that the label set lacks, with their numbers of pictures
    unknown: Counter[str] = field(repr=False)


def survey(examples: Examples, maker: TargetMaker, *, max_records: int | None = None) -> Survey:
    """Count tags, of all records or of ``max_records`` evenly spread ones."""
    counts = np.zeros((len(examples.spools), len(maker.labels)), np.int64)
    unknown: Counter[str] = Counter()
    num_records = num_captions = num_without_tags = 0
    for source, record in _records(examples, max_records):
        targets = maker.make(record)
        counts[source, list(targets.ids)] += 1
        num_records += 1
        num_captions += len(record.captions)
        num_without_tags += not targets.ids
        for name in targets.unknown:
            if name in unknown or len(unknown) < _MAX_UNKNOWN:
                unknown[name] += 1
    return Survey(
        num_records=num_records,
        num_captions=num_captions,
        num_without_tags=num_without_tags,
        counts=counts,
        unknown=unknown,
    )


def gather_evidence(examples: Examples, maker: TargetMaker, cache: Path) -> Evidence | None:
    """`TargetMaker.evidence` of these data sets; None if whatever is not named is absent.

    Reads all records of the data sets of which that is not so, and files of scores.

    Args:
        examples: the data
        maker: finds tags
        cache: folder for scores in the order of the records

    Raises:
        AnnotationError: see `scores.open_scores`
        OutputError: the cache cannot be written
    """
    sets = examples.spools
    scores = tuple(open_scores(one, maker.labels, cache) for one in sets)
    plain = [
        one.exhaustive and one.absent_weight == 1.0 and found is None
        for one, found in zip(sets, scores, strict=True)
    ]
    if all(plain):
        return None
    named = np.zeros((len(sets), len(maker.labels)), np.bool_)
    for source, record in _records(examples, None):
        if not plain[source]:
            named[source, list(maker.make(record).ids)] = True
    exhaustive = np.array([one.exhaustive for one in sets])[:, None]
    assumed = np.array([one.absent_weight for one in sets], np.float32)[:, None]
    return Evidence(
        absence=np.where(
            exhaustive, np.where(named, np.float32(1), assumed), np.where(named, assumed, 0)
        ).astype(np.float32),
        settled=named & exhaustive,
        scores=scores,
    )


def collect_tags(
    examples: Examples, *, parse_captions: bool = True, max_records: int | None = None
) -> list[str]:
    """The tags that occur in the data, by name ("labels: data").

    Where no record has a tag, they are the objects, scenes, attributes and actions that the parser
    discovers in the captions of three pictures or more. Of several ways to write a name, the most
    frequent one is taken.

    Args:
        examples: the data
        parse_captions: see above
        max_records: look at so many, evenly spread; None = all

    Raises:
        LabelError: there are none
    """
    tags: dict[str, Counter[str]] = {}
    parsed: dict[str, Counter[str]] = {}
    parser = CaptionParser.open() if parse_captions else None
    for _, record in _records(examples, max_records):
        for name in record.tags:
            _count(tags, name)
        if tags:
            continue
        names = {name for one in record.parsed_tags for name in one}
        if not names and parser is not None:
            found = (tag for caption in record.captions for tag in parser.parse(caption))
            names = {tag.name for tag in found if not tag.negated}
        for name in names:
            _count(parsed, name)
    if not tags:
        tags = {key: ways for key, ways in parsed.items() if ways.total() >= _MIN_PARSED}
    if not tags:
        raise LabelError(
            "the data name no tags: they have neither tags nor captions with words that occur on "
            f"{_MIN_PARSED} pictures or more; give a tag list (data.labels)"
        )
    return [min(ways, key=lambda way: (-ways[way], way)) for _, ways in sorted(tags.items())]


def _count(names: dict[str, Counter[str]], name: str) -> None:
    written = " ".join(name.replace("_", " ").split())
    if written:
        names.setdefault(fold_name(name), Counter())[written] += 1


def _records(examples: Examples, max_records: int | None) -> Iterator[tuple[int, Record]]:
    num = len(examples)
    taken = num if max_records is None else min(num, max_records)
    for place in range(taken):
        yield examples.record(place * num // taken)
