"""A real HTTP server that answers as chat endpoints do, or as they fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    #: seconds before the answer
    delay: float = 0.0


@dataclass(frozen=True)
class Request:
    """What was asked."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        return self.body["messages"][0]["content"]

    @property
    def count(self) -> int:
        return self.body.get("n", 1)


def answers(*texts: str) -> Reply:
    return Reply(body={"choices": [{"message": {"content": text}} for text in texts]})


def obedient(request: Request) -> Reply:
    """As many texts as asked for, made of the prompt."""
    return answers(*(f"{request.prompt} #{number}" for number in range(request.count)))


class ChatServer:
    """Serves on a free port while the block lasts; ``requests`` holds what came."""

    def __init__(self, reply: Callable[[Request], Reply] = obedient) -> None:
        self.reply = reply
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.path, dict(self.headers), json.loads(data or b"{}"))
                outer.requests.append(request)
                reply = outer.reply(request)
                outer.stopping.wait(reply.delay)
                raw = isinstance(reply.body, bytes)
                body = reply.body if raw else json.dumps(reply.body).encode()
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the client has gone

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def in_turn(*replies: Reply) -> Callable[[Request], Reply]:
    """These replies one after the other, then obedient ones."""
    left = list(replies)
    return lambda request: left.pop(0) if left else obedient(request)
