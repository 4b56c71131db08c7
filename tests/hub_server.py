"""A small Hugging Face hub on this machine: what huggingface_hub asks for, and no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories are folders below ``root``: ``org/name/...`` and ``spaces/org/name/...``."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        #: paths whose content was sent
        self.sent: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, *, with_content: bool) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
        if parts[0] == "api":
            kind = "" if parts[1] == "models" else parts[1]
            return self._describe(self.server.root / kind / parts[2] / parts[3], parts[4])
        folder, _, inside = "/".join(parts).partition(f"/resolve/{COMMIT}/")
        if not inside:
            folder, _, inside = "/".join(parts).partition("/resolve/main/")
        path = self.server.root / folder / inside
        if not path.is_file():
            code = "EntryNotFound" if (self.server.root / folder).is_dir() else "RepoNotFound"
            return self._send(404, b"", {"X-Error-Code": code})
        data = path.read_bytes()
        if with_content:
            self.server.sent.append(f"{folder}/{inside}")
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        return self._send(200, data, headers, with_content=with_content)

    def _describe(self, folder: Path, what: str) -> None:
        if not folder.is_dir():
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in paths]
        content: Any = {
            "id": folder.name,
            "sha": COMMIT,
            "siblings": [{"rfilename": name} for name in names],
        }
        if what == "tree":
            content = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}
                for name, path in zip(names, paths, strict=True)
            ]
        return self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(
        self, code: int, data: bytes, headers: dict[str, str], *, with_content: bool = True
    ) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_content and self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def serve(root: Path) -> Iterator[Hub]:
    """The hub, for a while."""
    with Hub(root) as hub:
        Thread(target=hub.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            hub.shutdown()
