"""An edited table to a label set: errors that say what to do, and ids that stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from anytag.errors import LabelError
from anytag.labels.labelset import Label, LabelSet
from anytag.labels.review import Applied, apply_table
from anytag.labels.table import from_csv, read_table, to_csv

HEADER = "id,name,keep,merge_into,kind,proposed\n"


def apply(text: str, base: LabelSet | None = None) -> Applied:
    return apply_table(from_csv(HEADER + text, "t.csv"), source="t.csv", base=base)


def summary(labels: LabelSet) -> list[tuple[str, tuple[str, ...], bool]]:
    return [(label.name, label.synonyms, label.muted) for label in labels]


def test_rows_become_labels() -> None:
    found = apply("0,car,yes,,object,keep\n0,auto,yes,Car,,merge: car\n,stuff,no,,,drop\n")
    assert found.labels == LabelSet([Label(id=0, name="car", synonyms=("auto",), kind="object")])
    assert found.edits == ()
    assert found.report() == ["2 names in 1 labels; 1 not kept"]


def test_edits_are_told() -> None:
    rows = "0,car,yes,,,keep\n1,auto,YES,,,merge: car\n2,dog,n,,,keep\n3,hound,yes,cat,,keep\n"
    found = apply(rows + "4,cat,y,,,drop\n")
    assert found.edits == (
        ("auto", "merge: car", "keep"),
        ("dog", "keep", "drop"),
        ("hound", "keep", "merge: cat"),
        ("cat", "drop", "keep"),
    )
    assert found.report()[1] == (
        "4 rows changed by hand: 1 dropped, 1 kept after all, 1 made a label of its own, 1 merged"
    )


def test_merges_are_followed_to_their_end() -> None:
    found = apply(",a,yes,b,,\n,b,yes,c,,\n,c,yes,,,\n")
    assert summary(found.labels) == [("c", ("a", "b"), False)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (",a,yes,,,\n,A,yes,,,\n", "row 3: 'A' is in row 2 too; remove one"),
        (",a,yes,a,,\n", "row 2: 'a' is merged into 'a', in a circle"),
        (",a,yes,b,,\n,b,yes,a,,\n", r"row 3: 'b' is merged into 'a', in a circle \(a -> b -> a\)"),
        (",bicycle,yes,,,\n,bike,yes,bicylce,,\n", "in no row; do you mean 'bicycle'"),
        (",a,yes,b,,\n,b,no,,,\n", r"'b', which is not kept \(row 3\); keep it, or merge"),
        (",a,no,,,\n", "no row is kept"),
        (",a,perhaps,,,\n", r"row 2 \('a'\): keep is 'perhaps', expected yes or no"),
        (",,yes,,,\n", "row 2: the name is empty"),
        (",a,yes,,thing,\n", "kind is 'thing', expected object, scene"),
        ("x,a,yes,,,\n", "id is 'x', expected a whole number"),
    ],
)
def test_wrong_rows_say_what_to_do(rows: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        apply(rows)


def test_all_wrong_rows_are_told_at_once() -> None:
    with pytest.raises(LabelError) as error:
        apply("".join(f",n{number},yes,zzz,,\n" for number in range(30)))
    assert str(error.value).count("\n") == 21
    assert "and 10 more" in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name,keep\na,yes\n", "no column 'merge_into'; its first row is name, keep"),
        (b"", "no column 'name'; its first row is empty"),
        (b"name,keep,merge_into\n", "holds no rows"),
        (b"name,keep,merge_into\ncaf\xe9,yes,\n", "not UTF-8"),
        (b"name,keep,merge_into,score\na,yes,,high\n", "score is 'high'"),
    ],
)
def test_wrong_files(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(LabelError, match=message):
        read_table(tmp_path / "t.csv")


def test_spreadsheets_write_semicolons_and_a_mark() -> None:
    rows = from_csv("name;keep;merge_into;score\r\ncar;TRUE;;0,5\r\n", "t")
    assert (rows[0].name, rows[0].keep, rows[0].score) == ("car", True, 0.5)


def test_a_spreadsheets_file_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfname,keep,merge_into\r\ncar,yes,\r\n")
    assert read_table(tmp_path / "t.csv")[0].name == "car"


def test_cells_with_commas_and_quotes_come_back() -> None:
    row = from_csv(HEADER + '7,"a ""b"", c",yes,,,keep\n', "t")[0]
    assert from_csv(to_csv([row]), "t")[0] == row


BASE = LabelSet(
    [
        Label(id=0, name="car", threshold=0.7, parents=("vehicle",), synonyms=("auto",)),
        Label(id=1, name="bunny", threshold=0.6, translations={"de": "Hase"}),
        Label(id=2, name="dog"),
        Label(id=3, name="hound"),
    ]
)


def test_a_base_keeps_ids_thresholds_and_parents() -> None:
    rows = "3,hound,yes,,,\n9,zebra,yes,,,\n2,dog,yes,,,\n1,bunny,yes,,,\n0,car,yes,,,\n"
    found = apply(rows, BASE)
    assert found.labels.names == ["car", "bunny", "dog", "hound", "zebra"]
    assert found.labels[0].threshold == 0.7
    assert found.labels[0].parents == ("vehicle",)
    assert found.labels[1].translations == {"de": "Hase"}
    assert (found.renamed, found.retired, found.num_new) == ((), (), 1)


def test_a_new_name_of_a_label_keeps_its_id() -> None:
    rows = "0,automobile,yes,,,\n1,rabbit,yes,,,\n1,bunny,yes,rabbit,,\n2,dog,yes,,,\n"
    found = apply(rows + "3,hound,yes,,,\n", BASE)
    assert found.labels.names == ["automobile", "rabbit", "dog", "hound"]
    assert found.labels[1].synonyms == ("bunny",)
    assert found.renamed == ((0, "car", "automobile"), (1, "bunny", "rabbit"))


def test_a_label_no_longer_wanted_keeps_its_place_muted() -> None:
    rows = "0,car,yes,,,\n1,bunny,no,,,\n2,dog,yes,,,\n3,hound,yes,dog,,\n"
    found = apply(rows, BASE)
    assert summary(found.labels) == [
        ("car", (), False),
        ("bunny", (), True),
        ("dog", ("hound",), False),
        ("hound (retired 3)", (), True),
    ]
    assert found.labels.find("hound") == found.labels[2]
    assert found.retired == (1, 3)
    assert "2 ids of the base are retired (muted): 1, 3" in found.report()
    again = apply(rows, found.labels)
    assert again.labels == found.labels
    assert again.retired == ()
