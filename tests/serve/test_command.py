"""``anytag serve`` as a process of its own: its first line, its signals, its exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from tests.serve.servers import PATIENCE_S, photo

_COMMAND = [sys.executable, "-m", "anytag", "serve", "--port", "0"]


@contextmanager
def started(
    *options: str, errors: IO[str] | int = subprocess.PIPE
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process and its first line; ended with SIGTERM if it still runs."""
    process = subprocess.Popen(
        [*_COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=PATIENCE_S)[1]
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=PATIENCE_S)


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_COMMAND, *options], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_a_process_from_its_first_line_to_its_end(tiny_model: Path) -> None:
    with started("--model", f"small={tiny_model}", "--drain", "0.1") as (process, line):
        assert line == {
            "event": "listening",
            "url": f"http://127.0.0.1:{line['port']}",
            "port": line["port"],
            "models": ["small"],
        }
        with httpx.Client(base_url=line["url"], timeout=PATIENCE_S) as client:
            answer = client.post("/v1/tag", files={"image": photo(1)})
            assert answer.json()["model"] == "tiny-1"
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert out == ""
    log = [json.loads(row) for row in err.splitlines()]
    assert [row["event"] for row in log] == ["request"]
    assert log[0]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.slow
def test_several_processes(tiny_model: Path) -> None:
    with started("--model", str(tiny_model), "--workers", "2", "--quiet") as (process, line):
        data = photo(1)
        for _ in range(6):  # a connection each, so that both processes get some
            answer = httpx.post(f"{line['url']}/v1/tag", files={"image": data}, timeout=PATIENCE_S)
            assert answer.status_code == 200
        text = httpx.get(f"{line['url']}/metrics", timeout=PATIENCE_S).text
        assert 'anytag_images_total{model="tiny"} 6.0' in text
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if children.exists():  # one of them is killed: another one takes its place
            workers = [int(child) for child in children.read_text().split()]
            victim = next(child for child in workers if is_worker(child))
            os.kill(victim, signal.SIGKILL)
            row = json.loads(process.stderr.readline())  # type: ignore[union-attr]
            assert (row["event"], row["exit_code"]) == ("a process died", -signal.SIGKILL)
            answer = httpx.post(f"{line['url']}/v1/tag", files={"image": data}, timeout=PATIENCE_S)
            assert answer.status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "")
    assert [json.loads(row)["event"] for row in err.splitlines()] == []


def is_worker(number: int) -> bool:
    """Not the process that multiprocessing keeps for itself."""
    return b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()


def wait_until_gone(port: int) -> None:
    """Nothing listens there any more."""
    for _ in range(2000):
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE_S).close()
        except ConnectionRefusedError:
            return
        threading.Event().wait(0.02)
    raise AssertionError("it still listens")


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["one", "workers"])
def test_each_signal_is_more_urgent_and_the_code_is_0(tiny_model: Path, options: list[str]) -> None:
    """Drained for an hour, then waiting for a request that never comes to its end, then gone."""
    command = ("--model", str(tiny_model), "--drain", "3600", "--timeout", "3600", *options)
    with started(*command) as (process, line):
        address = ("127.0.0.1", line["port"])
        with socket.create_connection(address, PATIENCE_S) as unfinished:
            unfinished.sendall(
                b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
            )
            assert unfinished.recv(1000).startswith(b"HTTP/1.1 100")  # it is being read
            process.send_signal(signal.SIGTERM)
            while (state := httpx.get(f"{line['url']}/readyz")).status_code != 503:
                assert state.status_code == 200
            assert httpx.get(f"{line['url']}/healthz").status_code == 200
            process.send_signal(signal.SIGTERM)
            wait_until_gone(line["port"])
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: unfinished.recv(1 << 16), b""))
            out, err = process.communicate(timeout=PATIENCE_S)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"stopping"' in answer
        assert (process.returncode, out) == (0, "")
        rows = [json.loads(row) for row in err.splitlines()]
        assert [(row["event"], row["status"], row["error"]) for row in rows] == [
            ("request", 503, "stopping")
        ]


@pytest.mark.slow
def test_processes_that_cannot_begin(tmp_path: Path) -> None:
    done = run("--model", str(tmp_path), "--workers", "2")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "config.json" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    done = run("--model", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("anytag: ")
    assert done.stderr.count("\n") == 1
