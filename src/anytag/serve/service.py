"""What the endpoints share: models, limits, and the way of one image through them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from starlette.requests import Request

from anytag.data.images import LoadedImage
from anytag.serve.admission import Admission, Pace, Ticket
from anytag.serve.batching import Task
from anytag.serve.config import ServeConfig
from anytag.serve.errors import INTERNAL, ApiError, ClientGoneError, as_api_error
from anytag.serve.inputs import Picture
from anytag.serve.metrics import Metrics
from anytag.serve.models import Models, ServedModel
from anytag.serve.remote import Downloader

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


class Service:
    """One server's state; made before it listens.

    Raises:
        AnytagError: a model cannot be loaded
    """

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        pace = Pace()
        self.admission = Admission(
            max_images=config.max_queue,
            max_bytes=config.max_held_bytes,
            max_seconds=config.timeout_s,
            pace=pace,
        )
        self.metrics = Metrics(lambda: self.admission.num_images)
        self.download = Downloader(config)
        #: asked to stop: what is accepted is finished, and load balancers should look elsewhere
        self.draining = False
        self.models = Models(config, self.metrics, pace)

    @asynccontextmanager
    async def visit(self, request: Request) -> AsyncIterator[Visit]:
        """Room and time for one request.

        Raises:
            BusyError: no room
        """
        try:
            with self.admission.enter() as ticket:
                visit = Visit(self, request, ticket)
                self.metrics.note_queue()
                try:
                    yield visit
                finally:
                    visit.leave()
        finally:
            self.metrics.note_queue()

    def close(self) -> None:
        """Finish what waits and end all threads."""
        self.download.close()
        self.models.close()


class Visit:
    """One request from its first byte to its answer."""

    def __init__(self, service: Service, request: Request, ticket: Ticket) -> None:
        self.ticket = ticket
        self._service = service
        self._request = request
        self._seconds = service.config.timeout_s
        self._deadline = time.monotonic() + self._seconds
        self._gone: asyncio.Task[None] | None = None

    async def read(self, reader: Callable[[Request, ServeConfig, Ticket], Awaitable[T]]) -> T:
        """The body, by one of the functions of `anytag.serve.inputs`.

        Raises:
            ApiError: it does not come in time, or is wrong
        """
        reading = reader(self._request, self._service.config, self.ticket)
        try:
            return await asyncio.wait_for(reading, self._left)
        except asyncio.TimeoutError as error:
            raise ApiError(
                408, "slow_upload", f"the body did not come within {self._seconds:g} seconds"
            ) from error

    async def run(
        self, model: ServedModel, picture: Picture, make_task: Callable[[], Task[LoadedImage, R]]
    ) -> R:
        """One image through a model.

        Raises:
            ApiError: it takes too long, or the image is wrong
            AnytagError: the image or the tags are wrong
            ClientGoneError: nobody waits for the answer any more
        """
        return await self._wait(self._work(model, picture, make_task))

    async def run_all(
        self,
        model: ServedModel,
        pictures: list[Picture],
        make_task: Callable[[], Task[LoadedImage, R]],
    ) -> list[R | Exception]:
        """Many images; what is wrong with one stands in its place.

        Raises:
            ApiError: it takes too long
            ClientGoneError: nobody waits for the answer any more
        """
        works = (self._caught(self._work(model, picture, make_task)) for picture in pictures)
        return await self._wait(asyncio.gather(*works))

    async def fetch(self, picture: Picture) -> Picture:
        """The same, with its content if it has only an address.

        Raises:
            ApiError: addresses are not allowed, or it takes too long
            FetchError: this one was refused, or failed
        """
        if picture.url is None:
            return picture
        return await self._wait(self._downloaded(picture, picture.url))

    async def compute(self, make: Callable[[], T]) -> T:
        """Something short, in a decoding thread.

        Raises:
            ApiError: it takes too long
        """
        future = self._service.models.decoders.submit(make)
        return await self._wait(asyncio.wrap_future(future))

    def leave(self) -> None:
        """Stop looking whether the client is there."""
        if self._gone is not None:
            self._gone.cancel()

    @property
    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    async def _work(
        self, model: ServedModel, picture: Picture, make_task: Callable[[], Task[LoadedImage, R]]
    ) -> R:
        if picture.data is None and picture.url is not None:
            picture = await self._downloaded(picture, picture.url)
        return await asyncio.wrap_future(model.submit(picture.content, make_task))

    async def _downloaded(self, picture: Picture, url: str) -> Picture:
        data = await self._service.download(url)
        self.ticket.add_bytes(len(data))
        return replace(picture, data=data)

    async def _caught(self, work: Awaitable[T]) -> T | Exception:
        try:
            return await work
        except Exception as error:
            if as_api_error(error).status == INTERNAL:
                logger.exception("fault", extra={"fields": {"path": self._request.url.path}})
            return error

    async def _wait(self, work: Awaitable[T]) -> T:
        """The result, unless time is up or the client goes; then the work is cancelled."""
        task = asyncio.ensure_future(work)
        if self._gone is None:
            self._gone = asyncio.create_task(self._watch())
        try:
            await asyncio.wait(
                {task, self._gone}, timeout=self._left, return_when=asyncio.FIRST_COMPLETED
            )
            if task.done():
                return task.result()
            if self._gone.done():
                raise ClientGoneError
            raise ApiError(
                504, "timeout", f"the answer was not ready within {self._seconds:g} seconds"
            )
        finally:
            if not task.done():
                task.add_done_callback(_forget)
                task.cancel()

    async def _watch(self) -> None:
        """Ends when the client has gone; the body has been read before."""
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


def _forget(task: asyncio.Future[Any]) -> None:
    """Nobody wants to know how it ended."""
    if not task.cancelled():
        task.exception()
