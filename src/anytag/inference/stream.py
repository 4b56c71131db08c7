"""Images -> scores as an ordered pipeline in bounded memory: decoding runs beside the model.

Threads decode (Pillow gives up Python's lock while it does) and the caller's thread runs the
model. At most three batches of decoded images exist at a time, two of them waiting and one in the
model. Results come in input order; what cannot be decoded is a result too.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from anytag.errors import FetchError, ImageError, MetadataError
from anytag.inference.results import ItemError, Tag, TagResult

logger = logging.getLogger(__name__)

#: batches that are decoded ahead of the model
AHEAD = 2

_NOT_FINITE = "the model gave scores that are no numbers (NaN); try float32"

T = TypeVar("T")


class Decoded(Protocol):
    """What a loader returns, see `anytag.data.images.LoadedImage`."""

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """RGB [S, S, 3], the same S for all images of a run."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def sha256(self) -> str | None: ...


Scores = npt.NDArray[np.float32]
#: pixels uint8 [B, S, S, 3] -> sigmoid scores float32 [B, T], or these and B captions
Score = Callable[[npt.NDArray[np.uint8]], Scores | tuple[Scores, Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Generic[T]):
    """Scores of one item, or the reason why there are none."""

    item: T
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    #: float32 [num_tags]; None when ``error`` is set
    scores: npt.NDArray[np.float32] | None = None
    caption: str | None = None
    error: ItemError | None = None

    def result(
        self,
        path: str | None,
        model: str,
        select: Callable[[npt.NDArray[np.float32]], tuple[Tag, ...]],
    ) -> TagResult:
        """The tags that ``select`` takes from the scores [num_tags], as a `TagResult`."""
        return TagResult(
            path=path,
            sha256=self.sha256,
            width=self.width,
            height=self.height,
            model=model,
            tags=() if self.scores is None else select(self.scores),
            scores=self.scores,
            caption=self.caption,
            error=self.error,
        )


def stream(
    items: Iterable[T],
    *,
    load: Callable[[T], Decoded],
    score: Score,
    batch_size: int = 32,
    workers: int = 4,
    pad_to: int = 1,
    partial: bool = False,
) -> Generator[Scored[T], None, None]:
    """Score items in order.

    Args:
        items: anything that ``load`` understands; consumed lazily, in the caller's thread
        load: decodes one item, in several threads at a time; what it raises becomes the
            ``error`` of that item
        score: the model, called in the caller's thread; what it raises is raised
        batch_size: most images in one call of ``score``, >= 1
        workers: decoding threads, >= 1
        pad_to: black images are added until the number in a call of ``score`` is a multiple of
            this. On the CPU the last bits of a score depend on how many images are computed
            together (measured: up to 1e-7), and on nothing else in the batch: with as many as the
            model takes at once, a resumed run has the bits of an uninterrupted one.
        partial: scores are NaN for tags that were not asked; without it any NaN is an error

    Yields:
        One `Scored` for each item. Closing the generator early stops the threads as soon as the
        images being decoded are done.
    """
    source = iter(items)
    window = batch_size * AHEAD
    waiting: deque[tuple[T, Future[Decoded]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="anytag-decode")
    try:
        while True:
            for item in islice(source, window - len(waiting)):
                waiting.append((item, pool.submit(load, item)))
            if not waiting:
                return
            batch = [_wait(*waiting.popleft()) for _ in range(min(batch_size, len(waiting)))]
            for item in islice(source, window - len(waiting)):  # decoded while the model works
                waiting.append((item, pool.submit(load, item)))
            yield from _score_batch(batch, score, pad_to, partial)
            del batch
    finally:
        pool.shutdown(cancel_futures=True)


def item_error(error: Exception) -> ItemError:
    """The error record of an exception; its type is a stable word."""
    match error:
        case ImageError():
            kind = error.kind
        case FetchError():
            kind = "fetch"
        case MetadataError():
            kind = "metadata"
        case MemoryError():
            kind = "out_of_memory"
        case _:
            kind = "unexpected"
    message = str(error) if kind != "unexpected" else f"{type(error).__name__}: {error}"
    # A file name inside may hold bytes that are no Unicode.
    return ItemError(type=kind, message=message.encode("utf-8", "backslashreplace").decode())


def _wait(item: T, future: Future[Decoded]) -> tuple[T, Decoded | ItemError]:
    try:
        return item, future.result()
    except Exception as error:
        found = item_error(error)
        if found.type == "unexpected":
            logger.debug("cannot load %r", item, exc_info=True)
        return item, found


def _score_batch(
    batch: list[tuple[T, Decoded | ItemError]], score: Score, pad_to: int, partial: bool
) -> Iterator[Scored[T]]:
    images = [loaded.pixels for _, loaded in batch if not isinstance(loaded, ItemError)]
    rows: Iterator[tuple[Scores, str | None]] = iter(())
    if images:
        padding = [np.zeros_like(images[0])] * (-len(images) % pad_to)
        answer = score(np.stack(images + padding))
        scored, captions = answer if isinstance(answer, tuple) else (answer, repeat(None))
        rows = iter(zip(scored, captions, strict=False))
    for item, loaded in batch:
        if isinstance(loaded, ItemError):
            yield Scored(item=item, error=loaded)
            continue
        scores, caption = next(rows)
        yield scored_item(item, loaded, scores, caption, partial=partial)


def scored_item(
    item: T,
    loaded: Decoded,
    scores: Scores,
    caption: str | None = None,
    *,
    partial: bool = False,
) -> Scored[T]:
    """One item with its scores [num_tags], or with an error where they are no numbers.

    With ``partial``, some may be NaN, though not all.
    """
    finite = np.isfinite(scores)
    good = bool(finite.any() if partial else finite.all())
    return Scored(
        item=item,
        width=loaded.width,
        height=loaded.height,
        sha256=loaded.sha256,
        scores=scores if good else None,
        caption=caption if good else None,
        error=None if good else ItemError(type="not_finite", message=_NOT_FINITE),
    )
