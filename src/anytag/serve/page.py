"""The files of the web page, held in memory: a request never looks at the disk.

No address holds a version, so browsers ask each time whether theirs is the latest (``no-cache``).
The answer goes by content: times of files differ between the machines behind one address, and a new
version may have the time of the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

#: fixed, because those of the system may be wrong
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> _File:
        content = path.read_bytes()
        return cls(content, _TYPES[path.suffix], f'"{sha256(content).hexdigest()[:32]}"')


class StaticPage:
    """Answers GET and HEAD for the files of a folder; ``/`` is ``index.html``.

    Args:
        folder: with files of the types above
    """

    def __init__(self, folder: Path) -> None:
        paths = [path for path in folder.iterdir() if path.suffix in _TYPES]
        self._files = {f"/{path.name}": _File.read(path) for path in paths}
        self._files["/"] = self._files["/index.html"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        file = self._files.get(scope["path"])
        if file is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "no-cache", "ETag": file.etag}
        if is_known(file.etag, Headers(scope=scope).get("if-none-match", "")):
            response = Response(status_code=304, headers=headers)
        else:
            response = Response(file.content, headers=headers, media_type=file.media_type)
        await response(scope, receive, send)


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether a client has this version already.

    >>> is_known('"a"', 'W/"a", "b"'), is_known('"a"', '"b"'), is_known('"a"', "*")
    (True, False, True)
    """
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return etag in given or given == ["*"]
