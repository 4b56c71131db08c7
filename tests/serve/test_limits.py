"""Every limit: what is over it is refused with its status, and the server goes on."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.servers import PATIENCE_S, Gate, Running, photo, running

from anytag.serve.schemas import ErrorResponse


def refused(response: httpx.Response, status: int, kind: str) -> str:
    assert response.status_code == status, response.text
    error = ErrorResponse.model_validate(response.json()).error
    assert error.type == kind
    return error.message


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    for _ in range(20_000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module")
def small(tiny_model: Path) -> Iterator[Running]:
    """A server with small limits."""
    with running(
        {"tiny": tiny_model},
        max_image_bytes=20_000,
        max_request_bytes=60_000,
        max_pixels=10_000,
        max_images=3,
        max_tags=4,
        max_tag_length=20,
    ) as client:
        yield client


def test_bytes_of_an_image(small: Running, data: bytes) -> None:
    large = data + bytes(20_001 - len(data))
    refused(small.tag(large), 413, "too_large")
    encoded = base64.b64encode(large).decode()
    refused(small.post("/v1/tag", json={"image": encoded}), 413, "too_large")
    batch = small.post("/v1/tag/batch", files=[("images", large), ("images", data)]).json()
    assert [one["error"] and one["error"]["type"] for one in batch["results"]] == [
        "too_large",
        None,
    ]
    assert small.tag(large[:20_000]).status_code == 200


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(total // 1000):
        yield bytes(1000)


@pytest.mark.parametrize("path", ["/v1/tag", "/v1/tag/batch", "/v1/images:annotate"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_bytes_of_a_request(small: Running, path: str, kind: str) -> None:
    headers = {"Content-Type": kind}
    refused(small.post(path, content=bytes(60_001), headers=headers), 413, "too_large")
    # without a length before: the server counts
    if "json" in kind:
        refused(small.post(path, content=chunks(200_000), headers=headers), 413, "too_large")


def test_a_length_that_is_a_lie_is_cut_by_the_server(small: Running) -> None:
    """More bytes than announced are no part of the request."""
    host, port = small.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as sock:
        sock.sendall(
            b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\nConnection: close\r\n\r\n{}" + b"x" * 1000
        )
        answer = b""
        while part := sock.recv(65536):
            answer += part
    assert answer.startswith((b"HTTP/1.1 422", b"HTTP/1.1 400"))  # older uvicorn: 400


def test_pixels(small: Running) -> None:
    message = refused(small.tag(photo(1, (101, 100))), 413, "too_many_pixels")
    assert "the limit is 10,000" in message
    assert small.tag(photo(1, (100, 100))).status_code == 200


def test_images_of_a_request(small: Running, data: bytes) -> None:
    refused(small.post("/v1/tag/batch", files=[("images", data)] * 4), 400, "bad_form")
    refused(small.post("/v1/tag/batch", json={"images": ["AAAA"] * 4}), 413, "too_many_images")
    assert small.post("/v1/tag/batch", files=[("images", data)] * 3).status_code == 200


def test_tags_of_a_request(small: Running, data: bytes) -> None:
    refused(small.tag(data, tags=list("abcde")), 422, "too_many_tags")
    refused(small.tag(data, tags="x" * 21), 422, "tags")
    assert small.tag(data, tags=list("abcd")).status_code == 200


def test_the_memory_of_tag_lists_is_bounded(
    tiny_model: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anytag.serve.models.NUM_RECENT", 3)
    with running({"tiny": tiny_model}) as client:
        for number in range(6):
            assert client.tag(data, tags=f"tag {number}").status_code == 200
        assert len(client.service.models.get(None)._recent) == 3


@pytest.fixture
def narrow(tiny_model: Path) -> Iterator[Running]:
    """Room for three images and 100 kB."""
    with running(
        {"tiny": tiny_model}, max_queue=3, max_request_bytes=60_000, max_held_bytes=100_000
    ) as client:
        yield client


def test_a_full_queue_is_429_and_empties(
    narrow: Running, gate: Callable[[Running], Gate], data: bytes
) -> None:
    closed = gate(narrow)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(narrow.tag, data) for _ in range(3)]
        until(lambda: narrow.service.admission.num_images == 3)
        answer = narrow.tag(data)
        refused(answer, 429, "busy")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert narrow.get("/readyz").status_code == 200  # busy is not ill
        closed.open()
        assert [one.result().status_code for one in waiting] == [200, 200, 200]
    assert narrow.service.admission.num_images == 0
    assert narrow.tag(data).status_code == 200


def test_a_batch_takes_the_room_of_all_its_images(narrow: Running, data: bytes) -> None:
    refused(narrow.post("/v1/tag/batch", files=[("images", data)] * 4), 429, "busy")
    assert narrow.post("/v1/tag/batch", files=[("images", data)] * 3).status_code == 200


def test_too_many_bytes_at_a_time_are_429(
    narrow: Running, gate: Callable[[Running], Gate], data: bytes
) -> None:
    closed = gate(narrow)
    large = data + bytes(45_000)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(narrow.tag, large)
        until(lambda: narrow.service.admission.num_bytes > 45_000)
        refused(narrow.tag(large), 429, "busy")
        kind = {"Content-Type": "image/png"}
        refused(narrow.post("/v1/tag", content=chunks(58_000), headers=kind), 429, "busy")
        closed.open()
        assert waiting.result().status_code == 200
    assert narrow.service.admission.num_bytes == 0


def test_requests_of_one_tag_list_go_through_the_model_together(
    tiny_model: Path, gate: Callable[[Running], Gate], data: bytes
) -> None:
    with running({"tiny": tiny_model}) as client, ThreadPoolExecutor(5) as pool:
        closed = gate(client)
        model = client.service.models.get(None)
        answers = [pool.submit(client.tag, data)]
        until(closed.entered.is_set)
        answers += [pool.submit(client.tag, data) for _ in range(4)]
        until(lambda: model._batcher.num_waiting == 4)
        closed.open()
        assert [answer.result().status_code for answer in answers] == [200] * 5
        assert closed.sizes == [1, 4]


@pytest.fixture
def hasty(tiny_model: Path) -> Iterator[Running]:
    """Half a second for a request."""
    with running({"tiny": tiny_model}, timeout_s=0.5) as client:
        yield client


def test_an_answer_that_takes_too_long_is_504(
    hasty: Running, gate: Callable[[Running], Gate], data: bytes
) -> None:
    closed = gate(hasty)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(hasty.tag, data) for _ in range(2)]
        for answer in answers:
            refused(answer.result(), 504, "timeout")
    closed.open()
    until(lambda: hasty.service.admission.num_images == 0)
    until(lambda: hasty.service.models.get(None)._batcher.num_waiting == 0)


def test_a_body_that_comes_too_slowly_is_408(hasty: Running) -> None:
    def slow() -> Iterator[bytes]:
        yield b"{"
        threading.Event().wait(1.2)
        yield b"}"

    headers = {"Content-Type": "application/json"}
    refused(hasty.post("/v1/tag", content=slow(), headers=headers), 408, "slow_upload")
    assert hasty.service.admission.num_images == 0


def test_work_of_a_client_that_has_gone_is_dropped(
    tiny_model: Path, gate: Callable[[Running], Gate], data: bytes
) -> None:
    with running({"tiny": tiny_model}) as client, ThreadPoolExecutor(2) as pool:
        closed = gate(client)
        model = client.service.models.get(None)
        held = pool.submit(client.tag, data)
        until(closed.entered.is_set)
        impatient = httpx.Timeout(PATIENCE_S, read=1.0)
        with httpx.Client(base_url=client.url, timeout=impatient) as other:
            leaving = pool.submit(other.post, "/v1/tag", files={"image": data})
            until(lambda: model._batcher.num_waiting == 1)
            with pytest.raises(httpx.ReadTimeout):
                leaving.result()
        until(lambda: client.service.admission.num_images == 1)
        closed.open()
        assert held.result().status_code == 200
        assert client.tag(data).status_code == 200
        assert model._batcher.num_waiting == 0
        assert closed.sizes == [1, 1]


def test_a_fault_of_the_model_is_500_and_told_to_the_log_alone(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    def fail(pixels: Any) -> Any:
        raise RuntimeError("secret detail")

    with running({"tiny": tiny_model}) as client:
        monkeypatch.setattr(client.tagger, "score", fail)
        answer = client.tag(data)
        assert "secret" not in answer.text
        refused(answer, 500, "internal")
        batch = client.post("/v1/tag/batch", files=[("images", data)]).json()
        assert batch["results"][0]["error"]["type"] == "internal"
        assert caplog.text.count("RuntimeError: secret detail") == 2
        monkeypatch.undo()
        assert client.tag(data).status_code == 200
    assert "secret detail" in caplog.text


def test_no_memory_is_503(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    def fail(pixels: Any) -> Any:
        raise MemoryError

    with running({"tiny": tiny_model}) as client:
        monkeypatch.setattr(client.tagger, "score", fail)
        answer = client.tag(data)
        refused(answer, 503, "out_of_memory")
        assert answer.headers["retry-after"] == "5"


def test_scores_that_are_no_numbers_are_an_error(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    with running({"tiny": tiny_model}) as client:
        score = client.tagger.score
        monkeypatch.setattr(client.tagger, "score", lambda pixels: score(pixels) * float("nan"))
        refused(client.tag(data), 500, "not_finite")
