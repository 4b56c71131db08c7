"""Back-pressure by numbers of images and of bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytag.serve.admission import Admission, BusyError, Pace


def admitting(max_images: int = 9, max_bytes: int = 100, **options: Any) -> Admission:
    return Admission(
        max_images=max_images,
        max_bytes=max_bytes,
        **({"max_seconds": 30, "pace": Pace()} | options),
    )


def test_images_are_counted_in_and_out() -> None:
    admission = admitting(max_images=3)
    with admission.enter() as ticket:
        ticket.add_images(2)
        assert admission.num_images == 3
        with pytest.raises(BusyError), admission.enter():
            pass
        with pytest.raises(BusyError):
            ticket.add_images(1)
    assert admission.num_images == 0


def test_bytes_are_counted_in_and_out() -> None:
    admission = admitting()
    with admission.enter() as one, admission.enter() as other:
        one.add_bytes(60)
        with pytest.raises(BusyError):
            other.add_bytes(41)
        other.add_bytes(40)
        assert admission.num_bytes == 100
    assert admission.num_bytes == 0


def test_the_pace_follows_the_batches() -> None:
    pace = Pace()
    pace.note(4, 2.0)
    assert pace.seconds == 0.5
    for _ in range(60):
        pace.note(2, 0.2)
    assert pace.seconds == pytest.approx(0.1, rel=0.01)


def test_when_to_come_again_follows_the_pace() -> None:
    pace = Pace()
    admission = admitting(max_images=1000, pace=pace, max_seconds=1000)
    assert admission.retry_after == 1  # nothing is known yet
    pace.note(1, 0.5)
    with admission.enter() as ticket:
        ticket.add_images(39)
        assert admission.retry_after == 10
        ticket.add_images(900)
        assert admission.retry_after == 60


def test_who_would_wait_in_vain_is_refused_at_once() -> None:
    pace = Pace()
    pace.note(1, 4.0)
    admission = admitting(pace=pace, max_seconds=10)
    with admission.enter() as ticket:
        ticket.add_images(2)
        with pytest.raises(BusyError), admission.enter():
            pass
        ticket.add_bytes(50)  # those that are in go on
    pace.note(1, 1e6)
    with admission.enter():  # one is always let in: else nothing would ever be faster
        assert admission.num_images == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.booleans()), max_size=20))
def test_what_goes_in_comes_out(steps: list[tuple[int, int, bool]]) -> None:
    admission = admitting(max_images=12)
    for images, num_bytes, fails in steps:
        try:
            with admission.enter() as ticket:
                ticket.add_images(images)
                ticket.add_bytes(num_bytes)
                assert admission.num_images <= 12
                assert admission.num_bytes <= 100
                if fails:
                    raise BusyError(1)
        except BusyError:
            pass
        assert (admission.num_images, admission.num_bytes) == (0, 0)
