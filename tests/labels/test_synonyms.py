"""Evidence for synonyms: what merges, what is only suggested, and what never does."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from anytag.errors import LabelError
from anytag.inference.static_text import StaticTextEncoder
from anytag.labels.lexicon import load_lexicon
from anytag.labels.synonym_groups import Groups
from anytag.labels.synonym_tables import (
    Curated,
    Senses,
    load_curated,
    load_senses,
    parse_curated,
    read_curated,
)
from anytag.labels.synonyms import Link, Names, Vectors, find_links, spelling_key

ENCODER = Path(find_links.__code__.co_filename).parents[1] / "assets" / "nano" / "text_encoder"
GOLD = Path(__file__).parents[1] / "gold" / "merges.tsv"


def links(
    kinds: dict[str, str], *, curated: Curated | None = None, **known: object
) -> dict[tuple[str, str], Link]:
    """The strongest link of each pair."""
    found = find_links(
        Names(kinds=kinds, **known),  # type: ignore[arg-type]
        senses=load_senses(),
        curated=load_curated() if curated is None else curated,
        lexicon=load_lexicon(),
    )
    strongest: dict[tuple[str, str], Link] = {}
    for link in found:
        strongest.setdefault((link.first, link.second), link)
    return strongest


def merged(*names: str, kind: str = "object", curated: Curated | None = None) -> str:
    """Why the names are merged, "" if they are not."""
    found = links(dict.fromkeys(names, kind), curated=curated)
    link = found.get((min(names), max(names)))
    return link.why if link and link.applies else ""


def at_cosine(*cosines: float) -> Vectors:
    """Unit vectors: the first one, and others at these cosines to it."""
    rows = [[1.0, 0.0]] + [[value, (1 - value * value) ** 0.5] for value in cosines]
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("bike", "motorcycle"),
        ("ski", "skis"),
        ("glass", "glasses"),
        ("mouse", "computer mouse"),
        ("hot dog", "dog"),
        ("glove", "baseball glove"),
        ("girl", "miss"),
        ("purple", "violet"),
        ("castle", "palace"),
        ("cup", "glass"),
        ("cat", "guy"),
        ("orange", "orange tree"),
    ],
)
def test_what_must_stay_apart(first: str, second: str) -> None:
    assert merged(first, second) == ""
    assert merged(first, second, kind="attribute") == ""


@pytest.mark.parametrize(
    ("first", "second", "kind", "why"),
    [
        ("bike", "bicycle", "object", "curated"),
        ("tv", "television", "object", "curated"),
        ("grey", "gray", "attribute", "spelling"),
        ("theatre", "theater", "scene", "spelling"),
        ("colour", "color", "attribute", "spelling"),
        ("t-shirt", "t shirt", "object", "spelling"),
        ("sky scraper", "skyscraper", "object", "spelling"),
        ("café", "cafe", "scene", "spelling"),
        ("traveller", "traveler", "object", "spelling"),
        ("apples", "apple", "object", "inflection"),
        ("geese", "goose", "object", "inflection"),
        ("police officers", "police officer", "object", "inflection"),
        ("surfing", "surf", "action", "inflection"),
        ("automobile", "car", "object", "wordnet"),
        ("cyclist", "bicyclist", "object", "wordnet"),
    ],
)
def test_what_must_merge(first: str, second: str, kind: str, why: str) -> None:
    assert merged(first, second, kind=kind) == why
    assert merged(second, first, kind=kind) == why


def test_wordnets_first_sense_of_bike_is_the_motorcycle() -> None:
    senses = load_senses()
    assert senses.overlap("bike", "motorcycle", "n") > 0.7
    assert senses.overlap("bike", "bicycle", "n") < 0.3
    assert merged("bike", "motorcycle", curated=Curated()) == "wordnet"  # hence the veto


def test_overlap_is_the_sum_of_the_lesser_shares() -> None:
    senses = Senses("n\ta\t60\tb\t50\nn\ta\t30\tb\t20\tc\t90\nv\ta\t100\tc\t100\n")
    assert senses.overlap("a", "b", "n") == pytest.approx(0.7)
    assert senses.overlap("b", "a", "n") == pytest.approx(0.7)
    assert senses.overlap("a", "c", "n") == pytest.approx(0.3)
    assert senses.overlap("a", "unknown", "n") == 0
    assert list(senses.pairs(["c", "a", "b"], "n")) == [("a", "b"), ("a", "c"), ("b", "c")]


@pytest.mark.parametrize(
    ("kinds", "suggested"),
    [(("object", "action"), False), (("object", "scene"), True), (("action", "attribute"), False)],
)
def test_other_kinds_never_merge(kinds: tuple[str, str], suggested: bool) -> None:
    found = links(dict(zip(("pick up", "pickup"), kinds, strict=True)))
    assert bool(found) is suggested
    assert not any(link.applies for link in found.values())


def test_the_curated_table_merges_other_kinds() -> None:
    assert links({"tv": "object", "television": "scene"})["television", "tv"].applies


def test_a_veto_holds_against_all_evidence() -> None:
    curated = parse_curated("veto\tgrey\tgray\tno\n", "x")
    assert merged("grey", "gray", kind="attribute", curated=curated) == ""


@pytest.mark.parametrize(
    ("cosine", "applies"), [(None, False), (0.59, False), (0.61, True), (0.05, None)]
)
def test_embeddings_are_a_second_opinion(cosine: float | None, applies: bool | None) -> None:
    # bush and shrub: an overlap of 0.55, too little by itself
    vectors = None if cosine is None else at_cosine(cosine)
    link = links(dict.fromkeys(("bush", "shrub"), "object"), vectors=vectors).get(("bush", "shrub"))
    assert (link and link.applies) is applies


def test_embeddings_alone_suggest() -> None:
    kinds = dict.fromkeys(("cheeseburger", "hamburger", "rock"), "object")
    link = links(kinds, vectors=at_cosine(0.95, 0.1))["cheeseburger", "hamburger"]
    assert link == Link("cheeseburger", "hamburger", "embedding", 0.95, "cosine 0.95", False)


def test_sorts_of_one_thing_are_no_suggestion() -> None:
    kinds = dict.fromkeys(("clay pot", "flower pot"), "object")
    assert not links(kinds, vectors=at_cosine(0.95))


def test_a_translation_needs_more_evidence() -> None:
    kinds = dict.fromkeys(("bank", "bench", "sofa", "couch"), "object")
    words = {"de": {"bank": "Bank", "bench": "Bank", "sofa": "Sofa", "couch": "Sofa"}}
    found = links(kinds, translations=words, curated=Curated())
    assert not found["bank", "bench"].applies
    assert found["bank", "bench"].why == "translation"
    assert found["couch", "sofa"].applies


def test_names_of_one_category_merge() -> None:
    kinds = dict.fromkeys(("carton", "cardboard box", "box"), "object")
    found = links(kinds, listed=[("ade20k", ("cardboard box", "carton", "unknown"))])
    assert found["cardboard box", "carton"].why == "list"
    assert len(found) == 1


def test_names_of_several_kinds_are_not_merged_by_meaning() -> None:
    kinds = dict.fromkeys(("automobile", "car"), "object")
    assert not links(kinds, mixed=frozenset(["car"]))["automobile", "car"].applies


@pytest.mark.parametrize("name", ["four", "hour", "rose", "wise", "glass", "trailer", "seller"])
def test_spelling_keys_leave_other_words_alone(name: str) -> None:
    assert spelling_key(name) in (name, name.replace("wise", "wize"), "seler")


def test_the_curated_tables_of_the_package_and_the_user() -> None:
    own = parse_curated("# mine\n\nadd\tski\tskis\tbecause\nveto\tBike\tbicycle\t\n", "mine.tsv")
    both = load_curated() | own
    assert both.adds["ski", "skis"] == "because"
    assert ("ski", "skis") not in both.vetoes
    assert ("bicycle", "bike") in both.vetoes
    assert ("bicycle", "bike") not in both.adds
    assert "ski" in both.heads["skis"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("merge\ta\tb\t\n", "row 1: expected add or veto"),
        ("add\ta\n", "row 1: expected add or veto"),
        ("#\nadd\ta\t \twhy\n", "row 2: expected add or veto"),
        ("add\tA\ta\t\n", "the two names are the same"),
        ("add\ta\tb\t\nveto\tb\ta\t\n", "row 2: 'a' and 'b' are both added and vetoed"),
    ],
)
def test_wrong_curated_tables(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(LabelError, match=message):
        read_curated(tmp_path / "c.tsv")


def test_every_curated_add_can_be_applied() -> None:
    """No veto inside a group that the adds make."""
    curated = load_curated()
    names = {name for pair in curated.adds for name in pair}
    groups = Groups(names, apart=curated.vetoes)
    groups.apply(Link(*pair, "curated", 1.0, "") for pair in curated.adds)
    assert all(groups[first] == groups[second] for first, second in curated.adds)
    for group in groups.all():
        assert not set(combinations(sorted(group), 2)) & curated.vetoes.keys()


def test_merges_judged_by_hand() -> None:
    """Evidence still joins what was judged right, and no longer what was judged wrong."""
    if not ENCODER.exists():
        pytest.skip("nano's text encoder is not in this checkout")
    lines = [line for line in GOLD.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    assert len(rows) == 200
    assert sum(row["verdict"] == "right" for row in rows) == 179
    encoder, joined = StaticTextEncoder.load(ENCODER), {"right": 0, "doubtful": 0, "wrong": 0}
    for row in rows:
        names = sorted([row["name"], row["merged into"]])
        kinds = dict.fromkeys(names, row["kind"])
        link = links(kinds, vectors=encoder.encode(names)).get((names[0], names[1]))
        joined[row["verdict"]] += bool(link and link.applies)
    assert joined["wrong"] == 0
    assert joined["right"] >= 168  # the other 11 are joined through a third name
