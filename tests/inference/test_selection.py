"""Scores -> tags, against a plain reading of the rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytag.errors import AnytagError, LabelError, UsageError
from anytag.inference.selection import TagSelector
from anytag.labels.labelset import Label, LabelSet

LABELS = LabelSet(
    [
        Label(id=0, name="cat", synonyms=("kitty",), threshold=0.5, parents=("animal",),
              kind="object", translations={"de": "Katze"}),
        Label(id=1, name="animal", threshold=0.9, translations={"de": "Tier"}),
        Label(id=2, name="hot air balloon", threshold=0.2),
        Label(id=3, name="sky", threshold=1.0),
        Label(id=4, name="tree", threshold=0.5),
    ]
)  # fmt: skip
SCORES = np.array([0.6, 0.7, 0.3, 1.0, 0.1], np.float32)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["cat", "hot air balloon"]),
        ({"threshold": "auto"}, ["cat", "hot air balloon"]),
        ({"threshold": 0.3}, ["sky", "animal", "cat", "hot air balloon"]),
        ({"threshold": 0.0}, ["sky", "animal", "cat", "hot air balloon", "tree"]),
        ({"threshold": 1.0}, []),
        ({"top_k": 2}, ["sky", "animal"]),
        ({"top_k": 99}, ["sky", "animal", "cat", "hot air balloon", "tree"]),
        ({"top_k": 1, "threshold": "auto"}, ["cat"]),
        ({"top_k": 9, "threshold": 0.65}, ["sky", "animal"]),
        ({"exclude": ["KITTY", "nothing"]}, ["hot air balloon"]),
        ({"exclude": ["Hot_Air  balloon"]}, ["cat"]),
        ({"top_k": 2, "exclude": ["sky"]}, ["animal", "cat"]),
        ({"always": ["tree", "Kitty", "cat"]}, ["tree", "cat", "hot air balloon"]),
        ({"always": ["tree"], "top_k": 1}, ["tree", "sky"]),
        ({"always": ["tree"], "exclude": ["tree"]}, ["cat", "hot air balloon"]),
        ({"language": "de"}, ["Katze", "hot air balloon"]),
        ({"language": "en"}, ["cat", "hot air balloon"]),
        ({"top_k": 0}, UsageError),
        ({"threshold": 1.5}, UsageError),
        ({"threshold": float("nan")}, UsageError),
        ({"always": ["zebra"]}, LabelError),
        ({"language": "fr"}, LabelError),
    ],
)
def test_rules(options: dict[str, Any], expected: list[str] | type[AnytagError]) -> None:
    if isinstance(expected, type):
        with pytest.raises(expected):
            TagSelector(LABELS, **options)
    else:
        assert [tag.name for tag in TagSelector(LABELS, **options)(SCORES)] == expected


def test_what_a_tag_holds() -> None:
    (tag, _) = TagSelector(LABELS)(SCORES)
    assert (tag.id, tag.kind, tag.parents, tag.threshold) == (0, "object", ("animal",), 0.5)
    assert tag.score == pytest.approx(0.6)
    (translated, _) = TagSelector(LABELS, language="de")(SCORES)
    assert translated.parents == ("Tier",)
    assert TagSelector(LABELS, threshold=0.25)(SCORES)[0].threshold == 0.25


def test_the_languages_are_named() -> None:
    with pytest.raises(LabelError, match="en, de"):
        TagSelector(LABELS, language="fr")


def test_equal_scores_come_in_id_order() -> None:
    labels = LabelSet.from_names([f"tag {number}" for number in range(100)])
    scores = np.full(100, 0.7, np.float32)
    assert [tag.id for tag in TagSelector(labels, top_k=5)(scores)] == [0, 1, 2, 3, 4]


def test_scores_of_another_label_set_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[5\]"):
        TagSelector(LABELS)(np.zeros(4, np.float32))


@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 0.75, 1.0]), min_size=1),
    threshold=st.sampled_from([None, "auto", 0.0, 0.25, 0.6]),
    top_k=st.none() | st.integers(1, 9),
    hidden=st.sets(st.integers(0, 9)),
)
def test_like_the_plain_loop(
    scores: list[float], threshold: Any, top_k: int | None, hidden: set[int]
) -> None:
    labels = LabelSet.from_names([f"t{number}" for number in range(len(scores))])
    limit = threshold if isinstance(threshold, float) else 0.5
    if threshold is None and top_k is not None:
        limit = 0.0
    rows = [
        (-score, number)
        for number, score in enumerate(scores)
        if score >= limit and number not in hidden
    ]
    select = TagSelector(
        labels, threshold=threshold, top_k=top_k, exclude=[f"t{number}" for number in hidden]
    )
    found = select(np.array(scores, np.float32))
    assert [tag.id for tag in found] == [number for _, number in sorted(rows)[:top_k]]


def test_muted_tags_come_only_when_asked_for() -> None:
    labels = LabelSet([Label(id=0, name="two", muted=True), Label(id=1, name="dog")])
    scores = np.array([0.9, 0.6], np.float32)
    assert [tag.name for tag in TagSelector(labels)(scores)] == ["dog"]
    assert [tag.name for tag in TagSelector(labels, top_k=2)(scores)] == ["dog"]
    assert [tag.name for tag in TagSelector(labels, always=["two"])(scores)] == ["two", "dog"]


def test_exclude_means_every_tag_of_that_name() -> None:
    names = ["watch", "dog", "Watch"]
    labels = LabelSet((Label(id=i, name=name) for i, name in enumerate(names)), repeated_names=True)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert [tag.id for tag in TagSelector(labels)(scores)] == [0, 1, 2]
    assert [tag.id for tag in TagSelector(labels, exclude=["watch"])(scores)] == [1]
