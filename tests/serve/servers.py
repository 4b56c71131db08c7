"""A real server on a real socket, in a thread of the test's process."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from anytag.inference.tagger import Tagger
from anytag.serve.app import create_app
from anytag.serve.config import ModelSource, ServeConfig
from anytag.serve.server import Server, bind, url_of
from anytag.serve.service import Service

#: for what comes soon unless the machine is very busy
PATIENCE_S = 240.0


def photo(seed: int, size: tuple[int, int] = (90, 70), form: str = "PNG") -> bytes:
    """An image file; each seed has its own colours."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
    buffer = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(buffer, form)
    return buffer.getvalue()


class Running(httpx.Client):
    """A client of a server that runs; ``service`` is the server's state."""

    def __init__(self, url: str, server: Server, service: Service, thread: threading.Thread):
        super().__init__(base_url=url, timeout=PATIENCE_S)
        self.url = url
        self.server = server
        self.service = service
        self.thread = thread

    @property
    def tagger(self) -> Tagger:
        """Of the default model."""
        return self.service.models.get(None).tagger

    def tag(self, data: bytes, **options: Any) -> httpx.Response:
        """Ask for tags with a form."""
        return self.post("/v1/tag", files={"image": ("photo.png", data)}, data=options)


@contextmanager
def running(models: dict[str, Path], **options: Any) -> Iterator[Running]:
    """Serve models while the block lasts."""
    sources = tuple(ModelSource(name=name, source=str(path)) for name, path in models.items())
    config = ServeConfig(models=sources, **({"drain_s": 0.0, "decoders": 2} | options))
    app = create_app(config)
    started = threading.Event()
    server = Server(app, config, started.set)
    with bind("127.0.0.1", 0) as sock:
        url = url_of(sock)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        assert started.wait(PATIENCE_S)
        try:
            with Running(url, server, app.state.service, thread) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
    assert not thread.is_alive()


class Gate:
    """Holds a model back until it is opened."""

    def __init__(self, tagger: Tagger) -> None:
        self.sizes: list[int] = []
        self.entered = threading.Event()
        self._opened = threading.Event()
        self._score = tagger.score

    def __call__(self, pixels: Any) -> Any:
        self.sizes.append(len(pixels))
        self.entered.set()
        assert self._opened.wait(PATIENCE_S)
        return self._score(pixels)

    def open(self) -> None:
        self._opened.set()
