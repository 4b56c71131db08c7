"""The page before other servers: busy ones, with keys, with limits, with several models."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serve.page.browser import Browser
from tests.serve.page.conftest import OpenPage, Photos, add, settle, tags
from tests.serve.page.server import serving

pytestmark = pytest.mark.slow


def test_a_busy_server_is_asked_again(
    open_page: OpenPage, browser: Browser, server: str, photos: Photos
) -> None:
    with serving("--max-queue", "1") as busy:
        page = open_page(busy, expected=("429",))
        add(page, *photos.values())
        states = page.run("[...document.querySelectorAll('.card')].map((one) => one.dataset.state)")
        assert states == ["done"] * len(photos)
        assert any("429" in one for one in page.problems)
        asked = [one for one in page.requests if one.endswith("/v1/tag")]
        assert len(asked) > len(photos)
        assert page.texts(".toast.error") == []


def test_a_key_is_asked_for_and_kept_for_the_tab(
    open_page: OpenPage, browser: Browser, server: str, photos: Photos, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("correct-horse-battery-staple\n")
    with serving("--api-keys", str(keys)) as closed:
        page = open_page(closed, expected=("401",))
        page.wait("document.querySelector('#key').open")
        page.type("wrong-key-of-some-length")
        page.press("Enter")
        page.wait("document.querySelector('#key-message').textContent.includes('known API key')")
        page.wait("document.querySelector('#key').open")
        page.type("correct-horse-battery-staple")
        page.press("Enter")
        page.wait("!document.querySelector('#key').open")
        add(page, photos["chelsea"])
        assert "cat" in page.texts(".card .tag-name")
        page.go(f"{closed}/")
        add(page, photos["coffee"])
        assert not page.run("document.querySelector('#key').open")
        assert page.run("localStorage.length") == 0


def test_a_file_over_the_limit_is_not_sent(
    open_page: OpenPage, browser: Browser, server: str, photos: Photos
) -> None:
    with serving("--max-image-bytes", "200000") as strict:
        page = open_page(strict)
        page.wait("document.querySelector('#model').value")
        add(page, photos["coffee"], photos["rocket"])
        assert page.run("document.querySelectorAll('.card[data-state=failed]').length") == 1
        assert "has 0.5 MB; this server takes 0.2 MB at most" in page.text(".card-error")
        assert len([one for one in page.requests if one.endswith("/v1/tag")]) == 1
        assert page.text("#summary") == "2 photos · 1 could not be tagged"


def test_models_are_chosen_and_write_captions(
    open_page: OpenPage,
    browser: Browser,
    server: str,
    photos: Photos,
    released_models: dict[str, Path],
    silent_nano: Path,
) -> None:
    models = ("--model", f"nano={silent_nano}", "--model", f"small={released_models['tag2text']}")
    with serving(*models) as several:
        page = open_page(several, expected=("422",))
        page.wait("document.querySelector('#model').value")
        add(page, photos["chelsea"])
        first = tags(page, ".card")
        page.click(".card-open")
        assert not page.run("document.querySelector('#caption').checkVisibility()")
        page.press("Escape")
        choose = (
            "(() => { const one = document.querySelector('#model'); one.value = NAME;"
            "one.dispatchEvent(new Event('change')); })()"
        )
        page.run(choose.replace("NAME", "'small'"))
        settle(page)
        page.run("document.querySelector('#threshold').value = 0")
        page.run("document.querySelector('#threshold').dispatchEvent(new Event('input'))")
        page.wait("document.querySelectorAll('.card .tag').length")
        assert tags(page, ".card") != first
        page.click(".card-open")
        page.click("#caption")
        page.wait("document.querySelector('#detail-caption').checkVisibility()")
        assert page.text("#detail-caption")
        assert not page.run("document.querySelector('#caption').checkVisibility()")
        page.press("Escape")
        # This model knows its own tags alone; another one is refused, and nothing else is lost.
        page.click("#own")
        page.type("zeppelin")
        page.press("Enter")
        page.wait("window.__toasts.some((text) => text.includes('zeppelin'))")
        settle(page)
        assert page.texts(".card[data-state=failed]") == []
        page.run(choose.replace("NAME", "'nano'"))
        page.click("#threshold-auto")
        settle(page)
        page.wait("document.querySelectorAll('.card .tag').length > 1")
        assert dict(first).items() <= dict(tags(page, ".card")).items()
