"""Merging keeps what was given, knows where tags are from, and can be undone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.data.records import Record, from_plain
from anytag.engine.records import Generated, Names, merge, original, remove
from anytag.labels.labelset import Label, LabelSet

LABELS = LabelSet(
    [Label(id=0, name="dog", synonyms=("puppy",)), Label(id=1, name="cat"), Label(id=2, name="mat")]
)
NAMES = Names(LABELS)
WORDS = ["dog", "Dog", "puppy", "cat", "mat", "red_panda", "red panda", "sofa"]


def parse(caption: str) -> list[str]:
    """Every word that the label set has, by its label's name."""
    found = [LABELS.find(word) for word in caption.split()]
    return list(dict.fromkeys(label.name for label in found if label is not None))


texts = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
tag_lists = st.lists(st.sampled_from(WORDS), max_size=5, unique=True).map(tuple)


@st.composite
def records(draw: st.DrawFn) -> Record:
    captions = draw(st.lists(texts, max_size=3).map(tuple))
    parsed = draw(st.tuples(*[tag_lists for _ in captions])) if draw(st.booleans()) else ()
    return Record(
        image="a.jpg", captions=captions, tags=draw(tag_lists), parsed_tags=parsed, source="s"
    )


@st.composite
def generations(draw: st.DrawFn) -> Generated:
    names = draw(st.lists(st.sampled_from(["dog", "cat", "mat"]), unique=True))
    return Generated(
        tags=tuple((name, 0.9, 0.5) for name in names),
        captions=draw(st.lists(texts, max_size=2).map(tuple)),
        scores=dict.fromkeys(names, 0.9),
    )


def origins(row: dict[str, Any], name: str) -> list[str]:
    return [one["source"] for one in row["provenance"][name]]


@settings(max_examples=300)
@given(records(), generations())
def test_the_union(record: Record, generated: Generated) -> None:
    row = merge(record, generated, parse, NAMES)
    # all that was given is there, first and as it was written
    assert row["tags"][: len(record.tags)] == list(record.tags)
    assert row["captions"] == [*record.captions, *generated.captions]
    assert len(row["parsed_tags"]) == len(row["captions"])
    # every tag says where it is from, and nothing else does
    assert list(row["provenance"]) == row["tags"]
    assert all(row["provenance"].values())
    assert all(("human" in origins(row, name)) == (name in record.tags) for name in row["tags"])
    # what anyone said is there by one of its names
    said = {NAMES.key(name) for tags in row["parsed_tags"] for name in tags}
    said |= {NAMES.key(name) for name, _, _ in generated.tags}
    assert said | {NAMES.key(name) for name in record.tags} == set(map(NAMES.key, row["tags"]))
    # and what was not given has one name only
    added = [NAMES.key(name) for name in row["tags"][len(record.tags) :]]
    assert len(set(added)) == len(added)
    assert set(added).isdisjoint(map(NAMES.key, record.tags))


@settings(max_examples=300)
@given(records(), generations(), st.data())
def test_the_original_comes_back(record: Record, generated: Generated, data: st.DataObject) -> None:
    row = merge(record, generated, parse, NAMES)
    gone = data.draw(st.lists(st.sampled_from(row["tags"]), unique=True)) if row["tags"] else []
    row = remove(row, {name: {"reason": "crop"} for name in gone}, NAMES)
    row = json.loads(json.dumps(row))
    assert original(row) == record
    # it is a training record, in which the removed tags stand nowhere
    trained = from_plain(row)
    assert set(trained.tags).isdisjoint(gone)
    keys = {NAMES.key(name) for name in gone}
    assert not any(NAMES.key(name) in keys for tags in trained.parsed_tags for name in tags)
    assert set(row["removed"]) == set(gone)
    assert all(why["provenance"] for why in row["removed"].values())


def test_sources_and_scores() -> None:
    record = Record(image="1.jpg", captions=("a puppy on a mat",), tags=("puppy",))
    generated = Generated(
        tags=(("dog", 0.98, 0.5), ("cat", 0.7, 0.6)),
        captions=("a dog",),
        scores={"dog": 0.98, "cat": 0.7},
    )
    row = merge(record, generated, parse, NAMES)
    assert row["tags"] == ["puppy", "mat", "cat"]
    assert row["provenance"] == {
        "puppy": [
            {"source": "human"},
            {"source": "caption", "caption": 0},
            {"source": "generated_caption", "caption": 1, "score": 0.98},
            {"source": "tagger", "score": 0.98, "threshold": 0.5},
        ],
        "mat": [{"source": "caption", "caption": 0}],
        "cat": [{"source": "tagger", "score": 0.7, "threshold": 0.6}],
    }
    assert row["generated_captions"] == [1]


def test_parsed_tags_are_not_parsed_again() -> None:
    record = Record(image="1.jpg", captions=("a dog",), parsed_tags=(("mat",),))
    row = merge(record, Generated(captions=("cat",)), parse, NAMES)
    assert row["parsed_tags"] == [["mat"], ["cat"]]


def test_a_plain_record_is_its_own_original() -> None:
    row = {"image": "a.jpg", "tags": ["cat"], "provenance of the photo": "unknown"}
    assert original(row) == Record(image="a.jpg", tags=("cat",))
    with pytest.raises(ValueError, match="'image' is missing"):
        original({"tags": []})
