"""Counts and lists to a review table: what is in it, and what holds for any input."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.labels.build import Sources, build_table
from anytag.labels.category_lists import Category
from anytag.labels.counts import TagCounts
from anytag.labels.labelset import Label, LabelSet, fold_name
from anytag.labels.review import apply_table
from anytag.labels.synonym_tables import parse_curated
from anytag.labels.table import Row, by_name, from_csv, to_csv
from anytag.labels.table_rows import Base

#: names with synonyms, spellings and several kinds among them
POOL = [
    ("dog", "object"), ("car", "object"), ("automobile", "object"), ("auto", "object"),
    ("bike", "object"), ("bicycle", "object"), ("motorcycle", "object"), ("motorbike", "object"),
    ("grey", "attribute"), ("gray", "attribute"), ("park", "scene"), ("park", "action"),
    ("tv", "object"), ("television", "object"), ("television set", "object"), ("ski", "object"),
    ("skis", "object"), ("run", "action"), ("jump", "action"), ("leap", "action"),
    ("palm tree", "object"), ("sofa", "object"), ("couch", "object"), ("apples", "object"),
    ("apple", "object"), ("cell phone", "object"), ("mobile phone", "object"),
]  # fmt: skip
NAMES = st.dictionaries(st.sampled_from(POOL), st.integers(1, 40), max_size=20)
LIST = st.lists(
    st.builds(
        Category,
        st.sampled_from(["dog", "skis", "couch", "gray", "hot dog", "aeroplane", "airplane"]),
        st.sampled_from([(), ("hound",), ("settee",)]),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)


def counts(names: dict[tuple[str, str], int]) -> TagCounts:
    return TagCounts(num_captions=1000, names=Counter(names))


def table(names: dict[tuple[str, str], int], **options: Any) -> dict[str, Row]:
    limits = {key: options.pop(key) for key in ("top", "min_count") if key in options}
    return by_name(build_table(Sources(counts=counts(names), **options), **limits))


def label_names(rows: list[Row]) -> dict[str, int | None]:
    return {fold_name(row.name): row.id for row in rows if row.keep and not row.merge_into}


def test_the_most_frequent_names_with_ids_by_count() -> None:
    names = {("dog", "object"): 30, ("run", "action"): 20, ("red", "attribute"): 9}
    rows = table({**names, ("cat", "object"): 4}, top=2)
    assert [(row.name, row.id, row.sources) for row in rows.values()] == [
        ("dog", 0, ("corpus #1",)),
        ("run", 1, ("corpus #2",)),
    ]
    assert "red" in table(names)
    assert "cat" not in table({("cat", "object"): 4})
    assert "cat" in table({("cat", "object"): 4}, min_count=4)


def test_lists_are_united_with_the_corpus() -> None:
    lists = {"coco": [Category("dog"), Category("skis")], "mine": [Category("skis")]}
    rows = table({("dog", "object"): 30, ("skis", "object"): 2}, lists=lists)
    assert rows["dog"].sources == ("corpus #1", "coco")
    assert rows["skis"].sources == ("coco", "mine")
    assert rows["skis"].count == 2
    assert rows["skis"].kind == "object"


def test_kinds_of_listed_names_are_the_parsers() -> None:
    lists = {"x": [Category("surfing"), Category("beach"), Category("orange tree")]}
    rows = table({}, lists=lists)
    assert [rows[name].kind for name in ("surfing", "beach", "orange tree")] == [
        "action",
        "scene",
        "object",
    ]


def test_a_name_of_several_kinds_is_one_row_of_any_kind() -> None:
    rows = table({("dress", "action"): 52, ("dress", "object"): 44, ("dog", "object"): 9})
    assert rows["dress"].kind == ""
    assert rows["dress"].kinds == "action 52, object 44"
    rare = table({("park", "scene"): 90, ("park", "action"): 9})["park"]
    assert (rare.kind, rare.kinds) == ("scene", "scene 90, action 9")


def test_synonyms_share_an_id_and_say_why() -> None:
    rows = table({("car", "object"): 30, ("automobile", "object"): 9, ("auto", "object"): 7})
    assert rows["automobile"].merge_into == rows["auto"].merge_into == "car"
    assert rows["automobile"].id == rows["car"].id == 0
    assert rows["automobile"].reason.startswith("wordnet: senses overlap 0.9")
    assert rows["automobile"].score == pytest.approx(0.96)


def test_the_curated_table_names_the_label() -> None:
    rows = table({("bike", "object"): 90, ("bicycle", "object"): 9, ("motorcycle", "object"): 50})
    assert rows["bike"].merge_into == "bicycle"
    assert "motorcycle is" not in rows["bike"].reason
    assert rows["motorcycle"].merge_into == ""
    own = parse_curated("veto\tbike\tbicycle\tracing\n", "x")
    assert (
        table({("bike", "object"): 9, ("bicycle", "object"): 9}, curated=own)["bike"].merge_into
        == ""
    )


def test_kinds_keep_names_apart() -> None:
    rows = table({("leap", "action"): 9, ("jump", "object"): 30})
    assert rows["leap"].merge_into == ""


def test_a_blocklist_keeps_the_row_but_not_the_name() -> None:
    rows = table({("dog", "object"): 30, ("run", "action"): 9}, blocklist=["Dog"], top=1)
    assert (rows["dog"].keep, rows["dog"].id) == (False, None)
    assert rows["dog"].reason.startswith("blocklist")
    assert rows["run"].sources == ("corpus #1",)


def test_suggestions_name_the_more_frequent_label() -> None:
    rows = table({("store front", "scene"): 30, ("storefront", "object"): 9})
    assert rows["storefront"].suggest == "store front"
    assert "kinds" in rows["storefront"].suggest_reason
    assert rows["store front"].suggest == ""


def test_translations_are_in_the_table_and_the_labels() -> None:
    words = {"zh": {"car": "汽车", "automobile": "汽车"}}
    names = {("car", "object"): 30, ("automobile", "object"): 9}
    rows = build_table(Sources(counts=counts(names), translations=words))
    back = from_csv(to_csv(rows), "x")
    assert back[0].translations == {"zh": "汽车"}
    assert apply_table(back, source="x").labels[0].translations == {"zh": "汽车"}


@settings(max_examples=25, deadline=None)
@given(names=NAMES, categories=LIST)
def test_any_table_is_consistent(
    names: dict[tuple[str, str], int], categories: list[Category]
) -> None:
    sources = Sources(counts=counts(names), lists={"list": categories})
    rows = build_table(sources, min_count=3)
    assert rows == build_table(sources, min_count=3)
    found = by_name(rows)
    assert len(found) == len(rows)  # no tag in two groups
    labels = label_names(rows)
    assert sorted(labels.values(), key=str) == sorted(range(len(labels)), key=str)
    for row in rows:
        assert row.proposed == row.decision
        if row.merge_into:
            assert row.id == labels[row.merge_into]
            assert row.reason
            kinds = {row.kind, found[row.merge_into].kind}
            assert len(kinds) == 1 or "" in kinds or row.reason.startswith("curated")
    for apart in (("bike", "motorcycle"), ("bicycle", "motorbike"), ("ski", "skis")):
        if found.keys() >= set(apart):
            assert found[apart[0]].id != found[apart[1]].id
    if labels:
        back = from_csv(to_csv(rows), "x")
        applied = apply_table(back, source="x")
        assert applied.edits == ()
        assert {fold_name(label.name): label.id for label in applied.labels} == labels
        synonyms = {name: label.id for label in applied.labels for name in label.synonyms}
        assert synonyms == {row.name: row.id for row in rows if row.merge_into}


@settings(max_examples=25, deadline=None)
@given(before=NAMES, more=NAMES, categories=LIST, from_table=st.booleans())
def test_ids_stay_when_it_is_built_with_more_data(
    before: dict[tuple[str, str], int],
    more: dict[tuple[str, str], int],
    categories: list[Category],
    from_table: bool,
) -> None:
    rows = build_table(Sources(counts=counts(before)), min_count=3)
    labels = label_names(rows)
    if not labels:
        return
    old = apply_table(from_csv(to_csv(rows), "x"), source="x").labels
    base = Base.from_rows(rows, "x") if from_table else Base.from_labels(old)
    everything = counts(dict(Counter(before) + Counter(more)))
    sources = Sources(counts=everything, lists={"list": categories}, base=base)
    rebuilt = build_table(sources, min_count=3)
    assert {name: id_ for name, id_ in label_names(rebuilt).items() if name in labels} == labels
    ids_before = {fold_name(row.name): row.id for row in rows}
    ids_after = {fold_name(row.name): row.id for row in rebuilt}
    assert {name: ids_after[name] for name in ids_before} == ids_before
    new = apply_table(from_csv(to_csv(rebuilt), "x"), source="x", base=old).labels
    assert new.names[: len(old)] == old.names
    assert not any(label.muted for label in new)


def test_what_a_person_decided_stays() -> None:
    names = {("car", "object"): 30, ("automobile", "object"): 9, ("dog", "object"): 8}
    before = build_table(Sources(counts=counts(names)))
    old = apply_table(before, source="x").labels
    edits = {"automobile": {"merge_into": ""}, "dog": {"keep": False}}
    edited = [replace(row, **edits.get(row.name, {})) for row in before]
    new = apply_table(edited, source="x", base=old).labels
    assert new.names == ["car", "dog", "automobile"]
    for base in (Base.from_labels(new, edited), Base.from_rows(edited, "x")):
        again = table({**names, ("zebra", "object"): 50}, base=base)
        assert again["automobile"].merge_into == ""
        assert again["automobile"].id == base.ids["automobile"]
        assert not again["dog"].keep
        assert again["dog"].reason.startswith("base")
        assert again["zebra"].id == base.num_ids
    assert Base.from_labels(new).ids == {"car": 0, "automobile": 2}
    assert Base.from_labels(new).num_ids == 3


def test_muted_labels_stay_out_and_keep_their_ids() -> None:
    labels = LabelSet(
        [Label(id=0, name="two", muted=True), Label(id=1, name="dog", synonyms=("hound",))]
    )
    base = Base.from_labels(labels)
    rows = table({("two", "object"): 90, ("zebra", "object"): 9}, base=base)
    assert not rows["two"].keep
    assert (rows["dog"].id, rows["hound"].merge_into, rows["zebra"].id) == (1, "dog", 2)
    made = apply_table(list(rows.values()), source="x", base=labels).labels
    assert [(label.name, label.muted) for label in made] == [
        ("two", True),
        ("dog", False),
        ("zebra", False),
    ]
