"""RAM++'s rows: the description embeddings of each tag, without torch.

With torch they are `anytag.models.reweight.Descriptions`; both are `Grouped`.

Shapes: T tags, K descriptions of a tag, E text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

Self = TypeVar("Self")


@runtime_checkable
class Grouped(Protocol):
    """Rows that are more than one array: `Descriptions` and `DescriptionArrays`."""

    def take(self: Self, tags: list[int]) -> Self:
        """Those of some tags, in this order."""

    def join(self: Self, other: Self) -> Self:
        """Those of this and then of the other."""


@dataclass(frozen=True, slots=True)
class DescriptionArrays:
    """Description embeddings of T tags for exported models, padded to the same number K."""

    #: float32 [T, K, E]; what is behind a tag's own number is not looked at
    values: npt.NDArray[np.float32]
    #: int64 [T]: descriptions of each tag
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, found: Sequence[npt.NDArray[np.float32]]) -> DescriptionArrays:
        """From [K, E] of each tag."""
        counts = np.array([len(one) for one in found], np.int64)
        values = np.zeros((len(found), counts.max(), found[0].shape[1]), np.float32)
        for row, one in zip(values, found, strict=True):
            row[: len(one)] = one
        return cls(values, counts)

    def take(self, tags: list[int]) -> DescriptionArrays:
        """Those of some tags, in this order."""
        return DescriptionArrays(self.values[tags], self.counts[tags])

    def join(self, other: DescriptionArrays) -> DescriptionArrays:
        """Those of this and then of the other."""
        most = max(self.values.shape[1], other.values.shape[1])
        parts = [
            np.pad(one.values, ((0, 0), (0, most - one.values.shape[1]), (0, 0)))
            for one in (self, other)
        ]
        return DescriptionArrays(np.concatenate(parts), np.concatenate([self.counts, other.counts]))
