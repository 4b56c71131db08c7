"""Requests per second of ``anytag serve`` beside ``Tagger.stream`` on the same JPEGs, and overload.

::

    python benchmarks/serve.py --json OUT.json

Server, direct use and clients are processes of their own on one machine, and share its processors.
Rounds go through direct use and all numbers of clients forwards and backwards in turn; parts of
direct are of the same round. Direct use is ``Tagger.stream``, which decodes ahead, and ``Tagger``
called with one photo after the other, which is all that one client can ask of a server. Clients
keep their connection, have one request at a time, and send bodies that were made before. Nothing
else should run meanwhile.

Overload: many more clients than the server's queue takes, each with the next photo at once after an
answer and half a second after a refusal; the server's resident memory is read every second.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from quality import machine, today
from rounds import spread
from speed import cores_busy, describe_photos, list_photos, make_photos

#: seconds that a refused client waits
_BACK_OFF = 0.5


class Client:
    """One connection that is kept; a bare one, because it takes from the server's processors."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer."""
        self._sock.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while len(body) < length:
            body += self._more()
        return int(head[9:12]), head, body

    def _more(self) -> bytes:
        part = self._sock.recv(1 << 16)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part

    def close(self) -> None:
        """End it."""
        self._sock.close()


def requests_of(photos: Sequence[Path]) -> list[bytes]:
    """Whole requests."""
    head = "POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
    head += "Content-Length: {}\r\n\r\n"
    return [
        head.format(len(data)).encode() + data for data in (photo.read_bytes() for photo in photos)
    ]


def load(
    port: int, requests: Sequence[bytes], num_clients: int, seconds: float, warm_s: float = 0.0
) -> dict[str, Any]:
    """So many clients for a while; what is answered in ``warm_s`` before it and after it does not
    count: until the queue is as long as it will be, photos are decoded that are not scored yet.
    """
    lock = threading.Lock()
    found: list[tuple[float, float, int, bool]] = []
    faults: Counter[str] = Counter()
    start = threading.Barrier(num_clients + 1)
    ends = [0.0]

    def run(number: int) -> None:
        client = Client(port)
        start.wait()
        while time.perf_counter() < ends[0]:
            request = requests[number % len(requests)]
            number += num_clients
            begun = time.perf_counter()
            try:
                status, head, _ = client.post(request)
            except OSError as error:
                faults[f"{type(error).__name__}"] += 1
                client.close()
                client = Client(port)
                continue
            now = time.perf_counter()
            with lock:
                found.append((now, now - begun, status, b"retry-after:" in head.lower()))
            if status != 200:
                time.sleep(_BACK_OFF)
        client.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(num_clients)]
    for thread in threads:
        thread.start()
    ends[0] = time.perf_counter() + seconds + 3600  # until all are connected
    used = resource.getrusage(resource.RUSAGE_SELF)
    start.wait()
    begun = time.perf_counter()
    ends[0] = begun + warm_s + seconds
    for thread in threads:
        thread.join()
    used_later = resource.getrusage(resource.RUSAGE_SELF)
    took = time.perf_counter() - begun
    cpu = used_later.ru_utime + used_later.ru_stime - used.ru_utime - used.ru_stime
    in_time = [one for one in found if begun + warm_s < one[0] <= ends[0]]
    latencies = [1000 * one[1] for one in in_time if one[2] == 200]
    refused = [one for one in in_time if one[2] == 429]
    return {
        "images_per_second": len(latencies) / seconds,
        "statuses": dict(Counter(str(one[2]) for one in found)),
        "broken": dict(faults),
        "p50_ms": float(np.percentile(latencies, 50)),
        "p99_ms": float(np.percentile(latencies, 99)),
        "refused_p99_ms": float(np.percentile([1000 * one[1] for one in refused], 99))
        if refused
        else None,
        "refused_with_retry_after": sum(one[3] for one in refused),
        "refused_in_time": len(refused),
        "client_cores": cpu / took,
    }


@contextmanager
def server(model: str, *options: str) -> Iterator[tuple[int, int]]:
    """Port and process id."""
    command = [sys.executable, "-m", "anytag", "serve", "--port", "0", "--quiet", "--drain", "0"]
    process = subprocess.Popen(
        [*command, "--model", model, *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("the server did not start, see above")
    try:
        yield json.loads(line)["port"], process.pid
    finally:
        process.terminate()
        if process.wait(60):
            raise SystemExit(f"the server ended with {process.returncode}")


@contextmanager
def direct(model: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The process that uses `Tagger.stream`; it waits until it is asked."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "--model", model, "--direct", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.communicate("", 60)


def ask_direct(process: subprocess.Popen[str], seconds: float, way: str) -> dict[str, Any]:
    """One measurement of ``stream``, or of one photo at a time: ``call``."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{way} {seconds}\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def answer_direct(model: str, folder: Path) -> None:
    """What the process of `direct` does."""
    import torch

    from anytag import Tagger

    tagger = Tagger.from_pretrained(model, device="cpu")
    photos = list_photos(folder)
    list(tagger.stream(photos[:8]))
    ways = {"stream": tagger.stream, "call": partial(map, tagger)}
    for line in sys.stdin:
        way, seconds = line.split()
        begun, count = time.perf_counter(), 0
        while time.perf_counter() < begun + float(seconds):
            for result in ways[way](photos):
                if result.scores is None:
                    raise SystemExit(f"{result.path}: {result.error}")
                count += 1
        rate = count / (time.perf_counter() - begun)
        about = {"threads": torch.get_num_threads(), "model": tagger.model_name}
        print(json.dumps({"images_per_second": rate, **about}), flush=True)


def resident_mb(process_id: int) -> float:
    """Resident memory of a process, in millions of bytes."""
    status = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6


def overload(
    port: int, process_id: int, requests: Sequence[bytes], num_clients: int, seconds: float
) -> dict[str, Any]:
    """`load` with the server's memory; its slope is of the second half, when all is warm."""
    before, memory = resident_mb(process_id), []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            memory.append(resident_mb(process_id))

    thread = threading.Thread(target=watch)
    thread.start()
    found = load(port, requests, num_clients, seconds)
    ended.set()
    thread.join()
    late = memory[len(memory) // 2 :]
    slope = float(np.polyfit(range(len(late)), late, 1)[0])
    return {
        **found,
        "clients": num_clients,
        "seconds": seconds,
        "memory_mb_before": before,
        "memory_mb": memory,
        "memory_mb_after": resident_mb(process_id),
        "memory_slope_mb_per_s": slope,
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All rounds on one folder of photos, and overload."""
    requests = requests_of(list_photos(folder))
    runs: dict[str | int, list[dict[str, Any]]] = {
        case: [] for case in ("stream", "call", *options.clients)
    }
    with server(options.model) as (port, process_id), direct(options.model, folder) as process:
        ask_direct(process, 1.0, "stream")
        load(port, requests, 8, 1.0)
        for repeat in range(options.repeats):
            order = list(runs) if repeat % 2 == 0 else list(reversed(runs))
            for case in order:
                if isinstance(case, str):
                    runs[case].append(ask_direct(process, options.seconds, case))
                else:
                    runs[case].append(load(port, requests, case, options.seconds, options.warm))
                rate = runs[case][-1]["images_per_second"]
                print(f"{case:>7} {rate:7.1f} images/s", file=sys.stderr)
    with server(options.model) as (port, process_id):
        crowd = overload(port, process_id, requests, options.crowd, options.crowd_seconds)
    plain, alone = ([run["images_per_second"] for run in runs[way]] for way in ("stream", "call"))
    first = runs["stream"][0]
    return {
        "photos": describe_photos(list_photos(folder), True),
        "threads": first["threads"],
        "model": first["model"],
        "direct": spread(plain),
        "direct_one": spread(alone),
        "clients": {
            str(number): _summary(runs[number], plain, alone) for number in options.clients
        },
        "overload": crowd,
    }


def _summary(
    runs: Sequence[dict[str, Any]], plain: Sequence[float], alone: Sequence[float]
) -> dict[str, Any]:
    rates = [run["images_per_second"] for run in runs]
    return {
        "images_per_second": spread(rates),
        "part_of_direct": spread([rate / one for rate, one in zip(rates, plain, strict=True)]),
        "part_of_direct_one": spread([rate / one for rate, one in zip(rates, alone, strict=True)]),
        **{name: spread([run[name] for run in runs]) for name in ("p50_ms", "p99_ms")},
        "client_cores": spread([run["client_cores"] for run in runs]),
        "statuses": dict(sum((Counter(run["statuses"]) for run in runs), Counter())),
        "broken": dict(sum((Counter(run["broken"]) for run in runs), Counter())),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", nargs="+", default=["1600x1200", "640x480"], help="of the photos")
    parser.add_argument("--num-photos", type=int, default=64)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=5.0, help="of one measurement")
    parser.add_argument("--warm", type=float, default=3.0, help="seconds before it")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--crowd", type=int, default=600, help="clients of the overload")
    parser.add_argument("--crowd-seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--direct", type=Path, help=argparse.SUPPRESS)  # for `direct`
    options = parser.parse_args(arguments)
    if options.direct:
        answer_direct(options.model, options.direct)
        return
    busy = cores_busy()
    if busy is not None and busy > 0.2:
        print(f"warning: other programs keep {busy:.1f} cores busy", file=sys.stderr)
    sets = []
    for size in options.size:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory(prefix="anytag-serve-") as folder:
            make_photos(Path(folder), options.num_photos, (width, height))
            sets.append(measure(options, Path(folder)))
        print(json.dumps(sets[-1], indent=1), file=sys.stderr)
    figures = {
        "kind": "serve",
        "date": today(),
        "machine": machine(),
        "cores_busy_before": busy,
        "repeats": options.repeats,
        "warm_seconds": options.warm,
        "seconds": options.seconds,
        "sets": sets,
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
