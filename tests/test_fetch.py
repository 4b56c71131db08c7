from __future__ import annotations

import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from anytag import fetch as fetching
from anytag.errors import FetchError, UsageError
from anytag.fetch import FetchLimits, fetch

LOCAL = FetchLimits(allow_private=True, max_bytes=10_000, timeout_s=20)


Answer = Callable[[BaseHTTPRequestHandler], None]


def reply(
    status: int = 200, body: bytes = b"picture", length: int | None = -1, **headers: str
) -> Answer:
    """An answer; ``length`` None sends no Content-Length, -1 the true one."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Type": "image/png", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length == -1 else length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def echo_request(handler: BaseHTTPRequestHandler) -> None:
    seen = f"{handler.path} {handler.headers['Host']} {handler.headers['Accept-Encoding']}"
    reply(body=seen.encode())(handler)


def endless(handler: BaseHTTPRequestHandler) -> None:
    reply(length=None, body=b"")(handler)
    while True:  # ends when the client hangs up
        handler.wfile.write(b"x" * 4096)


def chunked(handler: BaseHTTPRequestHandler) -> None:
    reply(length=None, body=b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", Transfer_Encoding="chunked")(
        handler
    )


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")


def silent(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.recv(1)  # returns when the client hangs up


def drip_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(handler)


def drip_body(handler: BaseHTTPRequestHandler) -> None:
    reply(length=None, body=b"")(handler)
    drip(handler)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte at a time: each is early enough for a timeout per read."""
    pause = threading.Event()
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        pause.wait(0.02)


ROUTES: dict[str, Answer] = {
    "/ok": reply(),
    "/echo%20a/b?q=%22": echo_request,
    "/echo": echo_request,
    "/type": reply(Content_Type="IMAGE/JPEG; charset=binary"),
    "/html": reply(Content_Type="text/html"),
    "/octets": reply(Content_Type="application/octet-stream"),
    "/404": reply(404),
    "/204": reply(204, b""),
    "/gzip": reply(body=gzip.compress(b"x"), Content_Encoding="gzip"),
    "/to-ok": reply(302, Location="ok"),
    "/to-2": reply(301, Location="/to-ok"),
    "/loop": reply(307, Location="/loop"),
    "/to-file": reply(302, Location="file:///etc/passwd"),
    "/to-nowhere": reply(302),
    "/big": reply(body=b"x" * 10_001),
    "/limit": reply(body=b"x" * 10_000),
    "/says-big": reply(length=10**12),
    "/says-more": reply(length=100),
    "/says-less": reply(body=b"x" * 20_000, length=5),
    "/says-nothing": reply(length=None, body=b"x" * 20_000),
    "/endless": endless,
    "/chunked": chunked,
    "/chunked-lie": reply(length=None, body=b"ff\r\nabc", Transfer_Encoding="chunked"),
    "/garbage": garbage,
    "/hang-up": lambda handler: None,
    "/silent": silent,
    "/drip-head": drip_head,
    "/drip-body": drip_body,
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with contextlib.suppress(OSError):  # the client hung up, as it should
            ROUTES[self.path](self)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def running_server(context: ssl.SSLContext | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that closing waits for the handlers
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as address:
        yield address


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/ok", b"picture"),
        ("/ok#fragment", b"picture"),
        ("/type", b"picture"),
        ("/to-ok", b"picture"),
        ("/to-2", b"picture"),
        ("/limit", b"x" * 10_000),
        ("/says-less", b"x" * 5),
        ("/chunked", b"abcdefg"),
    ],
)
def test_downloads(server: str, path: str, expected: bytes) -> None:
    assert fetch(f"http://{server}{path}", limits=LOCAL) == expected


def test_request_is_well_formed(server: str) -> None:
    seen = fetch(f'http://{server}/echo a/b?q="', limits=LOCAL)
    assert seen.decode() == f"/echo%20a/b?q=%22 {server} identity"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/html", "expected an image, the server sends text/html"),
        ("/octets", "sends application/octet-stream"),
        ("/404", "the server answered 404 Not Found"),
        ("/204", "answered 204"),
        ("/gzip", "compressed"),
        ("/loop", "more than 5 redirects"),
        ("/to-file", "http:// or https://"),
        ("/to-nowhere", "answered 302"),
        ("/big", "10,001 bytes is over the limit of 10,000"),
        ("/says-big", "1,000,000,000,000 bytes is over"),
        ("/says-more", "closed after 7 of 100 bytes"),
        ("/says-nothing", "over the limit of 10,000 bytes"),
        ("/endless", "over the limit of 10,000 bytes"),
        ("/chunked-lie", "IncompleteRead"),
        ("/garbage", "SSH"),
        ("/hang-up", "closed connection without response"),
    ],
)
def test_refused_answers(server: str, path: str, reason: str) -> None:
    with pytest.raises(FetchError, match=reason) as caught:
        fetch(f"http://{server}{path}", limits=LOCAL)
    assert f"cannot fetch http://{server}{path}: " in str(caught.value)


def test_octet_stream_by_option(server: str) -> None:
    got = fetch(f"http://{server}/octets", limits=LOCAL, allow_octet_stream=True)
    assert got == b"picture"
    with pytest.raises(FetchError, match="text/html"):
        fetch(f"http://{server}/html", limits=LOCAL, allow_octet_stream=True)


@pytest.mark.parametrize("path", ["/silent", "/drip-head", "/drip-body"])
def test_slow_servers_are_left(server: str, path: str) -> None:
    limits = FetchLimits(allow_private=True, timeout_s=0.2)
    with pytest.raises(FetchError, match=r"no complete answer within 0\.2 seconds"):
        fetch(f"http://{server}{path}", limits=limits)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(FetchError, match="refused"):
            fetch(f"http://127.0.0.1:{port}/", limits=LOCAL)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "http:// or https://"),
        ("ftp://example.org/a", "http:// or https://"),
        ("photo.jpg", "http:// or https://"),
        ("http://", "host"),
        ("http:///a.jpg", "host"),
        ("http://user:secret@127.0.0.1/a", "without user name and password"),
        ("http://127.0.0.1:99999/", "[Pp]ort"),
        ("http://127.0.0.1:x/", "[Pp]ort"),
        ("http://[::1/", "IPv6"),
        ("http://a b/", "no host name has"),
        ("http://a\x7fb/", "no host name has"),
    ],
)
def test_refused_addresses(url: str, reason: str) -> None:
    with pytest.raises(FetchError, match=reason) as caught:
        fetch(url, limits=LOCAL)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",  # the same as one number
        "0.0.0.0",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",  # cloud metadata
        "100.64.0.1",  # carrier-grade NAT
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:db8::1]",
    ],
)
def test_private_addresses_are_refused_by_default(host: str) -> None:
    with pytest.raises(FetchError, match=r"not a public address"):
        fetch(f"http://{host}/")


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]
)
def test_public_addresses(address: str) -> None:
    assert fetching._is_public(address)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Replaces name lookup (there is no network in tests); returns the names looked up so far."""
    asked: list[str] = []
    queue = list(answers)

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = queue.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_one_private_address_among_public_ones_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["1.1.1.1", "127.0.0.1"])
    with pytest.raises(FetchError, match=r"pictures\.example is at 127\.0\.0\.1"):
        fetch("http://pictures.example/")


def test_name_is_looked_up_once_and_kept_as_host(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a second lookup would give another address."""
    port = server.rpartition(":")[2]
    asked = resolve_to(monkeypatch, ["127.0.0.1"])
    seen = fetch(f"http://Pictures.example:{port}/echo", limits=LOCAL)
    assert seen.decode() == f"/echo pictures.example:{port} identity"
    assert asked == ["pictures.example"]


def test_next_address_is_tried(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = server.rpartition(":")[2]
    resolve_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])  # the server listens on the second only
    assert fetch(f"http://pictures.example:{port}/ok", limits=LOCAL) == b"picture"


def test_redirect_to_a_private_address_is_refused(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first hop counts as public here, the address it redirects to does not."""
    monkeypatch.setattr(fetching, "_is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setitem(ROUTES, "/ok", reply(302, Location="http://127.0.0.2/secret"))
    with pytest.raises(FetchError, match=r"127\.0\.0\.2, which is not a public address"):
        fetch(f"http://{server}/ok")


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(FetchError, match=r"xn--bcher-kva\.example cannot be resolved"):
        fetch("https://bücher.example/a.png")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_https_checks_the_name_of_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
         "-subj", "/CN=pictures.example", "-addext", "subjectAltName=DNS:pictures.example"],
        check=True, capture_output=True,
    )  # fmt: skip
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with running_server(own) as address:
        port = address.rpartition(":")[2]
        resolve_to(monkeypatch, *[["127.0.0.1"]] * 3)
        url = f"https://pictures.example:{port}/ok"
        assert fetch(url, limits=LOCAL, ssl_context=trusting) == b"picture"
        with pytest.raises(FetchError, match="certificate verify failed"):
            fetch(url, limits=LOCAL)
        with pytest.raises(FetchError, match=r"other\.example"):
            fetch(f"https://other.example:{port}/ok", limits=LOCAL, ssl_context=trusting)


def test_limits_are_checked() -> None:
    for wrong in ({"max_bytes": 0}, {"timeout_s": 0}, {"max_redirects": -1}):
        with pytest.raises(UsageError, match="max_bytes must be"):
            FetchLimits(**wrong)  # type: ignore[arg-type]
