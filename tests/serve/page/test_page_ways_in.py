"""Ways for photos into the page of ``anytag serve``, and out of it again."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.serve.page.browser import Page
from tests.serve.page.conftest import OpenPage, Photos, add, settle

pytestmark = pytest.mark.slow


def names(page: Page) -> list[str]:
    return page.texts(".card:not([hidden]) .card-name")


def test_a_picture_is_pasted(page: Page, photos: Photos) -> None:
    data = base64.b64encode(photos["chelsea"].read_bytes()).decode()
    page.run(
        f"fetch('/favicon.svg').then(() => Uint8Array.from(atob({data!r}), (c) => c.charCodeAt(0)))"
        ".then((bytes) => navigator.clipboard.write([new ClipboardItem("
        "{'image/png': new Blob([bytes], {type: 'image/png'})})]))"
    )
    for _ in range(2):
        page.press("v", modifiers=2, commands=["paste"])
    page.wait("document.querySelectorAll('.card').length === 2")
    settle(page)
    assert names(page) == ["pasted-1.png", "pasted-2.png"]
    assert "cat" in page.texts(".card .tag-name")
    # Text goes into the box that has the focus, and is no picture.
    page.run("navigator.clipboard.writeText('forklift,')")
    page.click("#own")
    page.press("v", modifiers=2, commands=["paste"])
    page.wait("document.querySelectorAll('#own-chips li').length === 1")
    assert len(names(page)) == 2


def test_a_folder_is_walked_and_other_files_are_left_out(
    page: Page, photos: Photos, tmp_path: Path
) -> None:
    folder = tmp_path / "holiday"
    (folder / "deep" / "deeper").mkdir(parents=True)
    for number in range(120):  # more than a reader gives at a time
        (folder / f"{number}.txt").write_text("notes")
    shutil.copy(photos["chelsea"], folder / "10.png")
    shutil.copy(photos["coffee"], folder / "9.png")
    shutil.copy(photos["rocket"], folder / "deep" / "deeper" / "rocket.JPG")
    add(page, folder)
    page.wait("document.querySelectorAll('.card').length === 3")
    settle(page)
    assert names(page) == ["9.png", "10.png", "rocket.JPG"]
    titles = page.run("[...document.querySelectorAll('.card-name')].map((one) => one.title)")
    assert titles[-1] == "holiday/deep/deeper/rocket.JPG"
    assert "120 files left out" in page.messages()


def test_files_are_chosen_and_none_twice(page: Page, photos: Photos) -> None:
    page.choose("#files", [photos["chelsea"], photos["coffee"]])
    page.wait("document.querySelectorAll('.card').length === 2")
    page.choose("#files", [photos["chelsea"], photos["rocket"]])
    page.wait("document.querySelectorAll('.card').length === 3")
    assert "1 photo was here already" in page.messages()
    settle(page)


def test_photos_are_removed_and_come_back(page: Page, photos: Photos) -> None:
    add(page, photos["chelsea"], photos["coffee"], photos["rocket"])
    page.hover(".card:nth-child(2)")
    page.click(".card:nth-child(2) .card-remove")
    assert names(page) == ["chelsea.png", "rocket.jpg"]
    assert page.run("document.activeElement.ariaLabel").startswith("rocket.jpg")
    page.click(".toast.info .button.small")  # undo
    assert names(page) == ["chelsea.png", "coffee.png", "rocket.jpg"]
    page.wait("document.querySelectorAll('.card:nth-child(2) .tag').length")
    page.click("#clear")
    page.wait("document.querySelector('#welcome').checkVisibility()")
    page.click(".toast.info .button.small")
    page.wait("document.querySelectorAll('.card').length === 3")
    page.wait("document.querySelector('#facets-section').checkVisibility()")
    # Removed for good, the same file may come again.
    page.click("#clear")
    add(page, photos["coffee"])
    assert names(page) == ["coffee.png"]


FAKE = """
{
  const real = window.fetch;
  window.fetch = async (url, options) => {
    if (!String(url).endsWith("/v1/tag")) return real(url, options);
    const name = options.body.get("image").name;
    const number = Number(name.split(".")[0]);
    const tag = (name, score) => ({ name, score, threshold: 0.5, id: 0, kind: null });
    const tags = [tag(number % 2 ? "odd" : "even", 0.9), tag(`number ${number}`, 0.8)];
    const answer = { path: name, sha256: "", width: 8, height: 8, model: "m", tags };
    return new Response(JSON.stringify(answer));
  };
}
"""


def test_two_thousand_photos_stay_usable(open_page: OpenPage, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    Image.new("RGB", (32, 24), "teal").save(folder / "0.jpg")
    content = (folder / "0.jpg").read_bytes()
    for number in range(2000):
        (folder / f"{number}.jpg").write_bytes(content)
    page = open_page(before=FAKE)
    add(page, folder)
    page.wait("document.querySelectorAll('.card[data-state=done]').length === 2000")
    built = "document.querySelectorAll('.card img, .card .tag').length"
    assert 0 < page.run(built) < 500  # only what is near the screen
    assert page.text("#summary") == "2,000 photos"
    assert page.texts("#facets .tag-score")[:2] == ["1,000", "1,000"]
    page.click(".card-open")
    page.press("Escape", "End")
    label = "document.activeElement.ariaLabel"
    page.wait(f"{label}.startsWith('1999.jpg')")
    page.wait("document.activeElement.querySelector('img')?.naturalWidth")
    page.press("/")
    page.type('"number 1234"')
    assert names(page) == ["1234.jpg"]
    page.press("Enter", "Tab")
    assert 0 < page.run(built) < 500


def test_stop_leaves_the_rest_for_another_time(open_page: OpenPage, photos: Photos) -> None:
    wait = (
        "if (!window.fast) await new Promise((resolve, reject) =>"
        " options.signal.addEventListener('abort', () => reject(options.signal.reason)));"
    )
    slow = FAKE.replace("const name", f"{wait} const name", 1)
    page = open_page(before=slow)
    page.drop("#main", list(photos.values()))
    page.wait("document.querySelectorAll('.card').length === 5")
    assert page.text("#progress-text") == "0 of 5 photos"
    page.click("#stop")
    page.wait("document.querySelectorAll('.card[data-state=failed]').length === 5")
    assert page.texts(".toast.error") == []
    page.run("window.fast = true")
    page.click("#again")
    page.wait("document.querySelectorAll('.card[data-state=done]').length === 5")
