"""Counts over records."""

from __future__ import annotations

from pathlib import Path

import pytest

from anytag.data import summary as module
from anytag.data.records import Record
from anytag.data.summary import summarize


def test_counts(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    here, gone = str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")
    summary = summarize(
        [
            Record(image=here, captions=("x", "y"), tags=("cat", "dog"), source="one"),
            Record(image=here, captions=("z",), parsed_tags=(("cat", "cat"),), source="one"),
            Record(image=gone, source="two"),
            Record(image=gone, tags=("cat",)),
            Record(image="https://example.org/c.jpg"),
            Record(image="in a shard", content=b""),
        ]
    )
    assert (summary.num_records, summary.num_images) == (6, 4)
    assert (summary.num_captions, summary.num_tags, summary.num_parsed_tags) == (3, 3, 2)
    assert (summary.num_without_text, summary.num_urls) == (3, 1)
    assert (summary.num_missing, summary.missing) == (1, [gone])
    assert summary.tags.most_common() == [("cat", 3), ("dog", 1)]
    assert summary.sources == {"one": 2, "two": 1, "": 3}
    assert summary.captions_per_record == 0.5
    assert [record.image for record in summary.sample][:2] == [here, here]


def test_the_sample_is_small_even_and_stable() -> None:
    records = [Record(image=f"{number:04}") for number in range(2000)]
    drawn = summarize(records, sample_size=200, check_files=False).sample
    images = [record.image for record in drawn]
    assert len(images) == 200
    assert images == sorted(images)
    assert 70 < sum(image < "1000" for image in images) < 130
    again = summarize(iter(records), sample_size=200, check_files=False).sample
    assert again == drawn


def test_the_table_of_tags_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TAGS", 100)
    records = [Record(image=f"{n}", tags=("often", f"rare {n}")) for n in range(1000)]
    summary = summarize(records, check_files=False)
    assert summary.is_approximate
    assert len(summary.tags) <= 102
    assert summary.tags["often"] == 1000


def test_a_limit_and_nothing() -> None:
    records = [Record(image=f"{n}") for n in range(10)]
    assert summarize(records, max_records=3, check_files=False).num_records == 3
    empty = summarize([])
    assert (empty.num_records, empty.tags_per_record, empty.sample) == (0, 0.0, [])
