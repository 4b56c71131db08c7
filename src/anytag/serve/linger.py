"""Answers that come before the body has been read are not lost with it.

Closing a connection while its client still sends makes the system throw away what the client has
not read yet: the answer.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anytag.serve.service import Service

#: seconds that a client may go on sending
_LONGEST_S = 2.0


class Linger:
    """Where a connection ends with its answer, the rest of the body is heard first, and dropped."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _sends_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        ended = False

        async def noted() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or not message.get("more_body", False)
            return message

        async def drop() -> None:
            num_bytes = 0
            while not ended and num_bytes <= self._service.config.max_request_bytes:
                num_bytes += len((await noted()).get("body", b""))

        async def patient(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if ended or not is_last or not self._closes(scope):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(drop(), _LONGEST_S)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, noted, patient)

    def _closes(self, scope: Scope) -> bool:
        connection = Headers(scope=scope).get("connection", "").lower()
        return self._service.draining or "close" in connection or scope["http_version"] == "1.0"


def _sends_body(headers: Headers) -> bool:
    """Those that ask first (Expect) do not send what is refused."""
    return "expect" not in headers and (
        "content-length" in headers or "transfer-encoding" in headers
    )
