"""The pipeline: order, bounds, errors, and an end that leaves nothing behind."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.errors import FetchError, ImageError, MetadataError
from anytag.inference.results import Tag
from anytag.inference.stream import AHEAD, Scored, item_error, stream


@dataclass
class Picture:
    pixels: npt.NDArray[np.uint8]
    width: int = 30
    height: int = 20
    sha256: str | None = "ab"


def load(number: int) -> Picture:
    """A picture that shows its number; every seventh is broken, and some take longer."""
    if number % 7 == 3:
        raise ImageError("truncated", f"{number} is cut off")
    if number % 5 == 0:
        time.sleep(0.001)
    return Picture(np.full((2, 2, 3), number % 256, np.uint8))


def score(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The number that a picture shows, and one minus it."""
    shown = pixels[:, 0, 0, 0].astype(np.float32) / 256
    return np.stack([shown, 1 - shown], axis=1)


def workers_alive() -> int:
    return sum(thread.name.startswith("anytag-decode") for thread in threading.enumerate())


@settings(deadline=None, max_examples=30)
@given(
    total=st.integers(0, 70),
    batch_size=st.integers(1, 20),
    workers=st.integers(1, 4),
    pad_to=st.integers(1, 8),
)
def test_results_come_in_order_and_complete(
    total: int, batch_size: int, workers: int, pad_to: int
) -> None:
    sizes = []

    def counting(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        sizes.append(len(pixels))
        return score(pixels)

    found = list(
        stream(
            range(total),
            load=load,
            score=counting,
            batch_size=batch_size,
            workers=workers,
            pad_to=pad_to,
        )
    )
    assert [one.item for one in found] == list(range(total))
    for one in found:
        assert (one.error is not None) == (one.item % 7 == 3)
        if one.scores is not None:
            assert one.scores[0] == np.float32(one.item / 256)
            assert (one.width, one.height, one.sha256) == (30, 20, "ab")
    assert all(size % pad_to == 0 and size < batch_size + pad_to for size in sizes)
    assert workers_alive() == 0


def test_memory_is_bounded_on_an_endless_source() -> None:
    """No more than three batches are loaded and not yet given out."""
    loaded = 0
    lock = threading.Lock()

    def counting(number: int) -> Picture:
        nonlocal loaded
        with lock:
            loaded += 1
        return Picture(np.zeros((2, 2, 3), np.uint8))

    batch_size = 5
    results = stream(itertools.count(), load=counting, score=score, batch_size=batch_size)
    for given_out in range(100):
        next(results)
        assert loaded - given_out <= (AHEAD + 1) * batch_size
    results.close()
    assert workers_alive() == 0


def test_decoding_goes_on_while_the_model_works() -> None:
    """The second batch is loaded before the first is scored to its end."""
    second_is_loaded = threading.Event()

    def watching(number: int) -> Picture:
        if number == 7:
            second_is_loaded.set()
        return Picture(np.zeros((2, 2, 3), np.uint8))

    def waiting(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        assert second_is_loaded.wait(timeout=30)
        return score(pixels)

    assert len(list(stream(range(8), load=watching, score=waiting, batch_size=4))) == 8


def test_closing_early_stops_the_work() -> None:
    loaded = []

    def noting(number: int) -> Picture:
        loaded.append(number)
        return Picture(np.zeros((2, 2, 3), np.uint8))

    results = stream(range(10_000), load=noting, score=score, batch_size=4, workers=2)
    next(results)
    results.close()
    assert workers_alive() == 0
    assert len(loaded) <= (AHEAD + 1) * 4


@pytest.mark.parametrize("error", [RuntimeError("model"), KeyboardInterrupt()])
def test_what_the_model_raises_is_raised(error: BaseException) -> None:
    def broken(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        raise error

    with pytest.raises(type(error)):
        list(stream(range(50), load=load, score=broken, batch_size=4))
    assert workers_alive() == 0


def test_what_the_source_raises_is_raised() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise RuntimeError("source")

    with pytest.raises(RuntimeError, match="source"):
        list(stream(source(), load=load, score=score))
    assert workers_alive() == 0


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ImageError("empty", "a.jpg is empty"), "empty", "a.jpg is empty"),
        (FetchError("refused"), "fetch", "refused"),
        (MetadataError("no XMP"), "metadata", "no XMP"),
        (MemoryError(), "out_of_memory", ""),
        (ValueError("odd"), "unexpected", "ValueError: odd"),
        (OSError("half \udce9"), "unexpected", r"OSError: half \udce9"),
    ],
)
def test_error_records(error: Exception, kind: str, message: str) -> None:
    found = item_error(error)
    assert (found.type, found.message) == (kind, message)
    found.message.encode("utf-8")


def test_any_exception_of_a_loader_is_a_result() -> None:
    def broken(number: int) -> Picture:
        raise ZeroDivisionError

    (one,) = stream([1], load=broken, score=score)
    assert one.error is not None
    assert one.error.type == "unexpected"


def test_scores_that_are_no_numbers_are_an_error() -> None:
    def overflowing(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        scores = score(pixels)
        scores[1, 0] = np.nan
        return scores

    found = list(stream([0, 1, 2], load=load, score=overflowing))
    assert [one.error and one.error.type for one in found] == [None, "not_finite", None]
    assert found[1].scores is None


def test_result() -> None:
    tag = Tag(name="cat", score=0.9, threshold=0.5, id=0)
    scores = np.array([0.9], np.float32)
    one = Scored(item="a.jpg", width=3, height=2, sha256="ab", scores=scores)
    result = one.result("a.jpg", "nano-v0", lambda scores: (tag,))
    assert result.tags == (tag,)
    assert result.scores is scores
    assert (result.path, result.width, result.height, result.model) == ("a.jpg", 3, 2, "nano-v0")
