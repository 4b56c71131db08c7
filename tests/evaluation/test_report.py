"""The report page: well-formed, escaped, self-contained, the same bytes for the same numbers."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from anytag.evaluation.report import Page, Picture, bar_plot, line_plot, scatter_plot

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks nesting outside of SVG, and collects texts and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.classes: list[tuple[str, str | None]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.classes.append((tag, dict(attrs).get("class")))
        self.sources += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 10, 10)).save(data, "PNG")
    return data.getvalue()


def build() -> Page:
    page = Page("Cats & <dogs>", subtitle='say "hello"')
    page.section("One", "a < b")
    page.table(["tag", "AP", "n"], [["<cat>", 0.51234, 1234], ["dog", None, 7]])
    page.plot(line_plot({"a": ([1, 2], [3, 4]), "b": ([1, 2], [4, 1])}, x_label="step"))
    page.plot(bar_plot({"cat": 0.5, "dog": 0.25}, intervals={"cat": (0.4, 0.6)}))
    page.plot(scatter_plot({"kept": ([0, 1], [1, 0])}))
    page.pictures([Picture(data=png(), title='"x" <y>', lines=["dog 0.9"], tone="bad")])
    return page


def test_texts_are_escaped_and_nothing_is_loaded() -> None:
    read = Reader(build().html())
    assert {"Cats & <dogs>", 'say "hello"', "a < b", "<cat>", '"x" <y>', "dog 0.9"} <= set(
        read.texts
    )
    assert [s[:22] for s in read.sources if not s.startswith("#")] == ["data:image/png;base64,"]


def test_numbers_are_formatted_and_stand_right() -> None:
    read = Reader(build().html())
    assert {"0.512", "1,234", "–"} <= set(read.texts)
    assert [c for c in read.classes if c[0] == "th"] == [("th", None), ("th", "n"), ("th", "n")]


def test_columns_of_written_numbers_stand_right() -> None:
    page = Page("x")
    page.table(
        ["mAP", "interval", "P/R", "name", "none"],
        [["72.8†", "49.2-67.4", "43.8/42.0", "nano 1", ""], ["", "", "", "2", ""]],
    )
    heads = [c for c in Reader(page.html()).classes if c[0] == "th"]
    assert heads == [("th", "n")] * 3 + [("th", None)] * 2


def test_same_numbers_same_bytes(tmp_path: Path) -> None:
    build().write(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == build().html()


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Page("x").table(["a", "b"], [["1", "2", "3"]])
