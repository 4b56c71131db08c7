"""Tags of captions counted in batches, in this process or in several."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult

from anytag.data.captions import Caption
from anytag.labels.counts import TagCounts
from anytag.labels.parse import CaptionParser

#: a batch ends at this many captions or characters
_BATCH_CAPTIONS, _BATCH_CHARACTERS = 4000, 1 << 20


def count_batches(captions: Iterable[Caption], *, processes: int) -> Iterator[TagCounts]:
    """Counts of batches in the order of the captions, whatever the number of processes."""
    texts = _batches(caption.text for caption in captions)
    if processes == 1:
        yield from map(partial(_count, CaptionParser.open()), texts)
        return
    waiting: deque[AsyncResult[TagCounts]] = deque()
    with get_context("spawn").Pool(processes, _start_worker) as pool:
        for batch in texts:
            waiting.append(pool.apply_async(_work, (batch,)))
            if len(waiting) > 3 * processes:
                yield waiting.popleft().get()
        while waiting:
            yield waiting.popleft().get()


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    """Lists of bounded count and length."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if len(batch) >= _BATCH_CAPTIONS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _count(parser: CaptionParser, texts: list[str]) -> TagCounts:
    counts = TagCounts()
    counts.add_captions(texts, parser)
    return counts


_parser: CaptionParser | None = None


def _start_worker() -> None:
    import signal

    global _parser
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    _parser = CaptionParser.open()


def _work(texts: list[str]) -> TagCounts:
    assert _parser is not None
    return _count(_parser, texts)
