"""Pictures that cannot be read: counted, named, and an error only where most of them are."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from anytag.errors import TrainingError

#: examples of which at most half may fail
WINDOW = 1000
#: different pictures that are named
_MAX_NAMED = 100


class Failure(NamedTuple):
    """A picture that cannot be read."""

    image: str
    #: one of `anytag.errors.ImageError`
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class _Count:
    num: int
    failed: int


class Skipped:
    """What was left out so far by this process.

    Args:
        num_examples: of the data; of fewer than `WINDOW` all are the window
    """

    def __init__(self, num_examples: int) -> None:
        #: times that a picture could not be read: once an epoch for each
        self.total = 0
        #: the first different ones, by image
        self.failures: dict[str, Failure] = {}
        self._window = min(WINDOW, num_examples)
        self._recent: deque[_Count] = deque()

    def add(self, num: int, failures: Sequence[Failure]) -> None:
        """Count ``num`` examples, of which some failed.

        Raises:
            TrainingError: more than half of the last `WINDOW` examples failed
        """
        self.total += len(failures)
        for failure in failures:
            if len(self.failures) < _MAX_NAMED:
                self.failures.setdefault(failure.image, failure)
        self._recent.append(_Count(num, len(failures)))
        recent = sum(one.num for one in self._recent)
        while recent - self._recent[0].num >= self._window:
            recent -= self._recent.popleft().num
        failed = sum(one.failed for one in self._recent)
        if recent >= self._window and 2 * failed > recent:
            self.give_up()

    def give_up(self) -> None:
        """Say that the data cannot be used.

        Raises:
            TrainingError: always
        """
        failed = sum(one.failed for one in self._recent)
        num = sum(one.num for one in self._recent)
        example = next(reversed(self.failures.values()))
        raise TrainingError(
            f"{failed:,} of the last {num:,} pictures cannot be read, for instance: "
            f"{example.message}. Check where the pictures are (path and images of the data set)"
        )
