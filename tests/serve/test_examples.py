"""examples/label_studio_backend.py, asked as Label Studio asks."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import uvicorn
from tests.serve.servers import photo

from anytag.serve.server import bind, url_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "label_studio_backend.py"
TOKEN = "a-token-of-label-studio"
INTERFACE = """
<View>
  <Image name="photo" value="$image"/>
  <Choices name="what" toName="photo" choice="multiple">
    <Choice value="red panda"/><Choice value="cat"/>
  </Choices>
</View>
"""


class Studio(BaseHTTPRequestHandler):
    """Gives its uploads to those who have the token."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == f"Token {TOKEN}"
        known = self.path == "/data/upload/1/a.png"
        content = photo(1) if allowed and known else b""
        self.send_response(200 if content else 404 if allowed else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def studio() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Studio) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def example(studio: str, seeing_model: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, value in {
        "LABEL_STUDIO_URL": studio,
        "LABEL_STUDIO_TOKEN": TOKEN,
        "MODEL": str(seeing_model),
        "THRESHOLD": "0",
    }.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("label_studio_backend", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "label_studio_backend", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(example: ModuleType) -> Iterator[httpx.Client]:
    """Of the example, which runs in a thread."""
    server = uvicorn.Server(uvicorn.Config(example.app, log_config=None, lifespan="off"))
    with bind("127.0.0.1", 0) as sock:
        address = url_of(sock)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client
        server.should_exit = True
        thread.join()


def test_choices_of_tasks(example: ModuleType, client: httpx.Client, studio: str) -> None:
    assert client.get("/health").json()["status"] == "UP"
    assert client.post("/setup", json={"project": "1.2", "schema": INTERFACE}).json() == {
        "model_version": "tiny-1"
    }
    tasks = [
        {"id": 1, "data": {"image": "/data/upload/1/a.png"}},
        {"id": 2, "data": {"image": "/data/upload/1/missing.png"}},
        {"id": 3, "data": {"image": "http://127.0.0.1:1/private.png"}},
        {"id": 4, "data": {"image": f"{studio}/data/upload/1/a.png"}},
    ]
    asked = {"tasks": tasks, "label_config": INTERFACE, "project": "1.2"}
    results = client.post("/predict", json=asked).json()["results"]
    expected = example.tagger.with_tags(["red panda", "cat"])(photo(1), threshold=0.0)
    chosen = results[0]["result"][0]
    assert (chosen["from_name"], chosen["to_name"], chosen["type"]) == ("what", "photo", "choices")
    assert chosen["value"]["choices"] == [tag.name for tag in expected.tags]
    assert results[0]["score"] == pytest.approx(expected.tags[0].score)
    assert results[3]["result"] == results[0]["result"]
    assert [one["result"] for one in results[1:3]] == [[], []]
