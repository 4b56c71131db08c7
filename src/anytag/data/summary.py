"""What a data set holds: counts, frequent tags, and some records to look at; in one pass.

Memory does not grow with the records, but for 8 bytes an image (to tell duplicates) and the table
of tags, of which the rarest are dropped when it passes a million names.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from anytag.data.problems import SeenKeys
from anytag.data.records import Record, is_missing, is_url

#: names in the table of tags before the rarest are dropped
MAX_TAGS = 1_000_000
#: missing files that are named
_MAX_NAMED = 20


@dataclass(slots=True)
class Summary:
    """Counts over records."""

    num_records: int = 0
    #: different paths or URLs
    num_images: int = 0
    num_captions: int = 0
    #: of all records together, each as often as it stands there
    num_tags: int = 0
    num_parsed_tags: int = 0
    num_without_text: int = 0
    #: of the images, which files do not exist; URLs and pictures in shards are not missing
    num_missing: int = 0
    num_urls: int = 0
    #: the first of them
    missing: list[str] = field(default_factory=list)
    #: how many records have a tag; parsed tags count where a record has no others
    tags: Counter[str] = field(default_factory=Counter)
    #: records of each source
    sources: Counter[str] = field(default_factory=Counter)
    #: drawn at random, each record with the same probability, in order
    sample: list[Record] = field(default_factory=list)
    #: the table of tags has lost rare ones: counts near its end are too small
    is_approximate: bool = False

    @property
    def captions_per_record(self) -> float:
        """Mean; 0 without records."""
        return self.num_captions / max(1, self.num_records)

    @property
    def tags_per_record(self) -> float:
        """Mean; 0 without records."""
        return self.num_tags / max(1, self.num_records)


def summarize(
    records: Iterable[Record],
    *,
    sample_size: int = 24,
    check_files: bool = True,
    max_records: int | None = None,
) -> Summary:
    """Count records.

    Args:
        records: any number
        sample_size: records that are drawn; the same at each run
        check_files: look whether each picture exists
        max_records: stop after so many
    """
    summary = Summary()
    images = SeenKeys()
    draw = random.Random(0)
    drawn: list[tuple[int, Record]] = []
    for number, record in enumerate(records):
        if max_records is not None and number >= max_records:
            break
        _count(summary, record, images.add(record.image), check_files)
        if len(drawn) < sample_size:
            drawn.append((number, record))
        elif sample_size and (place := draw.randrange(number + 1)) < sample_size:
            drawn[place] = (number, record)
    summary.num_images = len(images)
    summary.sample = [record for _, record in sorted(drawn, key=lambda pair: pair[0])]
    return summary


def _count(summary: Summary, record: Record, is_new: bool, check_files: bool) -> None:
    summary.num_records += 1
    summary.num_captions += len(record.captions)
    summary.num_tags += len(record.tags)
    parsed = {tag for tags in record.parsed_tags for tag in tags}
    summary.num_parsed_tags += sum(map(len, record.parsed_tags))
    summary.num_without_text += not (record.captions or record.tags)
    summary.sources[record.source] += 1
    summary.tags.update(set(record.tags) or parsed)
    if len(summary.tags) > MAX_TAGS:
        summary.is_approximate = True
        summary.tags = Counter(dict(summary.tags.most_common(MAX_TAGS // 2)))
    if not is_new:
        return
    if is_url(record.image):
        summary.num_urls += 1
    elif check_files and is_missing(record):
        summary.num_missing += 1
        if len(summary.missing) < _MAX_NAMED:
            summary.missing.append(record.image)
