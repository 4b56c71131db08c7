"""The review page: its data, and what it does in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.pages import BROWSER, Elements, data_of, run_in_browser

from anytag.labels.review import apply_table
from anytag.labels.review_page import review_page
from anytag.labels.table import Row, cells, from_csv, to_csv

ROWS = [
    Row(name="car", id=0, kind="object", count=30, proposed="keep", translations={"de": "Auto"}),
    Row(name="auto", id=0, merge_into="car", reason="wordnet: x", score=0.9, proposed="merge: car"),
    Row(name='a "b", </script><b>', id=1, suggest="car", suggest_reason="embedding: cosine 0.9"),
    Row(name="stuff", keep=False, reason="blocklist: given by the user", proposed="drop"),
]


def test_the_page_holds_the_table() -> None:
    data = data_of(review_page(ROWS, title="x"))
    assert [row[:-1] for row in data["rows"]] == [cells(row) for row in ROWS]
    assert data["columns"][-1] == "translation:de"


def test_names_cannot_break_the_page() -> None:
    page = review_page(ROWS, title="<b>{{DATA}}</b>")
    assert "</script><b>" not in page
    assert "&lt;b&gt;{{DATA}}&lt;/b&gt;" in page


def test_the_page_needs_no_other_file_and_every_control_has_a_label() -> None:
    page = review_page(ROWS, title="x")
    assert not re.search(r"https?://|src=|@import", page)
    elements = Elements(page).found
    assert ("html", {"lang": "en"}) in elements
    inside = 0
    for tag, attributes in elements:
        inside += tag == "label"
        if tag in ("input", "select"):
            assert inside, attributes
    assert "prefers-color-scheme: dark" in page


SCRIPT = """
{
const out = {};
const change = (element, value) => {
  element.value = value; element.dispatchEvent(new Event("change")); };
const line = name => [...document.querySelectorAll("#rows tr")].find(
  one => one.querySelector("input").value === name);
const names = () => [...document.querySelectorAll("#rows tr")].map(
  one => one.querySelector("input").value);
out.first = csv();
out.all = names();
for (const show of ["labels", "merged", "suggested", "dropped"]) {
  change(document.getElementById("show"), show); out[show] = names(); }
change(document.getElementById("show"), "all");
change(document.getElementById("reason"), "blocklist"); out.blocked = names();
change(document.getElementById("reason"), "");
change(document.getElementById("sort"), "name"); out.sorted = names();
change(document.getElementById("sort"), "group");
line("auto").querySelector('[aria-label="separate auto"]').click();
line("stuff").querySelector("[type=checkbox]").click();
const into = () => line("stuff").querySelector('[aria-label="merge stuff into"]');
change(into(), "nothing"); out.invalid = into().getAttribute("aria-invalid");
out.status = document.getElementById("status").textContent;
change(into(), "car"); out.valid = into().getAttribute("aria-invalid");
[...document.querySelectorAll("#rows button")].find(
  one => one.textContent === "Merge into car").click();
change(document.getElementById("show"), "edited"); out.edited = names();
out.saved = csv();
const dump = document.body.appendChild(document.createElement("pre"));
dump.id = "result"; dump.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(out))));
}
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    out = run_in_browser(review_page(ROWS, title="x"), SCRIPT, tmp_path)
    odd = ROWS[2].name
    assert out["first"] == to_csv(ROWS)
    assert out["all"] == ["car", "auto", odd, "stuff"]
    assert out["labels"] == ["car", odd]
    assert out["merged"] == ["auto"]
    assert out["suggested"] == [odd]
    assert out["dropped"] == out["blocked"] == ["stuff"]
    assert out["sorted"] == sorted(out["all"])
    assert (out["invalid"], out["valid"]) == ("true", None)
    assert "1 with a problem" in out["status"]
    assert out["edited"] == ["auto", odd, "stuff"]
    applied = apply_table(from_csv(out["saved"], "x"), source="x")
    assert [(label.name, label.synonyms) for label in applied.labels] == [
        ("car", (odd, "stuff")),
        ("auto", ()),
    ]
