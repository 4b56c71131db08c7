"""Files of the web page: browsers ask whether theirs is the latest, and get it if it is not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest
from tests.serve.servers import Running

from anytag.serve.app import STATIC
from anytag.serve.page import StaticPage, is_known

FILES = sorted(path.name for path in STATIC.iterdir())
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_there_as_it_is(shared: Running, name: str) -> None:
    answer = shared.get(f"/{name}")
    assert answer.status_code == 200
    assert answer.content == (STATIC / name).read_bytes()
    assert answer.headers["content-type"] == TYPES[Path(name).suffix]


@pytest.mark.parametrize("path", ["/", "/index.html", "/main.js", "/base.css", "/favicon.svg"])
def test_what_a_browser_has_is_not_sent_again(shared: Running, path: str) -> None:
    first = shared.get(path)
    assert first.headers["cache-control"] == "no-cache"
    for given in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = shared.get(path, headers={"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "cache-control"):
            assert again.headers[name] == first.headers[name]
    old = shared.get(path, headers={"If-None-Match": '"an-older-one"'})
    assert (old.status_code, old.content) == (200, first.content)


def test_the_first_page_is_index_html(shared: Running) -> None:
    first, named = shared.get("/"), shared.get("/index.html")
    assert (first.content, first.headers["etag"]) == (named.content, named.headers["etag"])


def test_head_and_other_methods(shared: Running) -> None:
    answer = shared.head("/main.js")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == (STATIC / "main.js").stat().st_size
    for path in ("/", "/main.js"):
        refused = shared.post(path)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/v1/models", "/docs", "/openapi.json", "/healthz", "/nothing"])
def test_other_answers_are_kept_nowhere(shared: Running, path: str) -> None:
    assert shared.get(path).headers["cache-control"] == "no-store"


def etag(folder: Path) -> str:
    """Of the first page, from a server that starts now."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(StaticPage(folder))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/")

    return asyncio.run(ask()).headers["etag"]


def test_versions_are_told_apart_by_content_and_not_by_time(tmp_path: Path) -> None:
    file = tmp_path / "index.html"
    file.write_text("old")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    first = etag(tmp_path)
    os.utime(file, (1_100_000_000, 1_100_000_000))
    assert etag(tmp_path) == first
    file.write_text("new")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    assert etag(tmp_path) != first


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ("", False),
        ('"b"', False),
        ("a", False),
        ('"aa", W/"b"', False),
    ],
)
def test_lists_of_versions(given: str, expected: bool) -> None:
    assert is_known('"a"', given) is expected
