"""Images by address: allowed or not, and never from this machine's network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.servers import Running, photo, running

from anytag import fetch

IMAGE = photo(3)


class Site(BaseHTTPRequestHandler):
    """Serves an image, and sends visitors to other addresses of this machine."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", f"http://{self.path.removeprefix('/to/')}/image")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        kind, content = {
            "/image": ("image/png", IMAGE),
            "/large": ("image/png", IMAGE + bytes(60_000)),
            "/text": ("text/html", b"<html>secret</html>"),
        }[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def open_server(tiny_model: Path) -> Iterator[Running]:
    with running({"tiny": tiny_model}, allow_urls=True, max_image_bytes=50_000) as client:
        yield client


def ask(client: Running, url: str) -> httpx.Response:
    return client.post("/v1/tag", json={"url": url})


def error(response: httpx.Response, status: int, kind: str) -> str:
    assert response.status_code == status, response.text
    assert response.json()["error"]["type"] == kind
    return response.json()["error"]["message"]


def test_off_by_default(shared: Running, port: int) -> None:
    error(ask(shared, f"http://127.0.0.1:{port}/image"), 403, "urls_not_allowed")
    form = shared.post("/v1/tag", data={"url": "http://example.org/a.jpg"}, files={})
    assert form.status_code in (403, 415)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/image",
        "http://localhost:{port}/image",
        "http://[::1]:{port}/image",
        "http://[::ffff:127.0.0.1]:{port}/image",
        "http://2130706433:{port}/image",
        "http://0.0.0.0:{port}/image",
        "http://10.0.0.1/image",
        "http://192.168.1.1/image",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/image",
    ],
)
def test_addresses_of_private_networks(open_server: Running, port: int, url: str) -> None:
    message = error(ask(open_server, url.format(port=port)), 422, "fetch")
    assert "not a public address" in message or "cannot be resolved" in message


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/a", "/etc/passwd", "gopher://x", "", "http://"]
)
def test_other_schemes(open_server: Running, url: str) -> None:
    message = error(ask(open_server, url), 422, "fetch")
    assert "root:" not in message


@pytest.mark.parametrize(
    ("path", "options", "status", "kind"),
    [
        ("/v1/tag", {"top_k": 0}, 422, "invalid"),
        ("/v1/explain", {"tag": "cat", "method": "magic"}, 422, "invalid"),
        ("/v1/explain", {"tag": " "}, 422, "tags"),
        ("/v1/explain", {"tag": "cat", "model": "other"}, 404, "no_such_model"),
    ],
)
def test_nothing_is_fetched_for_a_wrong_request(
    open_server: Running, path: str, options: dict[str, Any], status: int, kind: str
) -> None:
    """Else the answer would be that this address is refused."""
    asked = {"url": "http://127.0.0.1/image", **options}
    error(open_server.post(path, json=asked), status, kind)


def test_public_addresses_work_and_redirects_are_checked(
    open_server: Running, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_is_public", lambda address: address == "127.0.0.1")
    here = f"127.0.0.1:{port}"
    answer = ask(open_server, f"http://{here}/image")
    assert answer.status_code == 200
    expected = open_server.tag(IMAGE).json()
    assert answer.json()["path"] == f"http://{here}/image"
    assert answer.json()["tags"] == expected["tags"]
    assert ask(open_server, f"http://{here}/to/{here}").status_code == 200
    message = error(ask(open_server, f"http://{here}/to/127.0.0.2:{port}"), 422, "fetch")
    assert "127.0.0.2, which is not a public address" in message
    assert "over the limit" in error(ask(open_server, f"http://{here}/large"), 422, "fetch")
    message = error(ask(open_server, f"http://{here}/text"), 422, "fetch")
    assert "secret" not in message
    explained = open_server.post(
        "/v1/explain", json={"url": f"http://{here}/image", "tag": "cat", "format": "png"}
    )
    assert explained.headers["content-type"] == "image/png"
    batch = open_server.post(
        "/v1/tag/batch",
        json={"images": [{"url": f"http://{here}/image"}, {"url": "http://10.0.0.1/"}]},
    ).json()["results"]
    assert [one["error"] and one["error"]["type"] for one in batch] == [None, "fetch"]


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to(
    open_server: Running, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer of the name server would be the private address."""
    real, asked = fetch.socket.getaddrinfo, []

    def resolve(host: str, *rest: Any, **options: Any) -> Any:
        if host != "rebinding.example":
            return real(host, *rest, **options)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.9", *rest, **options)

    monkeypatch.setattr(fetch.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(fetch, "_is_public", lambda address: address == "127.0.0.1")
    answer = ask(open_server, f"http://rebinding.example:{port}/image")
    assert answer.status_code == 200
    assert asked == ["rebinding.example"]
    message = error(ask(open_server, f"http://rebinding.example:{port}/image"), 422, "fetch")
    assert "127.0.0.9, which is not a public address" in message
