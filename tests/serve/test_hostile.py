"""Ten thousand hostile requests: no fault, no hang, no growth, and a good request after them."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.serve.hostile import Attack, Attacker, form, request
from tests.serve.servers import photo
from tests.serve.test_command import started

NUM_REQUESTS = 10_000
#: seconds; far more than any of them needs
_PATIENCE = 60
_SLOW = 8

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Target:
    """A server that is attacked."""

    url: str
    process_id: int
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        text = Path(f"/proc/{self.process_id}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) * 1024

    def statuses(self) -> Counter[int]:
        """Requests so far, by status."""
        text = httpx.get(f"{self.url}/metrics", timeout=_PATIENCE).text
        found: Counter[int] = Counter()
        rows = re.findall(r'^anytag_requests_total{.*status="(\d+)"} (\S+)', text, re.M)
        for status, number in rows:
            found[int(status)] += int(float(number))
        return found

    def check(self) -> None:
        """It answers, and nothing went wrong in it."""
        answer = httpx.post(f"{self.url}/v1/tag", files={"image": photo(1)}, timeout=_PATIENCE)
        assert answer.status_code == 200, answer.text
        assert not [status for status in self.statuses() if status >= 500]
        log = self.log.read_text()
        assert '"fault"' not in log, log[log.index('"fault"') - 100 :][:5000]
        assert "Traceback" not in log


@pytest.fixture(scope="module")
def target(
    seeing_model: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """One server for all of this file."""
    log = tmp_path_factory.mktemp("hostile") / "log.jsonl"
    options = ["--model", f"seeing={seeing_model}", "--model", f"tiny={tiny_model}"]
    options += ["--timeout", "5", "--drain", "0"]
    with log.open("w") as errors, started(*options, errors=errors) as (process, line):
        yield Target(line["url"], process.pid, log)
        process.terminate()
        process.wait(_PATIENCE)
    assert process.returncode == 0


def answer_to(target: Target, data: bytes, *, half_close: bool) -> bytes:
    """All that comes back until the server closes; it must within `_PATIENCE`."""
    with socket.create_connection(target.address, _PATIENCE) as sock:
        received = b""
        try:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(1 << 16):
                received += part
        except (ConnectionResetError, BrokenPipeError):
            pass  # it does not want to hear more; TimeoutError is not passed over
        return received


def attack(target: Target, one: Attack) -> int | str | None:
    """The status; None if the connection was closed without one; a text if that is a fault."""
    try:
        answer = answer_to(target, one.data, half_close=not one.whole)
    except TimeoutError:
        return f"{one.name}: no answer in time to {one.data[:500]!r}"
    if not answer and not one.whole:
        return None
    match = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    if not match or int(match[1]) >= 500:
        return f"{one.name}: {answer[:500]!r} to {one.data[:500]!r}"
    return int(match[1])


def test_schemathesis(target: Target, tmp_path: Path) -> None:
    """What the API's own description leads to."""
    pytest.importorskip("schemathesis")
    command = shutil.which("st", path=str(Path(sys.executable).parent))
    assert command
    before = target.statuses().total()
    arguments = ["run", f"{target.url}/openapi.json", "--max-examples", "60", "--seed", "1"]
    arguments += ["--checks", "not_a_server_error", "--request-timeout", f"{_PATIENCE}"]
    done = subprocess.run(
        [command, *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert target.statuses().total() > before + 500
    target.check()


def test_ten_thousand(target: Target) -> None:
    attacker = Attacker(0)
    target.check()
    seen: Counter[int | str | None] = Counter()
    memory = [target.memory]
    num = max(1000, NUM_REQUESTS - target.statuses().total())
    with ThreadPoolExecutor(8) as pool:
        for start in range(0, num, 500):
            attacks = [attacker.next() for _ in range(min(500, num - start))]
            seen.update(pool.map(lambda one: attack(target, one), attacks))
            memory.append(target.memory)
    assert not [status for status in seen if isinstance(status, str)]
    assert {200, 400, 404, 405, 409, 413, 415, 422} <= set(seen), seen
    assert seen[None] < num / 20, seen
    target.check()
    middle = len(memory) // 2
    assert max(memory[middle:]) < max(memory[:middle]) + 60e6, memory
    assert max(memory) < memory[0] + 600e6, memory


def test_a_file_is_never_read_by_its_name(target: Target, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden treasure")
    for path in (f"/{secret}", f"/..{secret}", f"/%2e%2e{secret}", f"/static/..{secret}"):
        answer = answer_to(target, request("GET", path, b"", {}), half_close=False)
        assert answer.startswith(b"HTTP/1.1 404")
        assert b"treasure" not in answer
    body = form([("image", f"{secret}", b"")])
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = answer_to(target, request("POST", "/v1/tag", body, headers), half_close=False)
    assert b"treasure" not in answer
    assert re.match(rb"HTTP/1.1 4\d\d", answer)


def test_expect_100_continue(target: Target) -> None:
    """A body that will be refused is not asked for."""
    host, port = target.address
    with socket.create_connection((host, port), _PATIENCE) as sock:
        head = "POST /v1/tag HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        head += "Content-Type: image/png\r\n"
        sock.sendall(f"{head}Content-Length: {10**9}\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 413")
    data = photo(1)
    with socket.create_connection((host, port), _PATIENCE) as sock:
        sock.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode())
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(data)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"POST /v1/tag HTTP/1.1\r\nHost: x\r\n",
        b"POST /v1/tag HTTP/1.1\r\nContent-Type: image/png\r\nContent-Length: 900\r\n\r\n",
    ],
    ids=["nothing", "head", "body"],
)
def test_slow_connections_are_closed(target: Target, first: bytes) -> None:
    """A byte at a time: others are answered, and these get an end."""
    with ExitStack() as stack:
        socks = [stack.enter_context(connected(target)) for _ in range(_SLOW)]
        for sock in socks:
            sock.sendall(first)
            sock.setblocking(False)
        drip(target, socks, sends=bool(first))


def connected(target: Target) -> socket.socket:
    return socket.create_connection(target.address, _PATIENCE)


def drip(target: Target, open_ones: list[socket.socket], *, sends: bool) -> None:
    """Until all are closed."""
    ends = time.monotonic() + _PATIENCE
    while open_ones:
        assert time.monotonic() < ends, f"{len(open_ones)} connections are still open"
        target.check()
        threading.Event().wait(0.5)
        for sock in list(open_ones):
            try:
                if sends:
                    sock.send(b"x")
                if not sock.recv(1000):
                    open_ones.remove(sock)
            except BlockingIOError:
                continue
            except ConnectionError:
                open_ones.remove(sock)


def test_many_idle_connections_keep_nobody_out(target: Target) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connected(target))
        target.check()
    target.check()
