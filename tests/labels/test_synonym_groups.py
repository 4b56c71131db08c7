"""Links to groups: no chains, vetoes, anchors."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from anytag.labels.synonym_groups import Groups
from anytag.labels.synonyms import Link

NAMES = "abcdefg"
PAIRS = list(combinations(NAMES, 2))
WHY = st.sampled_from(["curated", "spelling", "inflection", "list", "wordnet", "translation"])
LINKS = st.lists(
    st.builds(
        lambda pair, why, score, applies: Link(*pair, why, score, "", applies),
        st.sampled_from(PAIRS),
        WHY,
        st.floats(0, 1),
        st.booleans(),
    ),
    max_size=15,
)
APART = st.sets(st.sampled_from(PAIRS), max_size=4)
ANCHORS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["x", "y", "z"]), max_size=5)


def wordnet(first: str, second: str, score: float = 1.0) -> Link:
    return Link(first, second, "wordnet", score, "")


def groups_of(*links: Link) -> list[set[str]]:
    groups = Groups(NAMES)
    groups.apply(links)
    return [set(group) for group in groups.all() if len(group) > 1]


def test_a_chain_is_not_a_group() -> None:
    assert groups_of(wordnet("a", "b", 0.9), wordnet("b", "c", 0.8)) == [{"a", "b"}]


def test_a_complete_group_is() -> None:
    found = groups_of(wordnet("a", "b"), wordnet("b", "c"), wordnet("a", "c"))
    assert found == [{"a", "b", "c"}]


def test_other_spellings_take_part_in_the_links_of_the_name() -> None:
    spelling = Link("b", "d", "spelling", 1.0, "")
    assert groups_of(wordnet("a", "b"), spelling) == [{"a", "b", "d"}]
    assert groups_of(wordnet("a", "b"), wordnet("c", "d"), spelling) == [{"a", "b", "d"}]


def test_suggestions_join_nothing() -> None:
    assert groups_of(wordnet("a", "b")._replace(applies=False)) == []


@given(links=LINKS, apart=APART, anchors=ANCHORS)
def test_groups_are_a_partition_that_keeps_its_rules(
    links: list[Link], apart: set[tuple[str, str]], anchors: dict[str, str]
) -> None:
    apart = {pair for pair in apart if not anchors.keys() >= set(pair)}
    groups = Groups(NAMES, apart=apart, anchors=anchors)
    used = groups.apply(links)
    found = groups.all()
    assert sorted(name for group in found for name in group) == list(NAMES)
    assert all(link.applies for link in used)
    for group in found:
        assert len({anchors[name] for name in group if name in anchors}) <= 1
    for first, second in combinations(sorted(anchors), 2):
        assert (anchors[first] == anchors[second]) == (groups[first] is groups[second])
    if not anchors:
        assert not any(groups[first] is groups[second] for first, second in apart)


@given(links=LINKS, apart=APART)
def test_meaning_joins_only_what_is_linked_throughout(
    links: list[Link], apart: set[tuple[str, str]]
) -> None:
    links = [link for link in links if link.why not in ("curated", "spelling", "inflection")]
    groups = Groups(NAMES, apart=apart)
    groups.apply(links)
    linked = {(link.first, link.second) for link in links if link.applies}
    for group in groups.all():
        assert set(combinations(sorted(group), 2)) <= linked


@given(links=LINKS, apart=APART, seed=st.randoms())
def test_the_order_of_links_does_not_matter(
    links: list[Link], apart: set[tuple[str, str]], seed: object
) -> None:
    first, second = Groups(NAMES, apart=apart), Groups(NAMES, apart=apart)
    first.apply(links)
    shuffled = list(links)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    second.apply(shuffled)
    assert first.all() == second.all()
