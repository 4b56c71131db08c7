"""SIGTERM under load: whatever was accepted gets a whole answer, and the process ends with 0."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.serve.servers import photo
from tests.serve.test_command import started

_PATIENCE = 60
_NUM_CLIENTS = 12
#: of a request each, before the signal
_BEFORE = 60

pytestmark = pytest.mark.slow


class Poster:
    """Posts until nothing listens any more; counts what becomes of each request."""

    def __init__(self, port: int, body: bytes, *, keeps: bool) -> None:
        self._port = port
        self._keeps = keeps
        head = "POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self.statuses: Counter[int] = Counter()
        self.lost: list[str] = []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while True:
            try:
                sock = socket.create_connection(("127.0.0.1", self._port), _PATIENCE)
            except ConnectionError:
                return
            with sock:
                while self._once(sock):
                    pass

    def _once(self, sock: socket.socket) -> bool:
        """One request; whether the connection can take another one."""
        answer = b""
        try:
            sock.sendall(self._request)
            while not is_whole(answer):
                part = sock.recv(1 << 16)
                if not part:
                    break
                answer += part
        except OSError as error:
            self.lost.append(f"{error!r} after {answer!r}")
            return False
        if not is_whole(answer):
            self.lost.append(f"cut: {answer!r}")
            return False
        self.statuses[int(answer[9:12])] += 1
        return self._keeps and b"connection: close" not in answer.lower()


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    match = re.search(rb"content-length: (\d+)", head.lower())
    return bool(end and match and len(body) == int(match[1]))


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "new"])
@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--max-queue", "3"]], ids=" ".join)
def test_no_accepted_request_is_lost(tiny_model: Path, options: list[str], keeps: bool) -> None:
    body = photo(1) + bytes(300_000)  # more than the system holds: refusals meet clients that send
    with started("--model", f"tiny={tiny_model}", "--quiet", *options) as (process, line):
        posters = [Poster(line["port"], body, keeps=keeps) for _ in range(_NUM_CLIENTS)]
        ends = time.monotonic() + _PATIENCE
        while sum(one.statuses.total() for one in posters) < _BEFORE:
            assert time.monotonic() < ends
            threading.Event().wait(0.02)
        process.send_signal(signal.SIGTERM)
        for one in posters:
            one.thread.join(_PATIENCE)
            assert not one.thread.is_alive()
        _, err = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0
    assert "Traceback" not in err
    assert [lost for one in posters for lost in one.lost] == []
    statuses = sum((one.statuses for one in posters), Counter())
    assert set(statuses) <= {200, 429, 503}
    assert statuses[200] > 0
