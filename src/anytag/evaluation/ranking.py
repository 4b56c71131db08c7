"""Photos of each tag from the highest score down: sorted once, asked many times.

All photos of an equal score are accepted together, so that the order of ties does not matter.
Decisions that nobody knows (`known` false) are passed over as if the photo were not there.

Shapes: N photos, T tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anytag.evaluation.arrays import Scores, Truth, Values, ratio

#: decisions that are ranked at once: bounds the memory to some hundred megabytes
CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Some tags of all photos."""

    #: photo at each rank, [N, T]
    order: npt.NDArray[np.intp]
    #: first and last rank of the same score, [N, T]
    starts: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    #: truth at each rank, [N, T]; false where it is not known
    truth: Truth
    #: whether the truth is known at each rank, [N, T]; None = everywhere
    known: Truth | None

    @classmethod
    def of(cls, scores: Scores, truth: Truth, known: Truth | None = None) -> Ranking:
        """Sort; arguments [N, T]."""
        order = np.argsort(-scores, axis=0, kind="stable")
        ranked = np.take_along_axis(scores, order, axis=0)
        num_photos = len(scores)
        ranks = np.broadcast_to(np.arange(num_photos)[:, None], ranked.shape)
        same = ranked[1:] == ranked[:-1]
        ends, starts = ranks.copy(), ranks.copy()
        ends[:-1][same] = num_photos
        starts[1:][same] = 0
        truth = np.take_along_axis(truth, order, axis=0)
        if known is not None:
            known = np.take_along_axis(known, order, axis=0)
            truth = truth & known
        return cls(
            order,
            np.maximum.accumulate(starts, axis=0),
            np.minimum.accumulate(ends[::-1], axis=0)[::-1],
            truth,
            known,
        )

    def average_precision(self) -> Values:
        """AP [T]; NaN without positives."""
        _, precision = self._steps()
        total = self.truth.sum(axis=0)
        summed = np.where(self.truth, precision, 0.0).sum(axis=0)
        result: Values = np.where(total > 0, ratio(summed, total), np.nan)
        return result

    def without_each(self) -> Values:
        """AP [N, T] without one photo each: row i is that of all photos but i.

        In closed form. A photo without the tag takes one from the number accepted at each positive
        from its score down: hits / (number - 1). A positive takes itself out of the mean and one
        from both numbers there: (hits - 1) / (number - 1). So two running sums over the ranks give
        all N values of a tag.
        """
        hits, precision = self._steps()
        accepted = np.take_along_axis(self._accepted(), self.ends, axis=0)
        fewer = accepted - 1.0
        zeros = np.zeros((1, self.truth.shape[1]))
        before = np.concatenate([zeros, np.cumsum(np.where(self.truth, precision, 0.0), axis=0)])
        as_negative = _suffix(np.where(self.truth, ratio(hits, fewer), 0.0))
        own = np.where(self.truth, ratio(hits - 1.0, fewer), 0.0)
        as_positive = _suffix(own)
        above = np.take_along_axis(before, self.starts, axis=0)
        total = self.truth.sum(axis=0)
        negative = ratio(above + np.take_along_axis(as_negative, self.starts, axis=0), total)
        positive = ratio(
            above + np.take_along_axis(as_positive, self.starts, axis=0) - own, total - 1
        )
        positive[:, total == 1] = np.nan
        ranked = np.where(self.truth, positive, negative)
        if self.known is not None:
            ranked = np.where(self.known, ranked, self.average_precision())
        ranked[:, total == 0] = np.nan
        result = np.empty_like(ranked)
        np.put_along_axis(result, self.order, ranked, axis=0)
        return result

    def _accepted(self) -> Values:
        """Photos accepted at each rank, [N, T]."""
        if self.known is None:
            return np.broadcast_to(np.arange(1.0, len(self.truth) + 1)[:, None], self.truth.shape)
        return np.cumsum(self.known, axis=0, dtype=np.float64)

    def _steps(self) -> tuple[Values, Values]:
        """Hits and precision at each rank's score, [N, T]."""
        hits = np.cumsum(self.truth, axis=0, dtype=np.float64)
        hits = np.take_along_axis(hits, self.ends, axis=0)
        accepted = np.take_along_axis(self._accepted(), self.ends, axis=0)
        return hits, ratio(hits, accepted)


def rankings(
    scores: Scores, truth: Truth, known: Truth | None = None
) -> Iterator[tuple[slice, Ranking]]:
    """All tags [N, T], some at a time: their columns and their ranking."""
    width = max(1, CHUNK // max(1, len(scores)))
    for start in range(0, scores.shape[1], width):
        columns = slice(start, start + width)
        part = None if known is None else known[:, columns]
        yield columns, Ranking.of(scores[:, columns], truth[:, columns], part)


def _suffix(values: Values) -> Values:
    """Sums from each rank to the last, [N, T]."""
    return np.cumsum(values[::-1], axis=0)[::-1]
