"""What chat endpoints answer: bodies, texts, reasons of failures."""

from __future__ import annotations

import email.utils
import errno
import http.client
import ipaddress
import socket
import ssl
import time
import urllib.error
from collections.abc import Mapping
from typing import Any

from anytag.errors import FetchError

_MAX_ANSWER = 4 * 1024 * 1024
_READ_BYTES = 1 << 16
_NOWHERE = {errno.EHOSTUNREACH, errno.ENETUNREACH}


class PassingError(FetchError):
    """It may succeed later.

    Args:
        reason: for the message
        wait: seconds the server asks for
        unreachable: nothing listens there
    """

    def __init__(
        self, reason: str, *, wait: float | None = None, unreachable: bool = False
    ) -> None:
        super().__init__(reason)
        self.wait = wait
        self.unreachable = unreachable


def read_body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body, within a limit of bytes and of time."""
    body = bytearray()
    while block := response.read1(_READ_BYTES):
        body += block
        if len(body) > _MAX_ANSWER:
            raise PassingError(f"the answer is over the limit of {_MAX_ANSWER:,} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def answer_texts(answer: Mapping[str, Any]) -> list[str]:
    """The texts of a chat answer, each on one line."""
    choices = answer.get("choices")
    texts = []
    for choice in choices if isinstance(choices, list) else []:
        message = choice.get("message") if isinstance(choice, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        text = " ".join(content.split()) if isinstance(content, str) else ""
        if text and not text.startswith("<think>"):  # reasoning that used up all tokens
            texts.append(text)
    if not texts:
        raise PassingError("the answer holds no text")
    return texts


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _cause(error: BaseException) -> object:
    return error.reason if isinstance(error, urllib.error.URLError) else error


def is_unreachable(error: BaseException) -> bool:
    """Nobody answers at that address; a connection that broke is another matter."""
    cause = _cause(error)
    kinds = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)
    nowhere = isinstance(cause, OSError) and cause.errno in _NOWHERE
    return nowhere or isinstance(cause, kinds)


def explain(error: BaseException, timeout_s: float) -> str:
    cause = _cause(error)
    if isinstance(cause, TimeoutError):
        return f"no complete answer within {timeout_s:g} seconds"
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there; is the server running?"
    return str(cause) or type(cause).__name__


def is_private(host: str) -> bool:
    """An address of the own machine or network, as far as its name says."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".localhost"))
