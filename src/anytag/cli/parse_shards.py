"""What a worker of ``anytag parse --engine ray`` does: the captions of a shard -> its part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from anytag.cli.parse_batches import ParserSpec, Worker
from anytag.cli.parse_run import MAX_SHOWN
from anytag.data.caption_blocks import CaptionBlock
from anytag.data.captions import LineRange, line_ranges, read_blocks, read_range
from anytag.data.discover import path_from_text, path_text
from anytag.distributed.job import Job, PlannedShard
from anytag.distributed.storage import check_storage, is_readable, witnesses
from anytag.engine.steps import Counts
from anytag.files import atomic_write

#: bytes of a shard of lines
SHARD_BYTES = 16 << 20


def plan_parsing(
    inputs: Sequence[str], column: str | None, shard_bytes: int = SHARD_BYTES
) -> Iterator[PlannedShard]:
    """Shards of the inputs: so many bytes of lines, or one file of another kind.

    Raises:
        UsageError: the name of an input says no known format
    """
    for name in inputs:
        path = Path(name)
        read_blocks(path, column=column)  # knows the names
        known = [path_text(one) for one in witnesses([path])]
        for lines in line_ranges(path, shard_bytes):
            whole = {"path": path_text(path), "known": known}
            yield whole | ({} if lines is None else {"lines": list(lines)}), None


class ParseShards:
    """A `anytag.distributed.worker.Make`.

    Args:
        spec: of the parser
        column: of the captions
        job: its shards
    """

    def __init__(self, spec: ParserSpec, column: str | None, job: Job) -> None:
        self._spec = spec
        self._column = column
        self._job = job
        self._worker: Worker | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_worker": None}  # each process makes its own

    def __call__(self, shard: int) -> Counts:
        """See `anytag.distributed.worker.Make`."""
        if self._worker is None:
            self._worker = Worker(self._spec)
        row = self._job.shard(shard)
        path = path_from_text(row["path"])
        counts: Counter[str] = Counter(captions=0, tags=0, recoded=0, failed=0)
        messages: list[str] = []
        with atomic_write(self._job.part(shard)) as file:
            for block in self._blocks(path, row.get("lines")):
                done = self._worker(block)
                file.write(done.data)
                counts["captions"] += done.num_captions
                counts["tags"] += done.num_tags
                counts["recoded"] += done.num_recoded
                counts["failed"] += len(done.errors)
                messages += done.errors[: MAX_SHOWN - len(messages)]
            if counts["failed"] and not is_readable(path):
                check_storage([path_from_text(text) for text in row["known"]], [path])
        self._job.note_errors(shard, messages)
        return counts

    def _blocks(self, path: Path, lines: list[int] | None) -> Iterator[CaptionBlock]:
        if lines is None:
            return read_blocks(path, column=self._column)
        return read_range(path, LineRange(*lines), column=self._column)
