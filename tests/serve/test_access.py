"""Keys, origins, headers, ids and log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serve.servers import Running, running

from anytag.serve.logs import JsonLines
from anytag.serve.security import digest

KEY, OTHER = "a-key-that-is-long-enough", "another-key-that-is-long"
ORIGIN = "https://example.org"


@pytest.fixture(scope="module")
def locked(tiny_model: Path) -> Iterator[Running]:
    """A server that asks for keys, and lets one origin ask."""
    with running(
        {"tiny": tiny_model}, key_digests=(digest(KEY), digest(OTHER)), cors_origins=(ORIGIN,)
    ) as client:
        yield client


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/tiny/tags", "/metrics"])
def test_paths_that_want_a_key(locked: Running, path: str) -> None:
    answer = locked.get(path)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert locked.get(path, headers={"X-API-Key": OTHER}).status_code == 200
    assert locked.get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert locked.get(path, headers={"Authorization": f"Bearer {KEY}x"}).status_code == 401
    assert locked.get(f"{path}?key={KEY}").status_code == 401  # only Google's way


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json", "/docs.css"])
def test_paths_that_are_open(locked: Running, path: str) -> None:
    assert locked.get(path).status_code == 200


def test_the_body_is_not_read_without_a_key(locked: Running) -> None:
    answer = locked.post("/v1/tag", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_a_preflight_needs_no_key(locked: Running) -> None:
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type",
    }
    answer = locked.options("/v1/tag", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    other = locked.options("/v1/tag", headers={**headers, "Origin": "https://elsewhere.org"})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


def test_errors_reach_pages_of_that_origin_too(locked: Running) -> None:
    answer = locked.get("/v1/models", headers={"Origin": ORIGIN})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_other_origins_are_off_by_default(shared: Running) -> None:
    answer = shared.get("/v1/models", headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/models", "/nothing"])
def test_headers_of_every_answer(shared: Running, path: str) -> None:
    headers = shared.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "default-src 'self'; img-src 'self' blob: data:" in policy
    assert "unsafe" not in policy
    assert "server" not in headers


def test_the_page_is_there(shared: Running) -> None:
    answer = shared.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_ids_are_taken_over_if_they_are_harmless(shared: Running) -> None:
    given = {"X-Request-ID": "photo-7.a_B"}
    assert shared.get("/healthz", headers=given).headers["x-request-id"] == "photo-7.a_B"
    for bad in ("a b", "x" * 65, "<b>", ""):
        new = shared.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"]
        assert len(new) == 32
        assert new != bad


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    written = [JsonLines().format(record) for record in caplog.records]
    return [json.loads(line) for line in written if "request_id" in line]


def test_one_line_of_log_a_request(
    locked: Running, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "anytag.serve.requests"):
        good = locked.post("/v1/tag?top_k=2", files={"image": data}, headers={"X-API-Key": KEY})
        bad = locked.post("/v1/images:annotate?key=not-a-known-key-at-all", json={})
        locked.get("/healthz")
        ids = [good.headers["x-request-id"], bad.headers["x-request-id"]]
        for _ in range(500):
            if len(lines(caplog)) >= 2:
                break
            locked.get("/healthz")
    first, second = lines(caplog)
    assert [first["request_id"], second["request_id"]] == ids
    assert first["path"] == "/v1/tag"
    assert (first["method"], first["status"], first["model"]) == ("POST", 200, "tiny")
    assert first["num_images"] == 1
    assert first["bytes_in"] > len(data)
    assert first["elapsed_ms"] > 0
    assert first["key"] == digest(KEY).hex()[:8]
    assert (second["status"], second["error"]) == (401, "unauthorized")
    assert "not-a-known-key" not in json.dumps([first, second])


def test_metrics(tiny_model: Path, data: bytes) -> None:
    with running({"tiny": tiny_model}) as client:
        for _ in range(3):
            assert client.tag(data).status_code == 200
        assert client.tag(b"no image").status_code == 415
        batch = [("images", data), ("images", b"no image")]
        assert client.post("/v1/tag/batch", files=batch).status_code == 200
        client.get("/some/path/of/a/scanner")
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    values = dict(
        line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")
    )
    assert values['anytag_requests_total{endpoint="/v1/tag",status="200"}'] == "3.0"
    assert values['anytag_requests_total{endpoint="/v1/tag",status="415"}'] == "1.0"
    assert values['anytag_requests_total{endpoint="page",status="404"}'] == "1.0"
    assert values['anytag_images_total{model="tiny"}'] == "4.0"
    assert values['anytag_errors_total{type="not_an_image"}'] == "2.0"
    assert values['anytag_batch_images_sum{model="tiny"}'] == "4.0"
    assert values['anytag_request_seconds_count{endpoint="/v1/tag"}'] == "4.0"
    assert values["anytag_queue_images"] == "0.0"
    assert "scanner" not in answer.text
