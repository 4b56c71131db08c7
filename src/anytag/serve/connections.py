"""Connections: slow ones get an end, and those that are accepted are heard before the server's.

uvicorn times connections only between two requests; and when it stops it closes those that have
been opened a moment ago, whose request may be on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

#: seconds for the first request of connections that were accepted when the server stops
_LAST_S = 1.0
_STEP_S = 0.02


def protocol_class(head_s: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, which ends connections that do not get a request's head together.

    Args:
        head_s: seconds for the head, and for what still comes of a body that is not wanted
    """

    class Timed(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if in_work(self):
                self._unwatch()
            elif self._timer is None:
                self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def _watch(self) -> None:
            self._timer = self.loop.call_later(head_s, self._end)

        def _unwatch(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _end(self) -> None:
            self._timer = None
            if not in_work(self) and not self.transport.is_closing():
                self.transport.close()

    return Timed


def in_work(connection: Any) -> bool:
    """Whether a request has come that is not answered yet."""
    return connection.cycle is not None and not connection.cycle.response_complete


async def hear_the_last(server: uvicorn.Server, sockets: Sequence[socket.socket]) -> None:
    """Stop listening; take what the system has accepted before, and wait for first requests.

    Closing a listening socket would break off the connections that wait in it: it is emptied first,
    and nobody else may hold it any more.
    """
    loop = asyncio.get_running_loop()
    waiting = [socket.socket(fileno=os.dup(one.fileno())) for one in sockets]
    for listener in server.servers:
        listener.close()
    for _ in range(3):  # uvloop closes them later
        await asyncio.sleep(0)
    for one in sockets:
        one.close()
    for sock in waiting:
        sock.setblocking(False)
        with sock:
            accepted = _accepted(sock)
        for connection in accepted:
            connection.setblocking(False)
            await loop.connect_accepted_socket(lambda: _protocol(server), connection)
    ends = loop.time() + _LAST_S
    while loop.time() < ends and any(_is_silent(one) for one in server.server_state.connections):
        await asyncio.sleep(_STEP_S)
    for _ in range(2):  # what has come on connections that are kept is read before they close
        await asyncio.sleep(0)


def _protocol(server: uvicorn.Server) -> asyncio.Protocol:
    """As uvicorn makes it for connections that it accepts itself."""
    made: asyncio.Protocol = server.config.http_protocol_class(  # type: ignore[call-arg]
        config=server.config, server_state=server.server_state, app_state=server.lifespan.state
    )
    return made


def _is_silent(connection: Any) -> bool:
    return connection.cycle is None and not connection.transport.is_closing()


def _accepted(sock: socket.socket) -> list[socket.socket]:
    found = []
    with contextlib.suppress(OSError):  # BlockingIOError: no more
        while True:
            found.append(sock.accept()[0])
    return found
