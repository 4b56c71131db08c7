"""Thresholds of tags from labelled photos: for a target precision, or for the best F1.

The rules:

*   A tag's own choice is the lowest threshold at which its precision on the photos reaches the
    target (where it never does, the one of its highest precision), or that of its best F1. It lies
    in the middle between two scores that occur.
*   The global threshold is chosen in the same way over all tags together.
*   A tag with few photos is drawn to the global threshold: weight n / (n + 10) for its own choice
    with n photos, 1 - that for the global one, between the scores' log-odds. A tag without photos
    gets the global threshold.
*   A threshold chosen on photos looks better on these than it is. So the photos are halved, each
    half gets thresholds chosen on the other, and precision and recall are counted over both: the
    held-out figures, with Wilson intervals for each tag. The thresholds that are saved are chosen
    on all photos.

Weak labels name some of what a photo shows and not all (captions, alt texts, users' keywords). A
tag that is right and not named then counts as wrong: precision is a lower bound, so a target
precision gives thresholds that are higher than need be. F1 would be wrong too: what is maximised
instead is recall ** 2 / (part of the photos that get the tag), which needs no negatives (Lee and
Liu, Learning with Positive and Unlabeled Examples Using Weighted Logistic Regression, ICML 2003),
and is proportional to precision x recall if photos are named at random.

Shapes: N photos, T tags.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anytag.evaluation.arrays import Scores, Truth, Values, check, mean_known, ratio
from anytag.evaluation.metrics import PrecisionRecall, precision_recall

#: photos at which a tag's own choice and the global threshold count the same
SHRINKAGE = 10
#: digits of a threshold that are kept
DIGITS = 6
#: for 95 %
_Z = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What thresholds are chosen for."""

    #: in (0, 1]; None = the best F1
    target_precision: float | None = None
    #: labels name some of what a photo shows and not all
    weak: bool = False

    def __post_init__(self) -> None:
        if self.target_precision is not None and not 0.0 < self.target_precision <= 1.0:
            raise ValueError(f"target_precision {self.target_precision} is outside (0, 1]")

    def __str__(self) -> str:
        if self.target_precision is not None:
            return f"precision {self.target_precision:g}" + (" or more" if self.weak else "")
        return "best recall^2 / part given (weak labels)" if self.weak else "best F1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Thresholds:
    """What was chosen."""

    #: [T]
    values: Values
    #: of all tags together
    overall: float
    #: [T], "own", "shrunk" (few photos), "global" (none), "not reached"
    reasons: tuple[str, ...]
    #: photos of each tag [T]
    positives: npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Precision and recall of given tags."""

    result: PrecisionRecall
    #: mean precision over the tags that were given at all; NaN if none was. The macro mean of
    #: ``result`` counts a tag that was never given as 0, and so falls as thresholds rise.
    precision_if_given: float
    #: tags that were given at all
    num_given: int

    @classmethod
    def of(cls, given: Truth, truth: Truth, known: Truth | None) -> Outcome:
        """Measure decisions [N, T]."""
        counted = given if known is None else given & known
        often = counted.sum(axis=0)
        parts = ratio((counted & truth).sum(axis=0), often)
        return cls(
            result=precision_recall(given.astype(np.float32), truth, 0.5, known=known),
            precision_if_given=mean_known(np.where(often > 0, parts, np.nan)),
            num_given=int((often > 0).sum()),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Thresholds and what they do."""

    aim: Aim
    thresholds: Thresholds
    #: with the thresholds before
    before: Outcome
    #: with the new ones, on the photos on which they were chosen
    after: Outcome
    #: with thresholds chosen on the other half of the photos
    held_out: Outcome
    #: held out, of each tag [T]: given and right
    given: npt.NDArray[np.intp]
    hits: npt.NDArray[np.intp]


def calibrate(
    scores: Scores,
    truth: Truth,
    before: Scores,
    aim: Aim,
    *,
    known: Truth | None = None,
    seed: int = 0,
) -> Calibration:
    """Choose thresholds and measure them.

    Args:
        scores: [N, T] in [0, 1]
        truth: [N, T]
        before: thresholds so far [T]
        aim: what for
        known: [N, T], false where the truth is not known; None = everywhere
        seed: of the halves

    Raises:
        ValueError: arrays that do not fit, fewer than two photos, or no positive at all
    """
    check(scores, truth, 2, known)
    positive = truth if known is None else truth & known
    if len(scores) < 2 or not positive.any():
        raise ValueError("expected two photos or more, and one tag on them at least")
    chosen = choose_thresholds(scores, truth, aim, known)
    given = np.zeros(scores.shape, np.bool_)
    half = np.random.default_rng(seed).permutation(len(scores)) % 2 == 0
    for rows in (half, ~half):
        other = ~rows
        part = None if known is None else known[other]
        limits = choose_thresholds(scores[other], truth[other], aim, part).values
        given[rows] = scores[rows] >= limits.astype(scores.dtype)
    counted = given if known is None else given & known
    return Calibration(
        aim=aim,
        thresholds=chosen,
        before=Outcome.of(scores >= before.astype(scores.dtype), truth, known),
        after=Outcome.of(scores >= chosen.values.astype(scores.dtype), truth, known),
        held_out=Outcome.of(given, truth, known),
        given=counted.sum(axis=0),
        hits=(counted & truth).sum(axis=0),
    )


def choose_thresholds(
    scores: Scores, truth: Truth, aim: Aim, known: Truth | None = None
) -> Thresholds:
    """A threshold for each tag, by the rules of this module; arguments as `calibrate`."""
    every = np.ones_like(truth) if known is None else known
    positives = (truth & every).sum(axis=0)
    overall, _ = best_cut(scores[every], truth[every], aim)
    values, reasons = np.empty(scores.shape[1]), []
    for tag in range(scores.shape[1]):
        rows = every[:, tag]
        own, reached = best_cut(scores[rows, tag], truth[rows, tag], aim)
        weight = positives[tag] / (positives[tag] + SHRINKAGE)
        values[tag] = overall if positives[tag] == 0 else _between(own, overall, weight)
        if positives[tag] and not reached:
            values[tag] = max(own, overall)
        reasons.append(_reason(int(positives[tag]), reached))
    values = np.round(values, DIGITS)
    return Thresholds(
        values=values,
        overall=round(overall, DIGITS),
        reasons=tuple(reasons),
        positives=positives,
    )


def best_cut(scores: Scores, truth: Truth, aim: Aim) -> tuple[float, bool]:
    """The threshold of one tag, and whether it reaches the target.

    Args:
        scores: [N]
        truth: [N]
        aim: what for

    Returns:
        the middle between two scores; 1.0 and False without positives

    >>> best_cut(np.array([0.9, 0.7, 0.5]), np.array([True, True, False]), Aim())
    (0.6, True)
    """
    if not truth.any():
        return 1.0, False
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = np.cumsum(truth[order])[last].astype(np.float64)
    given = last + 1.0
    precision, recall = hits / given, hits / truth.sum()
    reached = True
    if aim.target_precision is not None:
        good = np.flatnonzero(precision >= aim.target_precision)
        reached = bool(good.size)
        # of equal precisions the lowest threshold, which finds the most
        place = good[-1] if reached else len(last) - 1 - int(np.argmax(precision[::-1]))
    else:
        worth = recall**2 / given if aim.weak else ratio(2 * hits, given + truth.sum())
        place = int(np.argmax(worth))
    at = ranked[last[place]]
    below = ranked[last[place] + 1] if place + 1 < len(last) else at
    return float((at + below) / 2), reached


def _between(own: float, overall: float, weight: float) -> float:
    """The weighted mean of the log-odds, as a probability."""

    def odds(score: float) -> float:
        score = min(max(score, 1e-6), 1 - 1e-6)
        return math.log(score / (1 - score))

    return 1 / (1 + math.exp(-(weight * odds(own) + (1 - weight) * odds(overall))))


def _reason(positives: int, reached: bool) -> str:
    if positives == 0:
        return "global"
    if not reached:
        return "not reached"
    return "own" if positives >= 9 * SHRINKAGE else "shrunk"


def wilson_interval(hits: int, number: int) -> tuple[float, float]:
    """The 95 % interval of a part; (0, 1) of nothing.

    Source: Wilson (1927), Probable Inference, the Law of Succession, and Statistical Inference.

    >>> [round(end, 3) for end in wilson_interval(8, 10)]
    [0.49, 0.943]
    """
    if number == 0:
        return 0.0, 1.0
    part, square = hits / number, _Z**2
    middle = (part + square / (2 * number)) / (1 + square / number)
    spread = math.sqrt(part * (1 - part) / number + square / (4 * number**2))
    spread *= _Z / (1 + square / number)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def merge_columns(
    truth: Truth, groups: Sequence[Sequence[int]], known: Truth | None
) -> tuple[Truth, Truth | None]:
    """Classes that are one tag of the model: the photo has it if it has one of them.

    Args:
        truth: [N, classes]
        groups: columns of each tag
        known: as the truth, or None
    """
    merged = np.stack([truth[:, list(columns)].any(axis=1) for columns in groups], axis=1)
    if known is None:
        return merged, None
    parts = [known[:, list(columns)].all(axis=1) for columns in groups]
    return merged, np.stack(parts, axis=1) | merged
