"""The page of ``anytag serve`` in Chromium: photos in, tags, heatmaps, search, errors."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.serve.page.browser import Page
from tests.serve.page.conftest import OpenPage, Photos, add, settle, tags

from anytag import Tagger

CARDS = ".card:not([hidden])"


@pytest.fixture(scope="module")
def nano() -> Tagger:
    return Tagger.from_pretrained("nano")


def test_a_dropped_photo_gets_the_tags_of_the_model(
    page: Page, photos: Photos, nano: Tagger
) -> None:
    assert page.run("document.querySelector('#welcome').checkVisibility()")
    add(page, photos["chelsea"])
    found = nano(photos["chelsea"]).tags
    assert {tag.name for tag in found[:2]} == {"animal", "cat"}  # it is a cat
    page.wait("document.querySelectorAll('.card .tag').length")
    expected = [(tag.name, f"{round(tag.score, 4):.2f}") for tag in found]
    assert tags(page, ".card") == expected[:4]
    label = page.run("document.querySelector('.card-open').ariaLabel")
    assert label.startswith(f"chelsea.png: {found[0].name} 0.9")
    page.wait("document.querySelector('.card img')?.naturalWidth")
    assert not page.run("document.querySelector('#welcome').checkVisibility()")
    page.click(".card-open")
    page.wait("document.querySelector('#detail').open")
    assert tags(page, "#detail-tags") == expected
    assert page.text("#detail-facts") == "451 × 300 · nano-v1.1"


def test_own_tags_are_asked_and_shown_beside_the_others(
    page: Page, photos: Photos, nano: Tagger
) -> None:
    add(page, photos["coffee"])
    before = [one for one in page.requests if one.endswith("/v1/tag")]
    page.click("#own")
    page.type("cup of coffee, Striped_shirt,")
    page.wait("document.querySelectorAll('#own-chips li').length === 2")
    assert page.texts("#own-chips li") == ["cup of coffee", "Striped shirt"]
    settle(page)
    page.click(".card-open")
    page.wait("document.querySelectorAll('#detail-tags .own').length === 2")
    asked = nano.with_tags(["cup of coffee", "Striped shirt"])(photos["coffee"], top_k=2).tags
    expected = {tag.name: f"{round(tag.score, 4):.2f}" for tag in asked}
    own = dict(tags(page, "#detail-tags .own"))
    assert own == expected
    names = [name for name, _ in tags(page, "#detail-tags")]
    assert "food" in names  # a built-in one
    # One more question, for the new tags alone.
    after = [one for one in page.requests if one.endswith("/v1/tag")]
    assert len(after) == len(before) + 1
    page.press("Escape")
    page.click("#own-chips button")
    assert page.texts("#own-chips li") == ["Striped shirt"]


def drawn(page: Page) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The canvas over the photo, [height, width, 4]."""
    url = page.run("document.querySelector('#detail-heat').toDataURL()")
    return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_pointing_at_a_tag_shows_where_it_is(page: Page, photos: Photos, nano: Tagger) -> None:
    add(page, photos["rocket"])
    page.click(".card-open")
    page.wait("document.querySelectorAll('#detail-tags .tag').length")
    page.hover("#detail-tags li:nth-child(2) .tag")
    page.wait("document.querySelector('#detail-heat').dataset.tag")
    name = page.text("#detail-tags li:nth-child(2) .tag-name")
    assert page.run("document.querySelector('#detail-heat').dataset.tag") == name
    assert name in page.text("#detail-hint")
    hovered = drawn(page)
    heat = nano.explain(photos["rocket"], name)
    assert hovered.shape[:2] == tuple(page.run(
        "[document.querySelector('#detail-heat').clientHeight,"
        " document.querySelector('#detail-heat').clientWidth]"
    ))  # fmt: skip
    # Yellow where the evidence is, a dark veil where there is none.
    high = np.array(Image.fromarray(heat).resize(hovered.shape[1::-1], Image.Resampling.BILINEAR))
    red = hovered[..., 0].astype(float)
    assert np.median(red[high > 0.8]) > 200
    assert np.median(red[high < 0.05]) < 60
    # Away from the list it goes; the keyboard brings it too, and Enter keeps it.
    page.hover("#detail-name")
    page.wait("!document.querySelector('#detail-heat').dataset.tag")
    assert not drawn(page).any()
    page.press("ArrowDown", "ArrowDown")
    page.wait(f"document.querySelector('#detail-heat').dataset.tag === {name!r}")
    asked = [one for one in page.requests if one.endswith("/v1/explain")]
    page.press("Enter", "ArrowUp")
    page.wait("document.querySelector('#detail-heat').dataset.tag !== undefined")
    page.press("ArrowDown")
    page.wait(f"document.querySelector('#detail-heat').dataset.tag === {name!r}")
    pressed = "document.querySelector('#detail-tags [aria-pressed=true] .tag-name').textContent"
    assert page.run(pressed) == name
    again = [one for one in page.requests if one.endswith("/v1/explain")]
    assert len(again) <= len(asked) + 1  # one for the row above; maps are kept


def test_search_finds_photos_by_tags(page: Page, photos: Photos) -> None:
    add(page, photos["chelsea"], photos["coffee"], photos["rocket"])
    assert page.text("#summary") == "3 photos"
    page.press("/")
    page.type("ani")
    assert page.texts(f"{CARDS} .card-name") == ["chelsea.png"]
    assert page.text("#summary") == "1 of 3 photos"
    assert page.texts("#suggestions li > :first-child") == ["animal"]
    page.press("ArrowDown", "Enter")
    assert page.run("document.querySelector('#search').value") == '"animal" '
    page.type("eg")  # both: "egyptian mau" is one of its tags, "eggnog" is in another photo
    assert page.texts(f"{CARDS} .card-name") == ["chelsea.png"]
    page.type("gn")
    assert page.texts(f"{CARDS} .card-name") == []
    assert page.run("document.querySelector('#nothing').checkVisibility()")
    page.press("Escape", "Escape")
    page.wait("document.querySelector('#search').value === ''")
    assert len(page.texts(f"{CARDS} .card-name")) == 3
    # A click on a tag searches for it, a second one on the same ends that.
    page.run("[...document.querySelectorAll('#facets button')]"
             ".find((one) => one.dataset.tag === 'food').click()")  # fmt: skip
    assert page.texts(f"{CARDS} .card-name") == ["coffee.png"]
    page.click("#facets [aria-pressed=true]")
    assert len(page.texts(f"{CARDS} .card-name")) == 3


def test_the_threshold_moves_without_the_server(page: Page, photos: Photos, nano: Tagger) -> None:
    add(page, photos["chelsea"])
    asked = len(page.requests)
    assert page.text("#threshold-value") == "each tag's own"
    slide = (
        "(() => { const slider = document.querySelector('#threshold'); slider.value = VALUE;"
        "slider.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    for value in (0.3, 0.9):
        page.run(slide.replace("VALUE", str(value)))
        page.wait(f"document.querySelector('#threshold-value').textContent === '{value:.2f}'")
        expected = [tag.name for tag in nano(photos["chelsea"], threshold=value, top_k=60).tags]
        page.click(".card-open")
        assert [name for name, _ in tags(page, "#detail-tags")] == expected
        page.press("Escape")
    page.click("#threshold-auto")
    page.wait("document.querySelector('#threshold-value').textContent !== '0.90'")
    assert [one for one in page.requests[asked:] if not one.startswith("GET blob:")] == []


def test_a_broken_file_is_named_and_the_others_go_on(
    open_page: OpenPage, photos: Photos, tmp_path: Path
) -> None:
    page = open_page(expected=("415", "422"))
    broken = tmp_path / "holiday <b>.jpg"
    broken.write_bytes(b"this is no photo")
    half = tmp_path / "half.png"
    half.write_bytes(photos["coffee"].read_bytes()[:20_000])
    add(page, broken, half, photos["chelsea"])
    page.wait("document.querySelectorAll('.toast.error li').length === 2")
    toast = page.text(".toast.error")
    assert "2 files could not be tagged" in toast
    assert "holiday <b>.jpg: " in toast
    assert page.run("document.querySelector('.toast.error').role") == "alert"
    states = page.run(
        "[...document.querySelectorAll('.card')].map((one) =>"
        " [one.querySelector('.card-name').textContent, one.dataset.state])"
    )
    expected = {"holiday <b>.jpg": "failed", "half.png": "failed", "chelsea.png": "done"}
    assert dict(states) == expected
    assert page.text("#summary") == "3 photos · 2 could not be tagged"
    assert "known image format" in page.text(".card-error")
    page.click(".toast.error button")
    assert page.texts(".toast.error") == []
