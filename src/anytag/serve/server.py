"""uvicorn with an orderly end, in one process."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from anytag.serve.config import ServeConfig
from anytag.serve.connections import hear_the_last, protocol_class

#: connections that the system holds for us while we are busy
BACKLOG = 2048
#: seconds that a connection without request is kept
_KEEP_ALIVE_S = 30
#: beyond the time limit of a request, when the server stops
_GRACE_S = 5.0


class Server(uvicorn.Server):
    """Stops in two steps: first `/readyz` says so, then no connection is accepted any more.

    Args:
        app: from `create_app`
        config: of the server
        on_started: called when connections are accepted
        is_watched: another process hands signals on; Ctrl-C reaches both, and does not count here
    """

    def __init__(
        self,
        app: FastAPI,
        config: ServeConfig,
        on_started: Callable[[], None] = lambda: None,
        *,
        is_watched: bool = False,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol_class(config.timeout_s),
                lifespan="on",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(config.timeout_s + _GRACE_S),
            )
        )
        self._app = app
        self._drain_s = config.drain_s
        self._on_started = on_started
        self._is_watched = is_watched

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets=sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is accepted, then end."""
        await hear_the_last(self, sockets or [])
        await super().shutdown(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A first signal begins the end, a second one hurries it, a third one breaks it off."""
        if self._is_watched and sig == signal.SIGINT:
            return
        service = self._app.state.service
        if self.should_exit:
            self.force_exit = True
        elif service.draining:
            self.should_exit = True
        else:
            self.drain()

    def drain(self) -> None:
        """Tell load balancers, and a little later stop to accept connections."""
        self._app.state.service.draining = True
        timer = threading.Timer(self._drain_s, self._stop)
        timer.daemon = True
        timer.start()

    def _stop(self) -> None:
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A listening address.

    Raises:
        OSError: the address is taken, or not this machine's
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.set_inheritable(True)
    except OSError:
        sock.close()
        raise
    return sock


def url_of(sock: socket.socket) -> str:
    """``http://127.0.0.1:8000``"""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
