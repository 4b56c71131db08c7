"""What a record teaches, and what is asked of the data before training."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from anytag.data.record_files import write_jsonl
from anytag.data.records import Record
from anytag.errors import LabelError
from anytag.labels.labelset import Label, LabelSet
from anytag.training.config import SourceConfig
from anytag.training.examples import Examples, open_examples
from anytag.training.targets import TargetMaker, collect_tags, gather_evidence, survey

LABELS = LabelSet(
    [
        Label(id=0, name="cat", parents=("pet", "animal")),
        Label(id=1, name="dog", synonyms=("puppy",)),
        Label(id=2, name="red panda"),
        Label(id=3, name="animal"),
        Label(id=4, name="grass"),
    ]
)
RECORDS = [
    Record(image="/x/0.jpg", captions=("a dog on the grass", "no cat"), tags=("Cat", "unicorn")),
    Record(image="/x/1.jpg", captions=("two puppies",), parsed_tags=(("red_panda", "unicorn"),)),
    Record(image="/x/2.jpg", tags=("Red_Panda", "PUPPY", "unicorn")),
    Record(image="/x/3.jpg"),
]


def open_sets(folder: Path, *sets: list[Record], exhaustive: tuple[bool, ...] = ()) -> Examples:
    sources = []
    for number, records in enumerate(sets):
        path = folder / f"{number}.jsonl"
        write_jsonl(path, records)
        known = exhaustive[number] if exhaustive else True
        sources.append(SourceConfig(path=str(path), exhaustive=known))
    return open_examples(sources, folder / "cache")


def test_union_of_tags_and_parsed_captions() -> None:
    maker = TargetMaker(LABELS)
    found = [maker.make(record) for record in RECORDS]
    assert [sorted(one.ids) for one in found] == [[0, 1, 3, 4], [2], [1, 2], []]
    assert [one.caption_tags for one in found] == [
        (("dog", "grass"), ()),
        (("red panda",),),
        (),
        (),
    ]
    assert [one.unknown for one in found] == [("unicorn",), (), ("unicorn",), ()]
    again = pickle.loads(pickle.dumps(maker))  # as a worker process gets it
    assert [again.make(record) for record in RECORDS] == found


def test_without_parsing_the_tags_guide_the_captioner() -> None:
    maker = TargetMaker(LABELS, parse_captions=False)
    found = maker.make(RECORDS[0])
    assert sorted(found.ids) == [0, 3]
    assert found.caption_tags == (("cat",), ("cat",))
    assert maker.make(RECORDS[1]).caption_tags == (("red panda",),)


def test_repeated_names_are_all_positive() -> None:
    """Tag2Text's list has names twice, as noun and as verb."""
    labels = LabelSet(
        [Label(id=0, name="park"), Label(id=1, name="Park")],
        repeated_names=True,
    )
    assert TargetMaker(labels).make(Record(image="a", tags=("park",))).ids == (0, 1)


def test_what_is_known_of_data_sets(tmp_path: Path) -> None:
    examples = open_sets(tmp_path, RECORDS[:1], RECORDS[1:], exhaustive=(True, False))
    maker = TargetMaker(LABELS)
    evidence = gather_evidence(examples, maker, tmp_path)
    assert evidence is not None
    assert evidence.absence.tolist() == [[1] * 5, [0, 1, 1, 0, 0]]
    maker = TargetMaker(LABELS, evidence=evidence)
    targets, weights = maker.answers(1, 0, [3])
    assert targets.tolist() == [0, 0, 0, 1, 0]
    assert weights is not None
    assert weights.tolist() == [0, 1, 1, 1, 0]
    assert evidence.absence[1].tolist() == [0, 1, 1, 0, 0]  # unchanged
    assert gather_evidence(open_sets(tmp_path, RECORDS), maker, tmp_path) is None
    assert TargetMaker(LABELS).answers(0, 0, [1]).weights is None


def test_survey(tmp_path: Path) -> None:
    examples = open_sets(tmp_path, RECORDS[:1], RECORDS[1:])
    found = survey(examples, TargetMaker(LABELS))
    assert (found.num_records, found.num_captions, found.num_without_tags) == (4, 3, 1)
    np.testing.assert_array_equal(found.counts, [[1, 1, 0, 1, 1], [0, 1, 2, 0, 0]])
    assert found.unknown == {"unicorn": 2}
    part = survey(examples, TargetMaker(LABELS), max_records=2)
    assert part.num_records == 2
    np.testing.assert_array_equal(part.counts, [[1, 1, 0, 1, 1], [0, 1, 1, 0, 0]])


def test_tags_of_the_data(tmp_path: Path) -> None:
    records = [
        Record(image=f"/x/{n}.jpg", tags=tags)
        for n, tags in enumerate([("Red_Panda", "dog"), ("red panda",), ("red panda", "Äpfel")])
    ]
    assert collect_tags(open_sets(tmp_path, records)) == ["dog", "red panda", "Äpfel"]


def test_tags_of_captions(tmp_path: Path) -> None:
    captions = ["a dog on the grass", "the dogs sleep", "one dog and no cat", "grass and a tree"]
    records = [Record(image=f"/x/{n}.jpg", captions=(c, c)) for n, c in enumerate(captions)]
    assert collect_tags(open_sets(tmp_path, records)) == ["dog"]
    with pytest.raises(LabelError, match="name no tags"):
        collect_tags(open_sets(tmp_path, records), parse_captions=False)
    parsed = [Record(image=f"/{n}.jpg", captions=("x",), parsed_tags=(("a", "b"),)) for n in "123"]
    assert collect_tags(open_sets(tmp_path, parsed), parse_captions=False) == ["a", "b"]
