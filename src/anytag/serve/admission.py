"""Back-pressure: how much is in the house, whether it can be done in time, when to come again.

All but `Pace.note` runs in the event loop's thread, so nothing is locked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

#: seconds of ``Retry-After``
_LONGEST = 60
#: weight of the latest batch in the pace
_LATEST = 0.2


class BusyError(Exception):
    """There is no room now."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too much work at the moment; come again in {retry_after} s")
        self.retry_after = retry_after


class Pace:
    """Seconds of a model's time that an image has taken of late."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def note(self, images: int, seconds: float) -> None:
        """A batch is done; called in the model's thread."""
        latest = seconds / images
        self.seconds += (_LATEST if self.seconds else 1.0) * (latest - self.seconds)


class Admission:
    """Counts what was let in and has not left.

    An image is refused too where those before it will take all of its time: whoever waits in vain
    would only make the others wait longer.

    Args:
        max_images: at a time
        max_bytes: at a time
        max_seconds: that the images before may take
        pace: of the models
    """

    def __init__(self, *, max_images: int, max_bytes: int, max_seconds: float, pace: Pace) -> None:
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._pace = pace
        self.num_images = 0
        self.num_bytes = 0

    @contextmanager
    def enter(self) -> Iterator[Ticket]:
        """Room for one image while the block lasts.

        Raises:
            BusyError: there is none
        """
        ticket = Ticket(self)
        try:
            ticket.add_images(1)
            yield ticket
        finally:
            ticket.leave()

    def take(self, images: int, num_bytes: int) -> None:
        """Let in.

        Raises:
            BusyError: there is no room
        """
        full = self.num_images + images > self._max_images
        late = images > 0 and self._seconds > self._max_seconds
        if full or late or self.num_bytes + num_bytes > self._max_bytes:
            raise BusyError(self.retry_after)
        self.num_images += images
        self.num_bytes += num_bytes

    def give_back(self, images: int, num_bytes: int) -> None:
        """Let out."""
        self.num_images -= images
        self.num_bytes -= num_bytes

    @property
    def _seconds(self) -> float:
        """Until about all that is here now will be done."""
        return self.num_images * self._pace.seconds

    @property
    def retry_after(self) -> int:
        """Seconds in which about half of what is here now will be done."""
        return min(_LONGEST, max(1, math.ceil(self._seconds / 2)))


class Ticket:
    """What one request has been given."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._images = 0
        self._bytes = 0

    def add_images(self, num: int) -> None:
        """More images.

        Raises:
            BusyError: there is no room
        """
        self._admission.take(num, 0)
        self._images += num

    def add_bytes(self, num: int) -> None:
        """More bytes.

        Raises:
            BusyError: there is no room
        """
        self._admission.take(0, num)
        self._bytes += num

    def leave(self) -> None:
        """Give all back."""
        self._admission.give_back(self._images, self._bytes)
        self._images = self._bytes = 0
