"""Counting parsed tags: once a caption, mergeable, bounded."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.errors import LabelError
from anytag.labels.counts import TagCounts
from anytag.labels.parse import CaptionParser

CAPTIONS = [
    "A dog and a dog near a red bus.",
    "a man without a helmet rides a bike",
    "two dogs in the park",
    "a double decker bus",
    "",
]


@pytest.fixture(scope="module")
def parser() -> CaptionParser:
    return CaptionParser.open()


def count(captions: list[str], parser: CaptionParser) -> TagCounts:
    counts = TagCounts()
    counts.add_captions(captions, parser)
    return counts


def test_a_tag_counts_once_a_caption_and_not_where_it_is_denied(parser: CaptionParser) -> None:
    counts = count(CAPTIONS, parser)
    assert counts.num_captions == 5
    assert counts.names["dog", "object"] == 2
    assert counts.names["ride", "action"] == 1
    assert ("helmet", "object") not in counts.names


def test_an_adjective_before_a_noun_is_a_pair(parser: CaptionParser) -> None:
    assert count(CAPTIONS, parser).pairs["red", "bus", "object"] == 1
    assert not count(["a red, bus", "red and bus"], parser).pairs


@given(
    captions=st.lists(st.sampled_from(CAPTIONS), max_size=12),
    cut=st.integers(min_value=0, max_value=12),
)
@settings(max_examples=30, deadline=None)
def test_parts_add_up_to_the_whole(captions: list[str], cut: int) -> None:
    parser = CaptionParser.open()
    total = count(captions[:cut], parser)
    total.add(count(captions[cut:], parser))
    assert total == count(captions, parser)


@given(
    parts=st.lists(
        st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(1, 9), max_size=8), max_size=12
    ),
    limit=st.integers(min_value=2, max_value=10),
)
def test_pruned_counts_keep_their_promise(parts: list[dict[str, int]], limit: int) -> None:
    counts, truth = TagCounts(), Counter[tuple[str, str]]()
    for part in parts:
        names = Counter({(name, "object"): num for name, num in part.items()})
        truth.update(names)
        counts.add(TagCounts(num_captions=1, names=names), limit=limit)
        assert len(counts) <= limit
    for name, num in truth.items():
        assert num - counts.floor <= counts.names.get(name, 0) <= num
        assert name in counts.names or num <= counts.floor


def test_few_names_are_not_pruned() -> None:
    counts = TagCounts()
    counts.add(TagCounts(names=Counter({("dog", "object"): 1, ("cat", "object"): 2})), limit=2)
    assert counts.floor == 0
    assert len(counts) == 2


def test_text_is_read_back(parser: CaptionParser) -> None:
    counts = count(CAPTIONS, parser)
    counts.floor = 3
    assert TagCounts.from_text(counts.to_text(), "x") == counts


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("dog\tobject\t3\n", 1),
        ("#anytag counts 1\t5\n", 1),
        ("#anytag counts 1\t5\t0\ndog\tobject\tmany\n", 2),
        ("#anytag counts 1\t5\t0\ndog\tthing\t3\n", 2),
        ("#anytag counts 1\t5\t0\ndog\t3\n", 2),
    ],
)
def test_other_text_is_refused_with_its_row(text: str, row: int) -> None:
    with pytest.raises(LabelError, match=f"counts.tsv, row {row}"):
        TagCounts.from_text(text, "counts.tsv")
