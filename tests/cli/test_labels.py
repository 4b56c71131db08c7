"""``anytag labels``: from captions to files, exit codes, processes, review and rebuild."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anytag.cli.labels_count import count_batches
from anytag.cli.main import main
from anytag.data.captions import Caption
from anytag.labels.counts import TagCounts
from anytag.labels.labelset import LabelSet

Run = Callable[..., tuple[int, str, str]]
CAPTIONS = (
    "A dog rides a bike near a car.\n"
    "An automobile and a motorcycle.\n"
    "Two dogs in a red automobile\n"
    "a bicycle beside a car without a helmet\n"
) * 5


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "captions.txt").write_text(CAPTIONS, encoding="utf-8")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anytag", "labels", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(ended.value.code or 0), out, err

    return call


def rows(path: Path) -> dict[str, dict[str, str]]:
    text = path.read_text(encoding="utf-8")
    return {row["name"]: row for row in csv.DictReader(io.StringIO(text))}


def edit(path: Path, **cells: dict[str, str]) -> None:
    """Change cells of the rows of these names."""
    table = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    for row in table:
        row |= cells.get(row["name"], {})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)


def test_build_writes_a_table_a_page_and_labels(run: Run, tmp_path: Path) -> None:
    (tmp_path / "coco.txt").write_text("person\nhot dog\n", encoding="utf-8")
    (tmp_path / "de.tsv").write_text("dog\tHund\n", encoding="utf-8")
    code, out, err = run(
        "build", "captions.txt", "--list", "coco=coco.txt", "--translations", "de=de.tsv", "-o", "o"
    )
    assert (code, out) == (0, "")
    assert "20 captions in" in err
    table = rows(tmp_path / "o" / "table.csv")
    assert table["dog"]["count"] == "10"
    assert table["dog"]["translation:de"] == "Hund"
    assert table["hot dog"]["sources"] == "coco"
    assert table["bike"]["merge_into"] == "bicycle"
    assert table["motorcycle"]["merge_into"] == ""
    assert "helmet" not in table
    labels = LabelSet.load(tmp_path / "o" / "labels.json")
    found = labels.find("automobile")
    assert found is not None
    assert found.id == int(table["car"]["id"])
    page = (tmp_path / "o" / "review.html").read_text(encoding="utf-8")
    assert '"motorcycle"' in page


def test_the_unedited_table_merges_to_the_same_labels(run: Run, tmp_path: Path) -> None:
    run("build", "captions.txt", "-o", "o")
    code, _, err = run("merge", "o/table.csv", "-o", "labels.json", "--tag-list", "tags.txt")
    assert (code, err.strip()) == (0, "8 names in 6 labels; 0 not kept")
    made = (tmp_path / "labels.json").read_bytes()
    assert made == (tmp_path / "o" / "labels.json").read_bytes()
    names = (tmp_path / "tags.txt").read_text(encoding="utf-8").splitlines()
    assert names == [entry["name"] for entry in json.loads(made)]


def test_edits_are_applied_and_survive_a_rebuild(run: Run, tmp_path: Path) -> None:
    run("build", "captions.txt", "-o", "o")
    edit(
        tmp_path / "o" / "table.csv",
        bike={"merge_into": ""},
        red={"keep": "no"},
        motorcycle={"merge_into": "bike"},
    )
    code, _, err = run("merge", "o/table.csv", "-o", "labels.json", "--base", "o/labels.json")
    assert code == 0
    assert "3 rows changed by hand: 1 dropped, 1 made a label of its own, 1 merged" in err
    before = LabelSet.load(tmp_path / "o" / "labels.json")
    after = LabelSet.load(tmp_path / "labels.json")
    assert len(after) == len(before)  # bike has the id of motorcycle
    found = after.find("bike")
    assert found is not None
    assert found.synonyms == ("motorcycle",)
    assert after[before.find("red").id].muted  # type: ignore[union-attr]

    (tmp_path / "more.txt").write_text("A zebra and a bike and a red ball\n" * 9, encoding="utf-8")
    bases = ("--base", "labels.json", "--base", "o/table.csv")
    assert run("build", "o/counts.tsv", "more.txt", *bases, "-o", "o2")[0] == 0
    again = rows(tmp_path / "o2" / "table.csv")
    assert again["bike"]["merge_into"] == ""
    assert again["motorcycle"]["merge_into"] == "bike"
    assert again["red"]["keep"] == "no"
    assert again["bike"]["count"] == "14"
    assert int(again["zebra"]["id"]) >= len(before)
    assert int(again["bike"]["id"]) == found.id
    run("merge", "o2/table.csv", "--base", "labels.json", "-o", "labels2.json")
    newest = LabelSet.load(tmp_path / "labels2.json")
    assert newest.names[: len(after)] == after.names
    assert [label.muted for label in newest[: len(after)]] == [label.muted for label in after]


def test_an_edited_table_is_not_replaced_by_accident(run: Run, tmp_path: Path) -> None:
    run("build", "captions.txt", "-o", "o")
    code, _, err = run("build", "captions.txt", "-o", "o")
    assert code == 2
    assert "may hold edits" in err
    assert run("build", "captions.txt", "-o", "o", "--overwrite")[0] == 0


def test_formats_of_data_sets_are_read(run: Run, tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [{"id": n, "image_id": 1, "caption": "a zebra"} for n in range(6)],
    }
    (tmp_path / "captions_val.json").write_text(json.dumps(coco), encoding="utf-8")
    assert run("build", "captions_val.json", "-o", "o")[0] == 0
    assert rows(tmp_path / "o" / "table.csv")["zebra"]["count"] == "6"


def test_broken_rows_of_data_sets_are_told(run: Run, tmp_path: Path) -> None:
    good = [{"id": n, "image_id": 1, "caption": "a zebra"} for n in range(5)]
    bad = {"id": 9, "image_id": 1, "caption": 7}
    coco = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [*good, bad]}
    (tmp_path / "captions_val.json").write_text(json.dumps(coco), encoding="utf-8")
    code, _, err = run("build", "captions_val.json", "-o", "o")
    assert code == 1
    assert "rows without a caption: 1" in err
    assert "zebra" in rows(tmp_path / "o" / "table.csv")


def test_rows_without_a_caption_are_told(run: Run, tmp_path: Path) -> None:
    lines = '{"caption": "a zebra"}\n' * 5 + '{"caption": 1\n{"name": "x"}\n'
    (tmp_path / "c.jsonl").write_text(lines, encoding="utf-8")
    code, _, err = run("build", "c.jsonl", "-o", "o")
    assert code == 1
    assert "rows without a caption: 2" in err
    assert "c.jsonl, row 6" in err
    assert "zebra" in rows(tmp_path / "o" / "table.csv")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.txt"], 2, "none.txt does not exist"),
        (["captions.txt", "--list", "coco"], 2, "--list coco: expected NAME=FILE"),
        (["captions.txt", "--list", "a=x", "--list", "a=y"], 2, "a is given twice"),
        (["captions.txt", "--list", "a=none.txt"], 1, "none.txt: cannot be read"),
        (["captions.txt", "--translations", "de=three.csv"], 1, "row 1: 3 columns, expected two"),
        (["captions.txt", "--curated", "three.csv"], 1, "row 1: expected add or veto"),
        (["captions.txt", "--base", "three.csv"], 1, "no column 'name'"),
        (["captions.txt", "--min-count", "1000"], 1, "no name is in 1000 captions"),
        (
            ["captions.txt", "--base", "a.csv", "--base", "b.csv"],
            2,
            "one labels.json and one table",
        ),
        (["three.counts.tsv"], 1, "row 1: not counts"),
    ],
)
def test_what_is_wrong_is_told(
    run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "three.csv").write_text("a,b,c\n", encoding="utf-8")
    (tmp_path / "three.counts.tsv").write_text("a,b,c\n", encoding="utf-8")
    ended, _, err = run("build", *arguments, "-o", "o")
    assert (ended, message in err) == (code, True), err
    assert not (tmp_path / "o" / "table.csv").exists()


def test_a_wrong_table_writes_nothing(run: Run, tmp_path: Path) -> None:
    run("build", "captions.txt", "-o", "o")
    edit(tmp_path / "o" / "table.csv", bike={"merge_into": "bicylce"})
    code, _, err = run("merge", "o/table.csv", "-o", "labels.json")
    assert code == 1
    assert "'bike' is merged into 'bicylce', which is in no row; do you mean 'bicycle'?" in err
    assert not (tmp_path / "labels.json").exists()


def test_examples_of_the_help() -> None:
    from typer.testing import CliRunner

    from anytag.cli.main import build_app

    for command in ("build", "merge"):
        shown = CliRunner().invoke(build_app(), ["labels", command, "--help"])
        assert shown.exit_code == 0
        assert "Examples:" in shown.output


@pytest.mark.slow
def test_processes_change_nothing() -> None:
    captions = [
        Caption(source="x", row=row, text=f"a {word} near a dog")
        for row, word in enumerate(["zebra", "bus", "red car", "palm tree"] * 3000)
    ]
    totals = []
    for processes in (1, 2):
        total = TagCounts()
        for part in count_batches(captions, processes=processes):
            total.add(part, limit=6)
        totals.append(total)
    assert totals[0] == totals[1]
    assert totals[0].num_captions == 12000
