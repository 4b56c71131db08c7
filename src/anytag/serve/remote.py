"""Images that a request names by address; off unless the server was told to allow it.

`anytag.fetch` does the guarding: http and https alone, every address of the host checked after its
name is resolved and on each redirect, the connection made to the checked address, so that a name
which changes its address leads nowhere else. Downloads have threads of their own: a slow host must
not keep those that decode.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from anytag.fetch import FetchLimits, fetch
from anytag.serve.config import ServeConfig
from anytag.serve.errors import ApiError

#: downloads at a time
_THREADS = 16


class Downloader:
    """Fetches addresses that strangers give."""

    def __init__(self, config: ServeConfig) -> None:
        self._allowed = config.allow_urls
        self._limits = FetchLimits(
            max_bytes=config.max_image_bytes, timeout_s=config.timeout_s, max_redirects=3
        )
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="anytag-fetch")

    async def __call__(self, url: str) -> bytes:
        """The image file.

        Raises:
            ApiError: addresses are not allowed
            FetchError: this one was refused, or failed
        """
        if not self._allowed:
            raise ApiError(
                403, "urls_not_allowed", "this server fetches no URLs; send the image itself"
            )
        return await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: fetch(url, limits=self._limits, allow_octet_stream=True),
        )

    def close(self) -> None:
        """Begin no more downloads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
