"""Whether scores mean what they say: of the decisions with score 0.8, 80 % should be right.

Source: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning (AAAI 2015),
for two outcomes: each photo and tag is one decision, its score the probability that the tag is
true. (Guo et al., arXiv 1706.04599, bin the winning class of one label instead.)

Shapes: N photos, T tags, K bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anytag.evaluation.arrays import Scores, Truth, Values, check, ratio
from anytag.evaluation.ranking import CHUNK


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Scores against how often they are right, in bins of equal width."""

    #: expected calibration error: mean over decisions of |score - part that is true| of their bin
    error: float
    #: mean score of each bin [K]; NaN where it is empty
    score: Values
    #: part that is true in each bin [K]; NaN where it is empty
    true: Values
    #: decisions in each bin [K]
    count: Values


def reliability(
    scores: Scores, truth: Truth, known: Truth | None = None, *, num_bins: int = 15
) -> Reliability | None:
    """Calibration of probabilities.

    Args:
        scores: [N, T] in [0, 1]
        truth: [N, T]
        known: [N, T], false where the truth is not known; None = everywhere
        num_bins: of equal width; bin k holds (k/K, (k+1)/K], the first one 0 as well

    Returns:
        None where scores are no probabilities (one is outside [0, 1]) or there are none
    """
    check(scores, truth, 2, known)
    if not scores.size or scores.min() < 0.0 or scores.max() > 1.0:
        return None
    edges = np.linspace(0, 1, num_bins + 1)[1:-1].astype(scores.dtype)
    count, summed, true = np.zeros(num_bins), np.zeros(num_bins), np.zeros(num_bins)
    step = max(1, CHUNK // scores.shape[1])
    for start in range(0, len(scores), step):
        part, part_truth = scores[start : start + step], truth[start : start + step]
        if known is not None:
            part, part_truth = (
                part[known[start : start + step]],
                part_truth[known[start : start + step]],
            )
        part, part_truth = part.ravel(), part_truth.ravel()
        bins = np.searchsorted(edges, part, side="left")
        count += np.bincount(bins, minlength=num_bins)
        summed += np.bincount(bins, part, minlength=num_bins)
        true += np.bincount(bins, part_truth, minlength=num_bins)
    error = np.abs(summed - true).sum() / max(1.0, count.sum())
    empty = count == 0
    return Reliability(
        error=float(error),
        score=np.where(empty, np.nan, ratio(summed, count)),
        true=np.where(empty, np.nan, ratio(true, count)),
        count=count,
    )
