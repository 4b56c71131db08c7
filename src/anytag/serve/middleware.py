"""Around every request: its id, its log line, its metrics, the headers of its answer, its key."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anytag.serve.errors import (
    VISION_PATH,
    ApiError,
    ClientGoneError,
    as_api_error,
    error_response,
)
from anytag.serve.logs import Stopwatch, log
from anytag.serve.logs import requests as logger
from anytag.serve.security import HEADERS, find_key, given_keys
from anytag.serve.service import Service

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: where keys are asked for; open are the page, the API's description, and whether the server lives
_CLOSED = ("/v1/", "/metrics")
#: the status that logs show where the client has gone before the answer
_GONE = 499


@dataclass(slots=True)
class RequestInfo:
    """What is logged of a request; `info_of` gives it to the endpoints."""

    id: str
    watch: Stopwatch = field(default_factory=Stopwatch)
    status: int = 0
    bytes_in: int = 0
    num_images: int | None = None
    model: str | None = None
    key: str | None = None
    error: str | None = None
    message: str | None = None


def info_of(scope: Scope) -> RequestInfo:
    """Of this request."""
    info: RequestInfo = scope["anytag"]
    return info


class Observe:
    """The outermost part: every answer passes here, and every exception ends here."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        info = RequestInfo(given if _ID.fullmatch(given) else uuid.uuid4().hex)
        scope["anytag"] = info

        async def counted() -> Message:
            message = await receive()
            info.bytes_in += len(message.get("body", b""))
            return message

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                info.status = message["status"]
                self._mark(MutableHeaders(scope=message), info)
            try:
                await send(message)
            except RuntimeError as error:
                if "closed" not in f"{error}":  # uvloop, where one of several requests goes on
                    raise
                raise ClientGoneError from error

        try:
            await self._app(scope, counted, marked)
        except ClientGoneError:
            info.status = info.status or _GONE
        except asyncio.CancelledError:  # only where the server breaks off what is in work
            if not info.status:
                error = ApiError(503, "stopping", "the server is stopping", {"Retry-After": "5"})
                await fail(error, scope, counted, marked)
        except Exception as error:
            logger.exception("fault", extra={"fields": {"request_id": info.id}})
            if info.status:
                raise
            await fail(error, scope, counted, marked)
        finally:
            self._note(scope, info)

    def _mark(self, headers: MutableHeaders, info: RequestInfo) -> None:
        headers["X-Request-ID"] = info.id
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if self._service.draining:
            headers["Connection"] = "close"  # so that no request meets a closing connection

    def _note(self, scope: Scope, info: RequestInfo) -> None:
        endpoint = getattr(scope.get("route"), "path", "page")
        seconds = info.watch.ms / 1000
        metrics = self._service.metrics
        metrics.requests.labels(endpoint, info.status).inc()
        metrics.latency.labels(endpoint).observe(seconds)
        if info.error is not None:
            metrics.errors.labels(info.error).inc()
        if endpoint in ("/healthz", "/readyz", "/metrics"):
            return
        fields: dict[str, Any] = {
            "request_id": info.id,
            "method": scope["method"],
            "path": scope["path"],
            "status": info.status,
            "elapsed_ms": info.watch.ms,
            "bytes_in": info.bytes_in,
            "client": scope["client"][0] if scope.get("client") else None,
        }
        for name in ("num_images", "model", "key", "error", "message"):
            value = getattr(info, name)
            if value is not None:
                fields[name] = value
        log(logger, logging.INFO, "request", **fields)


class Keys:
    """Refuses requests without a key, before their body is read."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._digests = service.config.key_digests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_CLOSED):
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=None)
            in_query = query.get("key") if scope["path"] == VISION_PATH else None
            given = given_keys(Headers(scope=scope), in_query[0] if in_query else None)
            key = find_key(self._digests, given)
            if key is None:
                error = ApiError(
                    401,
                    "unauthorized",
                    "this needs a known API key: Authorization: Bearer KEY, or X-API-Key: KEY",
                    {"WWW-Authenticate": "Bearer"},
                )
                await fail(error, scope, receive, send)
                return
            info_of(scope).key = key
        await self._app(scope, receive, send)


async def fail(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with an error."""
    await answer_error(error, scope)(scope, receive, send)


def answer_error(error: Exception, scope: Scope) -> Response:
    """The answer to an exception, which the log line will name."""
    info, found = info_of(scope), as_api_error(error)
    info.error, info.message = found.kind, f"{found}"
    return error_response(found, scope["path"], info.id)
