"""Requests that no honest client sends: images, headers, options and HTTP."""

from __future__ import annotations

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image
from tests.serve.servers import photo

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "ICO", "MPO")
POSTS = ("/v1/tag", "/v1/tag/batch", "/v1/caption", "/v1/explain?tag=dog", "/v1/images:annotate")
NAMES = (
    "../../etc/passwd",
    "..\\..\\x",
    "a\x00b",
    "\u202egpj.exe",
    "\U0001f680" * 50,
    "x" * 5000,
    "",
)
TEXTS = (
    "",
    " ",
    "\x00",
    "\ud800",
    "\ufdd0\u202e",
    "e\u0301" * 90,
    "' OR 1=1 --",
    "{{7*7}}",
    "9" * 5000,
    "nan",
    "-inf",
    "1e999",
    "auto",
    "true",
    "None",
    "-1",
    "0",
    "[" * 3000,
    '["a", 3, null]',
)
VALUES = (
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    -0.0,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    [None],
    {"a": {}},
)
KEYS = (
    "model",
    "tags",
    "extend",
    "threshold",
    "top_k",
    "all_scores",
    "tag",
    "method",
    "format",
    "image",
    "images",
    "url",
    "name",
    "requests",
    "nobody",
    "__class__",
    "",
)


@dataclass(frozen=True, slots=True)
class Attack:
    """What is sent over a connection of its own."""

    name: str
    data: bytes
    #: whole and well formed as HTTP: it must get an answer
    whole: bool = True


class Attacker:
    """Attacks without end, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._images = {form: photo(number, (64, 48), form) for number, form in enumerate(FORMATS)}
        self._kinds: list[tuple[int, Callable[[], Attack]]] = [
            (45, self.damaged_image),
            (6, self.bomb),
            (20, self.wrong_options),
            (2, self.deep),
            (12, self.broken_form),
            (4, self.wrong_type),
            (5, self.path),
            (6, self.broken_http),
        ]

    def next(self) -> Attack:
        """One more."""
        weights = [weight for weight, _ in self._kinds]
        return self.random.choices(self._kinds, weights)[0][1]()

    def damaged_image(self) -> Attack:
        """Cut, overwritten, or with another file's end."""
        form = self.random.choice(FORMATS)
        data = bytearray(self._images[form])
        way = self.random.choice(("cut", "bytes", "header", "splice", "tail"))
        if way == "cut":
            del data[self.random.randrange(len(data)) :]
        elif way in ("bytes", "header"):
            last = 64 if way == "header" else len(data)
            for _ in range(self.random.randint(1, 12)):
                data[self.random.randrange(min(last, len(data)))] = self.random.randrange(256)
        elif way == "splice":
            other = self._images[self.random.choice(FORMATS)]
            data[len(data) // 2 :] = other[self.random.randrange(len(other)) :]
        else:
            data += self.random.randbytes(500)
        return Attack(f"{form} {way}", self._with_image(bytes(data)))

    def bomb(self) -> Attack:
        """Small files that want much memory."""
        make = self.random.choice((png_bomb, text_bomb, gif_bomb, webp_bomb, tiff_bomb, bmp_bomb))
        return Attack(make.__name__, self._with_image(make()))

    def wrong_options(self) -> Attack:
        """Values of wrong types and sizes, in JSON or in the query."""
        path = self.random.choice(POSTS)
        image = base64.b64encode(self._images["PNG"]).decode()
        values: dict[str, object] = {"image": image} if self.random.random() < 0.7 else {}
        if path.endswith("annotate"):
            features = [{"type": "LABEL_DETECTION", "maxResults": self._value()}]
            values = {"requests": [{"image": {"content": image}, "features": features}]}
        for _ in range(self.random.randint(1, 3)):
            values[self.random.choice(KEYS)] = self._value()
        if self.random.random() < 0.3:
            query = "&".join(f"{self.random.choice(KEYS)}={quote(self._text())}" for _ in range(2))
            path += ("&" if "?" in path else "?") + query
        body = json.dumps(values).encode()
        return Attack("options", post(path, body, "application/json"))

    def deep(self) -> Attack:
        """Nested or very long JSON."""
        opening, closing = self.random.choice((("[", "]"), ('{"a":', "}"), ('{"tags":[', "]}")))
        depth = self.random.choice((500, 5_000, 100_000))
        text = opening * depth + ("1" + closing * depth if self.random.random() < 0.5 else "")
        if self.random.random() < 0.1:
            text = json.dumps({"image": "AAAA", "tags": ["a"] * 1_000_000})
        body = text.encode()
        return Attack("deep", post(self.random.choice(POSTS), body, "application/json"))

    def broken_form(self) -> Attack:
        """Forms that end early, lie about their boundary, or have strange parts."""
        name = self.random.choice(NAMES).encode("utf-8", "replace").decode()
        body = form([("image", name, self._images["GIF"]), ("top_k", None, b"\xff\xfe")])
        way = self.random.choice(
            ("cut", "boundary", "no name", "headers", "many", "name", "newline")
        )
        kind = "multipart/form-data; boundary=x"
        if way == "cut":
            body = body[: self.random.randrange(len(body))]
        elif way == "boundary":
            ends = (
                "",
                "=",
                "=" + "y" * 300,
                '="x',
                "=\xe4",
                "=x; charset=utf-7",
                "=x; charset=nothing",
            )
            kind = "multipart/form-data; boundary" + self.random.choice(ends)
        elif way == "no name":
            body = body.replace(
                b'name="image"', self.random.choice((b"", b"name", b"name*=x''%ff"))
            )
        elif way == "headers":
            body = body.replace(b"--x\r\n", b"--x\r\n" + b"A: " + b"b" * 20_000 + b"\r\n", 1)
        elif way == "many":
            body = form([("tags", None, b"a")] * self.random.choice((600, 5_000)))
        elif way == "newline":
            body = body.replace(b"\r\n", b"\n")
        return Attack(f"form {way}", post(self.random.choice(POSTS), body, kind))

    def wrong_type(self) -> Attack:
        """A body that is not what its type says."""
        kinds = (
            "",
            "image/",
            "text/html",
            "application/json",
            "application/json; charset=utf-16",
            "application/x-www-form-urlencoded",
            "multipart/mixed; boundary=x",
            "\xff\xfe",
            "image/svg+xml",
        )
        bodies = (
            b"",
            b"\x00" * 100,
            b"\xff\xfe{\x00}\x00",
            self._images["PNG"],
            b"null",
            b'"x"',
            b"<svg/>",
        )
        path, body = self.random.choice(POSTS), self.random.choice(bodies)
        return Attack("type", post(path, body, self.random.choice(kinds)))

    def path(self) -> Attack:
        """Addresses and methods."""
        paths = (
            "/../../etc/passwd",
            "/..%2f..%2fetc/passwd",
            "/%00",
            "/static/%2e%2e/app.py",
            "//etc/passwd",
            "/v1/models/..%2f/tags",
            "/v1/models/%ff%fe/tags",
            "/v1/models/" + "x" * 9000 + "/tags",
            "/" + "a/" * 2000,
            "/v1/tag?" + "a=b&" * 3000,
            "/%",
            "/?%zz",
            "/docs/",
            "/metrics?x",
            "/CON",
            "/.",
        )
        methods = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "POST")
        path = self.random.choice((*paths, *POSTS, "/", "/healthz"))
        method = self.random.choice(methods)
        return Attack(f"{method} {path[:30]}", request(method, path, b"", {}))

    def broken_http(self) -> Attack:
        """What is no HTTP, or ends in the middle."""
        body = self._images["JPEG"]
        line = b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
        attacks: dict[str, bytes] = {
            "garbage": self.random.randbytes(self.random.randint(1, 3000)),
            "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.random.randbytes(200),
            "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(50),
            "old": b"GET /\r\n\r\n",
            "method": b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
            "version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
            "half a head": line[: self.random.randrange(len(line))],
            "half a body": line + b"Content-Length: 9000\r\n\r\n" + body[:500],
            "negative": line + b"Content-Length: -5\r\n\r\n" + body,
            "two lengths": line + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n" + body,
            "huge length": line
            + b"Content-Length: "
            + b"9" * self.random.choice((10, 18, 40))
            + b"\r\n\r\n"
            + body,
            "length and chunks": line
            + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "endless chunks": line + b"Transfer-Encoding: chunked\r\n\r\n" + b"5\r\nabcde\r\n" * 50,
            "huge chunk": line + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nabc",
            "chunk size": line + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
            "headers": line + b"".join(b"X-%d: y\r\n" % number for number in range(3000)) + b"\r\n",
            "long header": line + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
            "binary header": line + b"X-Request-ID: \x01\xff\xfe\r\nX\x00: 1\r\n\r\n",
            "upgrade": line + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "pipelined": (line + b"Content-Length: 0\r\n\r\n") * 30,
            "no host": b"GET / HTTP/1.1\r\n\r\n",
        }
        name = self.random.choice(list(attacks))
        return Attack(f"http {name}", attacks[name], whole=False)

    def _with_image(self, data: bytes) -> bytes:
        path = self.random.choice(POSTS)
        encoded = base64.b64encode(data).decode()
        if path.endswith("annotate"):
            one = {"image": {"content": encoded}, "features": [{"type": "LABEL_DETECTION"}]}
            return post(path, json.dumps({"requests": [one]}).encode(), "application/json")
        match self.random.randrange(4):
            case 0:
                return post(path, data, "image/jpeg")
            case 1:
                cut = encoded[: self.random.randrange(len(encoded) + 1)]
                return post(
                    path, json.dumps({"images": [encoded, cut]}).encode(), "application/json"
                )
            case 2:
                return post(path, json.dumps({"image": encoded}).encode(), "application/json")
        return post(path, form([("image", "a.jpg", data)]), "multipart/form-data; boundary=x")

    def _value(self) -> object:
        many = (*VALUES, *TEXTS, [self._text()] * 3, ["a"] * 501)
        return self.random.choice(many)

    def _text(self) -> str:
        return self.random.choice(TEXTS)


def quote(text: str) -> str:
    """For a query; also what UTF-8 cannot say."""
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def post(path: str, body: bytes, kind: str) -> bytes:
    """A whole POST."""
    return request("POST", path, body, {"Content-Type": kind})


def request(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A whole request, after which the server closes the connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def form(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    """Name, file name, content."""
    body = b""
    for name, file, content in parts:
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"'
        head += "" if file is None else f'; filename="{file}"'
        body += head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + b"--x--\r\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """900 million pixels in some bytes."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + _chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + _chunk(b"IEND", b"")
    )


def text_bomb() -> bytes:
    """A small picture with a text of 100 MB."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    text = _chunk(b"zTXt", b"a\x00\x00" + _ZEROS)
    rows = _chunk(b"IDAT", zlib.compress(bytes(8 * 25)))
    return b"\x89PNG\r\n\x1a\n" + head + text + rows + text + _chunk(b"IEND", b"")


def gif_bomb() -> bytes:
    """A small screen with a frame of 65,535 x 65,535."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x4c\x01\x00;"


def webp_bomb() -> bytes:
    """A canvas of 16,384 x 16,384."""
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_383).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", len(canvas) + 4) + b"WEBP" + canvas


def tiff_bomb() -> bytes:
    """A width of four billion."""
    entries = [
        (256, 4, 0xFFFFFFFF),
        (257, 4, 0x7FFFFFFF),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, 1),
        (279, 4, 0xFFFFFFF0),
    ]
    rows = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(entries)) + rows + bytes(4)


def bmp_bomb() -> bytes:
    """Two billion rows, upside down."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    data[18:26] = struct.pack("<ii", 60_000, -(2**31) + 1)
    return bytes(data)


_ZEROS = zlib.compress(bytes(100_000_000))
