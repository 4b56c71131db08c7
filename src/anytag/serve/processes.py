"""One server process, or several behind one address.

Each process has its own models. The first one only watches: it starts the others, hands on the
signal to stop, and starts again what dies, unless it died before it ever served.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from anytag.errors import AnytagError
from anytag.serve.config import ServeConfig
from anytag.serve.logs import log, log_to_stderr

logger = logging.getLogger(__name__)

#: of a process that could not begin
_NOT_STARTED = 3
#: where prometheus_client keeps the values of all processes
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def serve(config: ServeConfig, sock: socket.socket, on_started: Callable[[], None]) -> int:
    """Serve until a signal comes.

    Args:
        config: of the server
        sock: bound to its address
        on_started: called when requests are answered

    Returns:
        the exit code: 1 if the processes could not begin

    Raises:
        AnytagError: a model cannot be loaded
    """
    if config.workers > 1:
        return _Watch(config, sock, on_started).run()
    from anytag.serve.app import create_app
    from anytag.serve.server import Server

    log_to_stderr(log_requests=config.log_requests)
    Server(create_app(config), config, on_started).run(sockets=[sock])
    return 0


class _Watch:
    """The first process of several."""

    def __init__(
        self, config: ServeConfig, sock: socket.socket, on_started: Callable[[], None]
    ) -> None:
        self._config = config
        self._sock = sock
        self._on_started = on_started
        self._stopping = threading.Event()
        self._wake, self._woken = multiprocessing.Pipe(duplex=False)
        self._workers: list[_Worker] = []

    def run(self) -> int:
        """Until all have ended."""
        log_to_stderr(log_requests=self._config.log_requests)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        with tempfile.TemporaryDirectory(prefix="anytag-metrics-") as folder:
            os.environ.setdefault(METRICS_VARIABLE, folder)
            self._workers = [self._start() for _ in range(self._config.workers)]
            ready = all(worker.wait_until_ready() for worker in self._workers)
            failed = not ready and not self._stopping.is_set()
            if failed:
                self._stop()
            elif ready:
                self._on_started()
            self._watch()
        return 1 if failed else 0

    def _watch(self) -> None:
        while self._workers:
            ended = wait([self._wake, *(worker.process.sentinel for worker in self._workers)])
            if self._wake in ended:
                self._wake.recv()
                # What is accepted here would wait until the end of all, in vain.
                self._sock.close()
            for worker in [one for one in self._workers if not one.process.is_alive()]:
                self._workers.remove(worker)
                worker.process.join()
                if not self._stopping.is_set():
                    code = worker.process.exitcode
                    log(logger, logging.ERROR, "a process died", exit_code=code)
                    self._workers.append(self._start())

    def _start(self) -> _Worker:
        worker = _Worker(self._config, self._sock)
        if self._stopping.is_set():  # the signal came while it was being started
            worker.process.terminate()
        return worker

    def _stop(self) -> None:
        self._stopping.set()
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.terminate()
        self._woken.send(None)


class _Worker:
    """One of the processes that serve."""

    def __init__(self, config: ServeConfig, sock: socket.socket) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready, theirs = context.Pipe(duplex=False)
        self.process: SpawnProcess = context.Process(target=_work, args=(config, sock, theirs))
        self.process.start()
        theirs.close()

    def wait_until_ready(self) -> bool:
        """Whether it serves; False if it ended before."""
        try:
            return bool(self._ready.recv())
        except EOFError:
            return False


def _work(config: ServeConfig, sock: socket.socket, ready: Connection) -> None:
    """What each process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the first one hands it on
    log_to_stderr(log_requests=config.log_requests)
    try:
        from anytag.serve.app import create_app
        from anytag.serve.server import Server

        _share_processors(config.workers)
        app = create_app(config)
    except AnytagError as error:
        log(logger, logging.ERROR, f"{error}")
        sys.exit(_NOT_STARTED)
    server = Server(app, config, lambda: ready.send(True), is_watched=True)
    server.run(sockets=[sock])


def _share_processors(num_workers: int) -> None:
    """Processes that all want all processors are slower than any one of them."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(max(1, torch.get_num_threads() // num_workers))
