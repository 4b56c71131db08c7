"""Compounds by association, without a dictionary."""

from __future__ import annotations

from collections import Counter

import pytest

from anytag.labels.compounds import npmi, resolve_compounds
from anytag.labels.counts import TagCounts


def resolve(
    names: dict[tuple[str, str], int],
    pairs: dict[tuple[str, str, str], int] | None = None,
    phrases: tuple[str, ...] = (),
) -> dict[str, dict[str, int]]:
    counts = TagCounts(num_captions=1000, names=Counter(names), pairs=Counter(pairs or {}))
    return resolve_compounds(counts, phrases.__contains__, min_count=5).names


@pytest.mark.parametrize(
    ("both", "first", "second", "total", "expected"),
    [
        (10, 10, 10, 1000, 1.0),  # never apart
        (1, 100, 10, 1000, 0.0),  # as often as chance has it
        (10, 100, 10, 1000, 0.5),  # ln(10) / ln(100)
        (1000, 1000, 1000, 1000, 1.0),
    ],
)
def test_association(both: int, first: int, second: int, total: int, expected: float) -> None:
    assert npmi(both, first, second, total) == pytest.approx(expected)


def test_words_that_belong_together_are_a_name() -> None:
    found = resolve({("palm tree", "object"): 20, ("tree", "object"): 30, ("man", "object"): 400})
    assert found["palm tree"] == {"object": 20}
    assert found["tree"] == {"object": 30}
    assert "palm" not in found


def test_chance_neighbours_count_for_their_head() -> None:
    found = resolve({("man bus", "object"): 6, ("man", "object"): 500, ("bus", "object"): 300})
    assert "man bus" not in found
    assert found["bus"] == {"object": 306}
    assert found["man"] == {"object": 500}


def test_a_rare_run_counts_for_the_names_inside() -> None:
    found = resolve({("hotel room mirror", "object"): 2, ("hotel room", "scene"): 20})
    assert found["mirror"] == {"object": 2}
    assert found["hotel room"]["scene"] == 20


def test_a_dictionary_needs_no_association() -> None:
    names = {("man bus", "object"): 6, ("man", "object"): 500, ("bus", "object"): 300}
    assert resolve(names, phrases=("man bus",))["man bus"] == {"object": 6}


def test_an_adjective_joins_only_where_it_is_a_name() -> None:
    names = {
        ("decker bus", "object"): 30,
        ("bus", "object"): 200,
        ("double", "attribute"): 35,
        ("red", "attribute"): 300,
    }
    pairs = {("double", "decker bus", "object"): 30, ("red", "bus", "object"): 60}
    found = resolve(names, pairs)
    assert found["double decker bus"] == {"object": 30}
    assert "decker bus" not in found
    assert found["double"] == {"attribute": 5}
    assert "red bus" not in found
    assert found["bus"] == {"object": 200}


def test_wanted_names_need_neither_counts_nor_association() -> None:
    counts = TagCounts(
        num_captions=100,
        names=Counter({("man bus", "object"): 1, ("red", "attribute"): 9, ("car", "object"): 9}),
        pairs=Counter({("red", "car", "object"): 2}),
    )
    found = resolve_compounds(
        counts, lambda words: False, min_count=5, wanted=["man bus", "red car"]
    ).names
    assert found["man bus"] == {"object": 1}
    assert found["red car"] == {"object": 2}
    assert found["car"] == {"object": 7}


def test_colours_never_join() -> None:
    counts = TagCounts(
        num_captions=100,
        names=Counter({("car", "object"): 9, ("red", "attribute"): 9}),
        pairs=Counter({("red", "car", "object"): 9}),
    )
    found = resolve_compounds(
        counts, lambda words: False, min_count=5, is_description="red".__eq__
    ).names
    assert found == {"car": {"object": 9}, "red": {"attribute": 9}}


def test_attributes_of_two_words_stay_whole() -> None:
    assert resolve({("black and white", "attribute"): 9})["black and white"] == {"attribute": 9}
