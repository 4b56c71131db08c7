"""A real server with the real model, a real browser, and real photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pages import BROWSER
from tests.serve.page.browser import Browser, Page
from tests.serve.page.server import serving

Photos = dict[str, Path]


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    """Photos that ship with scikit-image, by their names without ending."""
    skimage = pytest.importorskip("skimage", reason="its sample photos come with anytag[demo]")
    folder = Path(skimage.__file__).parent / "data"
    names = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "camera.png")
    return {name.partition(".")[0]: folder / name for name in names}


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not BROWSER:
        pytest.skip("there is no Chromium")
    with Browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a server with nano."""
    for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        pytest.importorskip(module, reason="it comes with anytag[serve]")
    with serving() as url:
        yield url


#: makes a page; ``expected`` are words of problems that the test provokes
OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: str) -> Iterator[OpenPage]:
    """Opens the page; at the end it must have kept its policy, and to its server."""
    opened: list[tuple[Page, str, tuple[str, ...]]] = []

    def make(url: str = server, expected: tuple[str, ...] = (), **options: Any) -> Page:
        page = browser.page(f"{url}/", **options)
        opened.append((page, url, expected))
        return page

    yield make
    for page, url, expected in opened:
        page.run("0")  # what has happened is heard before this answer
        assert page.violations() == []
        assert [one for one in page.problems if not any(word in one for word in expected)] == []
        own = (f"GET {url}/", f"POST {url}/", "GET blob:", "GET data:")
        assert [one for one in page.requests if not one.startswith(own)] == []
        browser.close(page)


def add(page: Page, *paths: Path) -> None:
    """Drop photos and wait until none is left to do."""
    number = page.run("document.querySelectorAll('.card').length")
    page.drop("#main", paths)
    page.wait(f"document.querySelectorAll('.card').length > {number}")
    settle(page)


def settle(page: Page) -> None:
    """Wait until every photo has its tags or an error."""
    page.wait("document.querySelector('#progress').hidden")
    page.wait("!document.querySelector('.card[data-state=waiting], .card[data-state=working]')")


def tags(page: Page, selector: str) -> list[tuple[str, str]]:
    """(name, score) of the rows below an element."""
    names, scores = (page.texts(f"{selector} .tag-{part}") for part in ("name", "score"))
    return list(zip(names, scores, strict=True))


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The page, as a desktop shows it."""
    return open_page()
