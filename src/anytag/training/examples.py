"""Examples by number, from any mixture of data sets, in bounded memory.

    examples = open_examples(config.data.train, cache)
    train, val = examples.split(config.data.val_every)
    example = train[train.order(epoch=0, seed=0).at(np.arange(8))[0]]
    pixels = example.pixels(size=224)

Held in memory are 4 bytes an example, where only a part of the records is used (`split`); begins of
lines are mapped from the disk. Nothing of it is copied to worker processes.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.data.images import DEFAULT_LIMITS, load_image
from anytag.data.records import Record
from anytag.errors import ImageError
from anytag.files import display_path
from anytag.training.config import SourceConfig
from anytag.training.order import Order
from anytag.training.spool import Spool, parse_line, spool

#: neighbours in a shard that are read together, and blocks that are mixed: 16,384 examples
_BLOCK, _WINDOW = 256, 64
_MAX_OPEN = 64


def open_examples(
    sources: Sequence[SourceConfig], cache: Path, names: Sequence[str] | None = None
) -> Examples:
    """All examples of data sets; each is read once and kept in ``cache`` (see `spool`).

    Raises:
        UsageError: a data set does not exist, cannot be recognised, or gives no picture
        OutputError: the cache cannot be written
    """
    return Examples([spool(source, cache, names) for source in sources])


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One picture and its texts."""

    record: Record
    #: number of the data set
    source: int
    #: the picture's file, where it lies in a shard
    content: bytes | None

    @property
    def picture(self) -> str | bytes:
        """Path of the picture's file, or what is in it."""
        return self.record.image if self.content is None else self.content

    def pixels(self, size: int) -> npt.NDArray[np.uint8]:
        """The whole picture as inference sees it, [size, size, 3].

        Raises:
            ImageError: it cannot be read
        """
        return load_image(self.picture, size=size).pixels


class Examples:
    """A sequence of examples.

    Args:
        spools: the data sets
        part: (n, is_validation): of n records one is for validation, by a hash of its image's
            name; the others are for training. None = all
    """

    def __init__(self, spools: Sequence[Spool], part: tuple[int, bool] | None = None) -> None:
        self.spools = tuple(spools)
        #: see above
        self.part = part
        self._starts = np.cumsum([0, *(one.num for one in self.spools)])
        self._rows: npt.NDArray[np.uint32] | None = None
        self._offsets: dict[int, npt.NDArray[np.int64]] = {}
        self._files = _OpenFiles()

    def __getstate__(self) -> dict[str, Any]:
        # what is mapped would be copied to each worker process
        return {"spools": self.spools, "part": self.part}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __len__(self) -> int:
        return int(self._starts[-1]) if self.part is None else len(self._selected())

    def __getitem__(self, number: int) -> Example:
        """One example with its texts; of the picture, only what lies in a shard is read.

        Raises:
            ImageError: it lies in a shard and cannot be read
        """
        source, line = self._line(number)
        record, span = parse_line(line)
        content = None
        if span is not None:
            content = self._shard_bytes(record.image, *span)
        return Example(record=record, source=source, content=content)

    def record(self, number: int) -> tuple[int, Record]:
        """(data set, record) without the picture."""
        source, line = self._line(number)
        return source, parse_line(line)[0]

    def place(self, number: int) -> tuple[int, int]:
        """(data set, row in it) of an example."""
        if not 0 <= number < len(self):
            raise IndexError(f"example {number} of {len(self)}")
        row = int(number if self.part is None else self._selected()[number])
        source = int(np.searchsorted(self._starts, row, side="right")) - 1
        return source, row - int(self._starts[source])

    def split(self, every: int) -> tuple[Examples, Examples]:
        """(training, validation): one in ``every`` for validation, by the image's name.

        A picture keeps its side when others are added, and in all data sets that hold it.
        """
        return Examples(self.spools, (every, False)), Examples(self.spools, (every, True))

    def order(self, *, seed: int, epoch: int) -> Order:
        """The order of an epoch; of shards, neighbours are read at nearly the same time."""
        in_blocks = any(one.is_sharded for one in self.spools) and len(self) > _BLOCK * _WINDOW
        block, window = (_BLOCK, _WINDOW) if in_blocks else (1, 1)
        return Order(num=len(self), seed=seed, epoch=epoch, block=block, window=window)

    def _selected(self) -> npt.NDArray[np.uint32]:
        if self._rows is None and self.part is not None:
            every, is_validation = self.part
            rows = []
            for start, one in zip(self._starts, self.spools, strict=False):
                hashes = np.load(one.hashes_file, mmap_mode="r")
                chosen = np.flatnonzero((hashes % np.uint32(every) == 0) == is_validation)
                rows.append((chosen + start).astype(np.uint32))
            self._rows = np.concatenate(rows)
        assert self._rows is not None
        return self._rows

    def _line(self, number: int) -> tuple[int, bytes]:
        source, row = self.place(number)
        if source not in self._offsets:
            self._offsets[source] = np.load(self.spools[source].offsets_file, mmap_mode="r")
        begin, end = map(int, self._offsets[source][row : row + 2])
        return source, self._files.read(str(self.spools[source].records_file), begin, end - begin)

    def _shard_bytes(self, image: str, name_length: int, begin: int, size: int) -> bytes:
        shard, name = image[:name_length], display_path(image)
        if size > DEFAULT_LIMITS.max_bytes:
            raise ImageError("too_large", f"{name} has {size:,} bytes")
        try:
            content = self._files.read(shard, begin, size)
        except OSError as error:
            reason = error.strerror or error
            raise ImageError("missing", f"{name} cannot be read: {reason}") from error
        if len(content) < size:
            raise ImageError("truncated", f"{name}: the shard ends within it")
        return content


class _OpenFiles:
    """Files that stay open, the last used ones."""

    def __init__(self) -> None:
        self._handles: OrderedDict[str, int] = OrderedDict()

    def read(self, path: str, begin: int, size: int) -> bytes:
        handle = self._handles.get(path)
        if handle is None:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            self._handles[path] = handle
            if len(self._handles) > _MAX_OPEN:
                os.close(self._handles.popitem(last=False)[1])
        self._handles.move_to_end(path)
        if hasattr(os, "pread"):  # has no position that forked processes would share
            return os.pread(handle, size, begin)
        os.lseek(handle, begin, os.SEEK_SET)
        return os.read(handle, size)

    def __del__(self) -> None:
        for handle in self._handles.values():
            os.close(handle)
