"""What the page of ``anytag serve`` exports, and its pure functions, run in the browser."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.page.browser import Browser, Page
from tests.serve.page.conftest import OpenPage, Photos, add

from anytag import Tagger

#: where a spreadsheet may begin to calculate
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def call(page: Page, module: str, function: str, *arguments: Any) -> Any:
    """A function of one of the page's modules."""
    values = ", ".join(json.dumps(one) for one in arguments)
    return page.run(f"import('/{module}.js').then((one) => one.{function}({values}))")


def saved(folder: Path, name: str, page: Page, button: str) -> str:
    """The file that a button saves."""
    page.click(button)
    for _ in range(2000):
        if (folder / name).exists():
            return (folder / name).read_bytes().decode()
        page.wait("true")
    raise AssertionError(f"{name} was not saved")


def test_export_is_what_the_command_line_writes(
    open_page: OpenPage, photos: Photos, tmp_path: Path
) -> None:
    page = open_page(expected=("415",), downloads=tmp_path / "saved")
    broken = tmp_path / "=broken.jpg"
    broken.write_bytes(b"no photo")
    add(page, photos["chelsea"], photos["coffee"], broken)
    lines = saved(tmp_path / "saved", "tags.jsonl", page, "#save-jsonl").splitlines()
    nano = Tagger.from_pretrained("nano")
    names = ("chelsea.png", "coffee.png")
    wanted = [nano(photos[name.partition(".")[0]]).record() | {"path": name} for name in names]
    records = [json.loads(line) for line in lines]
    for record, expected in zip(records, wanted, strict=False):
        # The server scores photos in batches, which moves the last digit.
        close = [t | {"score": pytest.approx(t["score"], abs=2e-4)} for t in expected["tags"]]
        assert record == expected | {"tags": close}
    assert records[2]["tags"] == []
    assert records[2]["error"]["type"] == "not_an_image"
    text = saved(tmp_path / "saved", "tags.csv", page, "#save-csv")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["path"] for row in rows if row["tag"] == "food"] == ["coffee.png"]
    assert [(row["tag"], float(row["score"])) for row in rows if row["path"] == "chelsea.png"] == [
        (tag["name"], tag["score"]) for tag in records[0]["tags"]
    ]
    assert rows[-1]["path"] == "'=broken.jpg"
    assert rows[-1]["error"] == "not_an_image"
    # Only what the search leaves; through the clipboard too.
    page.click("#search")
    page.type("cat")
    page.press("Enter")
    page.click("#copy-json")
    page.wait("window.__toasts.includes('Copied')")
    copied = json.loads(page.run("navigator.clipboard.readText()"))
    assert [record["path"] for record in copied] == ["chelsea.png"]
    assert copied[0] == records[0]


@pytest.fixture(scope="module")
def still(browser: Browser, server: str) -> Page:
    """A page to call functions in."""
    return browser.page(f"{server}/")


name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
texts = st.one_of(name, st.tuples(st.sampled_from(FORMULA), name).map("".join))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=20))
def test_csv_reads_back_and_calculates_nothing(still: Page, pairs: list[tuple[str, str]]) -> None:
    records = [
        {
            "path": path,
            "tags": [{"name": tag, "score": 0.5, "threshold": 0.25, "id": 3, "kind": None}],
            "error": None,
        }
        for path, tag in pairs
    ]
    text = call(still, "export", "toCsv", records)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["path", "tag", "score", "threshold", "id", "kind", "error", "message"]
    assert len(rows) == len(pairs) + 1
    for row, pair in zip(rows[1:], pairs, strict=True):
        assert row[2:] == ["0.5", "0.25", "3", "", "", ""]
        for found, given_text in zip(row, pair, strict=False):
            assert found in (given_text, f"'{given_text}")
            assert not found.lstrip().startswith(FORMULA)


@pytest.mark.parametrize(
    ("query", "names", "found"),
    [
        ("", ["cat"], True),
        ("ca", ["cat"], True),
        ("at", ["cat"], False),
        ("panda", ["red panda"], True),
        ("red pan", ["red panda"], True),
        ("red cat", ["red panda", "cat"], True),
        ("red dog", ["red panda", "cat"], False),
        ('"red panda"', ["Red_Panda"], True),
        ('"red"', ["red panda"], False),
        ('"red pan', ["red panda"], False),
        ("T-Sh", ["t-shirt"], True),
        ("shirt", ["t-shirt"], True),
    ],
)
def test_search_terms(still: Page, query: str, names: list[str], found: bool) -> None:
    terms = call(still, "search", "parseQuery", query)
    assert call(still, "search", "matches", [{"name": one} for one in names], terms) is found


def test_own_names_are_cut_folded_and_taken_once(still: Page) -> None:
    found = call(still, "own", "newNames", " red_panda ,Forklift;\nforklift,, cat", ["Cat"])
    assert found == ["red panda", "Forklift"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3), ("0", 0.2), ("9999", 60), ("", 1), (None, 1), ("Thu, 01 Jan 1970 00:00:09 GMT", 9)],
)
def test_retry_after(still: Page, header: str | None, seconds: float) -> None:
    assert call(still, "api", "retryAfter", header, 0) == seconds


def test_a_heatmap_is_linear_between_its_cells(still: Page) -> None:
    grid = {"width": 2, "height": 2, "values": [0, 1, 0, 1]}
    places = [(0, 0), (0.5, 0.5), (1, 1), (-3, 0), (9, 0)]
    found = [call(still, "heatmap", "sample", grid, *place) for place in places]
    assert found == [0, 0.5, 1, 0, 1]
