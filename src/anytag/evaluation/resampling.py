"""Intervals of the mAP, and of the difference of two, over sets of photos like the one measured.

What is resampled are the photos' jackknife pseudo-values (N x mAP - (N - 1) x mAP without the
photo); why stands at `anytag.evaluation.metrics.bootstrap_interval`.

Shapes: N photos, T tags.
"""

from __future__ import annotations

import numpy as np

from anytag.evaluation.arrays import Scores, Truth, Values, check, mean_known, ratio
from anytag.evaluation.ranking import CHUNK, rankings


def map_difference(
    scores: Scores,
    others: Scores,
    truth: Truth,
    *,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    known: Truth | None = None,
) -> tuple[float, float, float]:
    """mAP of ``scores`` less that of ``others`` on the same photos, and its paired interval.

    The differences of the two pseudo-values of each photo are resampled: what is hard for both
    cancels out.

    Args:
        scores: [N, T]
        others: [N, T]
        truth: [N, T]
        num_resamples: resamples of N photos with replacement
        level: part of the resamples inside, in (0, 1)
        seed: equal seeds give equal intervals
        known: as in `anytag.evaluation.metrics.mean_average_precision`

    Returns:
        difference, lower and upper end; the ends are NaN with fewer than two photos that have tags

    Raises:
        ValueError: arrays that do not fit; or ``num_resamples`` or ``level`` is out of range

    >>> truth = np.array([[True], [False], [True], [False]])
    >>> good, bad = np.array([[4.0], [1], [3], [2]]), np.array([[1.0], [4], [2], [3]])
    >>> map_difference(good, bad, truth)[0]  # 1 less the mean of 1/3 and 2/4
    0.5833333333333333
    """
    check(scores, truth, 2, known)
    check(others, truth, 2, known)
    check_resampling(num_resamples, level)
    first, values = pseudo_values(scores, truth, known)
    second, less = pseudo_values(others, truth, known)
    positive = truth if known is None else truth & known
    if positive.any(axis=1).sum() < 2:
        return first - second, float("nan"), float("nan")
    low, high = resampled_interval(first - second, values - less, num_resamples, level, seed)
    return first - second, float(low), float(high)


def check_resampling(num_resamples: int, level: float) -> None:
    """Refuse numbers out of range.

    Raises:
        ValueError: see above
    """
    if num_resamples < 1 or not 0.0 < level < 1.0:
        raise ValueError(
            "expected num_resamples >= 1 and level in (0, 1), "
            f"found num_resamples={num_resamples}, level={level}"
        )


def pseudo_values(scores: Scores, truth: Truth, known: Truth | None = None) -> tuple[float, Values]:
    """mAP, and the centred pseudo-value of each photo [N]; arguments [N, T]."""
    num_photos = len(scores)
    total, count = np.zeros(num_photos), np.zeros(num_photos)
    per_class = np.empty(scores.shape[1])
    for columns, ranking in rankings(scores, truth, known):
        without = ranking.without_each()
        total += np.nansum(without, axis=1)
        count += (~np.isnan(without)).sum(axis=1)
        per_class[columns] = ranking.average_precision()
    mean_without = ratio(total, count)
    return mean_known(per_class), (num_photos - 1) * (mean_without.mean() - mean_without)


def resampled_interval(
    measured: float,
    values: Values,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Values:
    """Lower and upper end [2] around what was measured.

    Args:
        measured: the middle
        values: centred values of the photos [N]
        num_resamples: see `map_difference`
        level: likewise
        seed: likewise
    """
    num_photos = len(values)
    random, means = np.random.default_rng(seed), np.empty(num_resamples)
    step = max(1, CHUNK // num_photos)
    for start in range(0, num_resamples, step):  # the numbers are those of one large draw
        part = means[start : start + step]
        part[:] = values[random.integers(num_photos, size=(len(part), num_photos))].mean(axis=1)
    tail = (1 - level) / 2
    ends: Values = measured + np.quantile(means, [tail, 1 - tail])
    return ends
