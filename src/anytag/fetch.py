"""The only downloader.

`fetch` is meant for addresses given by strangers, as a server gets them. It resolves a host once,
checks every address it got, and connects to a checked one, so that neither a redirect nor a name
that changes its address (DNS rebinding) leads into the private network. For the same reason proxies
set in the environment are not used.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urljoin, urlsplit

from anytag.errors import FetchError, UsageError
from anytag.files import display_path

_READ_BYTES = 1 << 16
_REDIRECTS = {301, 302, 303, 307, 308}
_PORTS = {"http": 80, "https": 443}
_HEADERS = (
    "User-Agent: anytag",
    "Accept: image/*",
    "Accept-Encoding: identity",
    "Connection: close",
)
_OCTET_STREAM = {"application/octet-stream", "binary/octet-stream", ""}
#: IPv6 addresses that stand for an IPv4 address in their last 32 bits (NAT64, RFC 6052)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """What a download may cost and where it may go."""

    #: bytes of the body
    max_bytes: int = 64 * 1024 * 1024
    #: seconds for the whole download with all redirects (the system's name lookup comes on top)
    timeout_s: float = 20.0
    max_redirects: int = 5
    #: also private, loopback, link-local and reserved addresses; never for URLs of strangers
    allow_private: bool = False

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or self.timeout_s <= 0 or self.max_redirects < 0:
            raise UsageError(
                "max_bytes must be 1 or more, timeout_s above 0, max_redirects 0 or more; "
                f"found {self.max_bytes}, {self.timeout_s}, {self.max_redirects}"
            )


DEFAULT_FETCH_LIMITS = FetchLimits()


def fetch(
    url: str,
    *,
    limits: FetchLimits = DEFAULT_FETCH_LIMITS,
    allow_octet_stream: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> bytes:
    """Download one image over http or https.

    Args:
        url: without user name and password.
        limits: size, time, redirects and whether private addresses are allowed.
        allow_octet_stream: also accept ``application/octet-stream`` and a missing type, as object
            stores send them, instead of ``image/*`` only.
        ssl_context: certificates to trust; None takes those of the system.

    Returns:
        The body; whether it is an image is for the decoder to say.

    Raises:
        FetchError: address, type or size refused, or the download failed.
    """
    try:
        return _download(url, limits, allow_octet_stream, ssl_context)
    except (FetchError, OSError, http.client.HTTPException, ValueError) as error:
        reason = f"{error}" or type(error).__name__
        if isinstance(error, TimeoutError):
            reason = f"no complete answer within {limits.timeout_s:g} seconds"
        message = f"cannot fetch {re.sub('//[^/]*@', '//', url)}: {reason}"  # no passwords in logs
        raise FetchError(display_path(message)) from error


def _download(
    url: str, limits: FetchLimits, allow_octet_stream: bool, context: ssl.SSLContext | None
) -> bytes:
    """The body after redirects; each address on the way is checked like the first."""
    deadline = time.monotonic() + limits.timeout_s
    for _ in range(limits.max_redirects + 1):
        scheme, host, port, request = _prepare(url)
        sock = _connect(host, port, limits, deadline)
        try:
            if scheme == "https":
                sock.settimeout(_time_left(deadline))
                context = context or ssl.create_default_context()
                sock = context.wrap_socket(sock, server_hostname=host)
            sock.settimeout(_time_left(deadline))
            sock.sendall(request)
            reader = cast(socket.socket, _DeadlineReader(sock, deadline))
            with http.client.HTTPResponse(reader, method="GET") as response:
                response.begin()
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    _check_answer(response, limits, allow_octet_stream)
                    return _read_body(response, limits)
        finally:
            sock.close()
        url = urljoin(url, location)
    raise FetchError(f"more than {limits.max_redirects} redirects")


def _prepare(url: str) -> tuple[str, str, int, bytes]:
    """Scheme, host (ASCII), port and the request for one URL."""
    parts = urlsplit(url.strip())
    if parts.scheme not in _PORTS:
        raise FetchError("expected an address that starts with http:// or https://")
    if parts.username is not None or not parts.hostname:
        raise FetchError("expected https://host/path without user name and password")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    if not re.fullmatch(r"[\w.-]+|[0-9a-f:.]+", host, re.ASCII):
        raise FetchError("the host name has characters that no host name has")
    port = parts.port or _PORTS[parts.scheme]
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~-._[]")
    named = f"[{host}]" if ":" in host else host
    lines = [f"GET {target} HTTP/1.1", f"Host: {named}" + (f":{parts.port}" if parts.port else "")]
    return parts.scheme, host, port, "\r\n".join([*lines, *_HEADERS, "", ""]).encode("ascii")


def _connect(host: str, port: int, limits: FetchLimits, deadline: float) -> socket.socket:
    """A connection to a checked address: the name is not looked up a second time."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise FetchError(f"the host name {host} cannot be resolved") from error
    for *_, address in found:
        if not limits.allow_private and not _is_public(str(address[0])):
            raise FetchError(f"{host} is at {address[0]}, which is not a public address")
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_time_left(deadline))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _is_public(address: str) -> bool:
    """Whether an address, or the IPv4 address hidden in it, is reachable for everybody."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (0, None))[1] or nat64 or ip
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _time_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _DeadlineReader(io.RawIOBase):
    """The read side of a socket under one deadline for all reads together.

    A socket's own timeout starts anew with each byte: a slow enough server could hold us for ever.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        """The one method of a socket that `http.client.HTTPResponse` uses."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # Any: typeshed's WriteableBuffer is not importable
        self._sock.settimeout(_time_left(self._deadline))
        return self._sock.recv_into(buffer)


def _check_answer(
    response: http.client.HTTPResponse, limits: FetchLimits, allow_octet_stream: bool
) -> None:
    if response.status != http.client.OK:
        raise FetchError(f"the server answered {response.status} {response.reason}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and not (allow_octet_stream and kind in _OCTET_STREAM):
        raise FetchError(f"expected an image, the server sends {kind or 'no type'}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError("the server sends compressed data although it was asked not to")
    if response.length is not None and response.length > limits.max_bytes:
        raise _too_many_bytes(limits, response.length)


def _read_body(response: http.client.HTTPResponse, limits: FetchLimits) -> bytes:
    expected = response.length
    body = bytearray()
    while block := response.read1(_READ_BYTES):
        body += block
        if len(body) > limits.max_bytes:  # Content-Length may be absent or a lie
            raise _too_many_bytes(limits, None)
    if expected is not None and len(body) < expected:
        raise FetchError(f"the connection closed after {len(body):,} of {expected:,} bytes")
    return bytes(body)


def _too_many_bytes(limits: FetchLimits, found: int | None) -> FetchError:
    size = "the body" if found is None else f"the body of {found:,} bytes"
    return FetchError(f"{size} is over the limit of {limits.max_bytes:,} bytes")
