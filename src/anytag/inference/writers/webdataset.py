"""Webdataset: the images, and beside each what was found, as shards that training reads.

``000070012.jpg`` is the 12th image of shard 7, byte by byte; ``000070012.json`` is its record
(`anytag.data.records`), with the JSONL record under ``anytag``. An image that failed has only that.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import PurePath
from typing import IO

from anytag.data.containers import Member
from anytag.data.discover import IMAGE_EXTENSIONS, InputProblem, Item, UrlItem
from anytag.data.records import Record, to_plain
from anytag.errors import FetchError, OutputError
from anytag.fetch import fetch
from anytag.inference.results import TagResult
from anytag.inference.writers.jsonl import encode


class WebdatasetWriter:
    """One shard.

    Args:
        file: gets the tar
        prefix: of the samples' keys
    """

    def __init__(self, file: IO[bytes], prefix: str) -> None:
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._prefix = prefix
        self._number = 0

    def write(self, result: TagResult, item: Item | Member) -> None:
        """Add an image and its record.

        Raises:
            OutputError: the image could be read a moment ago and cannot be now
        """
        key = f"{self._prefix}{self._number:04}"
        self._number += 1
        name = result.path or key
        if result.error is None:
            suffix = PurePath(name).suffix.lower()
            self._add(key + (suffix if suffix in IMAGE_EXTENSIONS else ".jpg"), _content(item))
        record = Record(
            image=name,
            captions=() if result.caption is None else (result.caption,),
            tags=tuple(tag.name for tag in result.tags),
            source=result.model,
        )
        self._add(key + ".json", encode({**to_plain(record), "anytag": result.record()}))

    def close(self) -> None:
        """Complete the tar."""
        self._tar.close()

    def _add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)  # no time, no owner: the same images give the same bytes
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))


def _content(item: Item | Member) -> bytes:
    assert not isinstance(item, InputProblem), "has an error"
    if isinstance(item, Member):
        return item.content
    try:
        if isinstance(item, UrlItem):
            return fetch(item.url, allow_octet_stream=True)
        return item.read_bytes()
    except (OSError, FetchError) as error:
        raise OutputError(f"an image cannot be read a second time: {error}") from error
