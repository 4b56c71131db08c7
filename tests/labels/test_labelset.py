"""Label sets and the files they are read from."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.errors import LabelError
from anytag.labels.labelset import Label, LabelSet, fold_name, read_tag_list, read_thresholds

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda text: bool(fold_name(text))
)
LABELS = st.lists(
    st.tuples(
        WORDS,
        st.floats(0, 1),
        st.dictionaries(st.sampled_from(["de", "zh"]), WORDS, max_size=2),
        st.sampled_from([None, "object", "scene", "action", "attribute"]),
        st.lists(WORDS, max_size=2),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: fold_name(row[0]),
)


@settings(deadline=None)  # writes files
@given(LABELS)
def test_labels_json_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    labels = LabelSet(
        Label(
            id=position,
            name=name,
            threshold=threshold,
            translations=translations,
            kind=kind,
            parents=tuple(parents),
        )
        for position, (name, threshold, translations, kind, parents) in enumerate(rows)
    )
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    path.write_text(labels.to_json(), encoding="utf-8")
    assert LabelSet.load(path) == labels


def test_names_are_found_whatever_their_form() -> None:
    labels = LabelSet(
        [
            Label(id=0, name="hot air balloon", synonyms=("balloon",)),
            Label(id=1, name="DVD"),
            Label(id=2, name="party decoration", synonyms=("balloon", "dvd")),
        ]
    )
    for name in ("hot air balloon", "Hot_Air  Balloon", " hot air_balloon "):
        found = labels.find(name)
        assert found is not None
        assert found.id == 0
    assert [labels.find(n).id for n in ("balloon", "dvd")] == [0, 1]  # first claim; real names win
    assert labels.find("kite") is None


def test_display_name_falls_back_to_english() -> None:
    label = Label(id=0, name="dog", translations={"de": "Hund"})
    assert [label.display_name(code) for code in ("de", "fr", None)] == ["Hund", "dog", "dog"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([("dog", 0, 0.5, None), ("Dog", 1, 0.5, None)], "'Dog' occurs twice \\(ids 0 and 1\\)"),
        ([("hot dog", 0, 0.5, None), ("hot_dog", 1, 0.5, None)], "occurs twice"),
        ([("dog", 1, 0.5, None)], "has id 1, expected 0"),
        ([(" ", 0, 0.5, None)], "empty name"),
        ([("dog", 0, 1.5, None)], "threshold 1.5 is outside"),
        ([("dog", 0, 0.5, "thing")], "kind 'thing' is none of object"),
    ],
)
def test_wrong_labels(labels: list, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        LabelSet(Label(id=i, name=n, threshold=t, kind=k) for n, i, t, k in labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ('{"a": 1}', "expected a list of labels, found dict"),
        ('[{"id": 0}]', "entry 0 is not an object with a 'name'"),
        ('[{"name": "a", "treshold": 1}]', "entry 0 has the unknown key 'treshold'"),
        ('[{"name": "a", "threshold": 2}]', "entry 0: .*outside"),
    ],
)
def test_wrong_labels_json(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(LabelError, match=message):
        LabelSet.load(path)
    with pytest.raises(LabelError, match=r"missing\.json: cannot be read"):
        LabelSet.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"dog\ncat\n", ["dog", "cat"]),
        (b"\xef\xbb\xbfdog\r\n\r\n# pets\r\n Cat \r\n", ["dog", "Cat"]),
        (b"hot_dog\nhot  dog\nHOT DOG", ["hot dog"]),
        (b"# nothing\n\n", "holds no tag names"),
        (b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_read_tag_list(tmp_path: Path, data: bytes, expected: list[str] | str) -> None:
    path = tmp_path / "tags.txt"
    path.write_bytes(data)
    if isinstance(expected, str):
        with pytest.raises(LabelError, match=expected):
            read_tag_list(path)
    else:
        assert read_tag_list(path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1\n0.2\n0.3\n", [0.1, 0.2, 0.3]),
        ("tag,threshold\ncat,0.9\n", [0.5, 0.9, 0.5]),
        ("Cat,0.9\ndog,1\n", [1.0, 0.9, 0.5]),
        ('"hot_dog",0.25\n', [0.5, 0.5, 0.25]),
        ("0.1\n0.2\n", "2 thresholds for 3 tags"),
        ("cat,0.9,1\n", "expected 'tag,threshold'"),
        ("horse,0.9\n", "no tag named 'horse'"),
        ("cat,high\n", "could not convert"),
        ("cat,7\n", "outside"),
    ],
)
def test_read_thresholds(tmp_path: Path, text: str, expected: list[float] | str) -> None:
    path = tmp_path / "thresholds"
    path.write_text(text)
    labels = LabelSet.from_names(["dog", "cat", "hot dog"])
    if isinstance(expected, str):
        with pytest.raises(LabelError, match=expected):
            read_thresholds(path, labels)
    else:
        assert [label.threshold for label in read_thresholds(path, labels)] == expected


def test_labels_go_to_other_processes() -> None:
    label = Label(
        id=0, name="cat", translations={"de": "Katze"}, parents=("animal",), kind="object"
    )
    labels = LabelSet([label])
    again = pickle.loads(pickle.dumps(labels))
    assert again == labels
    assert again.find("Cat").display_name("de") == "Katze"
