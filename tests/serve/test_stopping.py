"""The end of a server: what is accepted is answered."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.serve.servers import PATIENCE_S, Gate, Running, running
from tests.serve.test_limits import until


def test_draining_says_so_and_answers_all(
    tiny_model: Path, gate: Callable[[Running], Gate], data: bytes
) -> None:
    with running({"tiny": tiny_model}, drain_s=3600.0) as client, ThreadPoolExecutor(3) as pool:
        closed = gate(client)
        waiting = [pool.submit(client.tag, data) for _ in range(2)]
        until(lambda: client.service.admission.num_images == 2)
        client.server.handle_exit(signal.SIGTERM, None)
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
        assert answer.headers["connection"] == "close"
        assert client.get("/healthz").status_code == 200
        late = pool.submit(client.tag, data)  # load balancers need a moment to see it
        until(lambda: client.service.admission.num_images == 3)
        client.server.handle_exit(signal.SIGTERM, None)  # no more waiting for them
        assert client.server.should_exit
        closed.open()
        assert [one.result().status_code for one in (*waiting, late)] == [200] * 3
        client.thread.join(PATIENCE_S)
        assert not client.thread.is_alive()
        with pytest.raises(httpx.ConnectError):
            client.get("/healthz")


def test_a_second_signal_hurries(tiny_model: Path) -> None:
    with running({"tiny": tiny_model}, drain_s=3600.0) as client:
        client.server.handle_exit(signal.SIGINT, None)
        assert client.get("/readyz").status_code == 503
        assert not client.server.should_exit
        client.server.handle_exit(signal.SIGINT, None)
        client.thread.join(PATIENCE_S)
        assert not client.thread.is_alive()


def test_all_threads_end(tiny_model: Path, data: bytes) -> None:
    before = set(threading.enumerate())
    with running({"tiny": tiny_model}, allow_urls=True) as client:
        client.tag(data)
        client.post("/v1/tag", json={"url": "http://127.0.0.1/"})
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in names if name.startswith("anytag")]
