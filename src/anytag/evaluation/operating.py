"""Precision and recall over all thresholds, and the one threshold at which a system is compared.

RAM (arXiv 2306.03514, "Evaluation Metrics") compares precision and recall after it has "manually
adjusted the threshold of different models to ensure comparability". Here the adjustment is a rule:

    best-f1          the threshold of the highest overall F1 on the test set (the default)
    precision=0.8    the lowest threshold at which the macro precision is 0.8 or more
    like=NAME        as above, with the macro precision that NAME has at its best overall F1
    0.68             this threshold

One threshold for all tags, chosen on the test set itself, for every system in the same way: figures
to compare systems, not what a user gets. That is what the model's own thresholds give, which are
reported beside it.

Shapes: N photos, T tags, K thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anytag.errors import UsageError
from anytag.evaluation.arrays import Scores, Truth, Values, check, ratio
from anytag.evaluation.ranking import CHUNK

#: most thresholds of a curve
MAX_POINTS = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """What each threshold gives, from the lowest up."""

    #: [K]
    thresholds: Values
    #: [K] each; macro means are over the tags with positives
    macro_precision: Values
    macro_recall: Values
    micro_precision: Values
    micro_recall: Values
    micro_f1: Values


def best_overall_f1(scores: Scores, truth: Truth, known: Truth | None = None) -> float:
    """The threshold of the highest overall F1, of equally good ones the highest; NaN without
    positives.

    It is the score of a positive: between two of them, F1 only falls as the threshold does.

    Args:
        scores: [N, T]
        truth: [N, T]
        known: [N, T], false where the truth is not known; None = everywhere
    """
    check(scores, truth, 2, known)
    positive = truth if known is None else truth & known
    candidates = np.unique(scores[positive])
    if not candidates.size:
        return float("nan")
    hits = np.zeros(len(candidates))
    given = np.zeros(len(candidates))
    for rows in _rows(scores):
        part = scores[rows]
        for target, mask in ((hits, positive[rows]), (given, _known(known, rows, part))):
            places = np.searchsorted(candidates, part[mask], side="right") - 1
            target += np.bincount(places[places >= 0], minlength=len(candidates))
    hits, given = hits[::-1].cumsum()[::-1], given[::-1].cumsum()[::-1]
    f1 = ratio(2 * hits, given + positive.sum())
    return float(candidates[len(f1) - 1 - int(np.argmax(f1[::-1]))])


def curve(
    scores: Scores, truth: Truth, known: Truth | None = None, *, num_points: int = MAX_POINTS
) -> Curve:
    """Macro and micro values over thresholds that are spread over the positives' scores.

    Args:
        scores: [N, T]
        truth: [N, T]
        known: [N, T], false where the truth is not known; None = everywhere
        num_points: most thresholds
    """
    check(scores, truth, 2, known)
    positive = truth if known is None else truth & known
    found = np.unique(scores[positive]).astype(np.float64)
    if len(found) > num_points:
        found = found[np.unique(np.linspace(0, len(found) - 1, num_points).round().astype(int))]
    names = ("precision", "recall")
    macro = {name: np.zeros(len(found)) for name in names}
    hits_all, given_all, num_tags = np.zeros(len(found)), np.zeros(len(found)), 0
    for tag in range(scores.shape[1]):
        mask = slice(None) if known is None else known[:, tag]
        column = np.sort(scores[mask, tag])
        own = np.sort(scores[positive[:, tag], tag])
        given = len(column) - np.searchsorted(column, found, side="left")
        hits = len(own) - np.searchsorted(own, found, side="left")
        hits_all += hits
        given_all += given
        if len(own):
            num_tags += 1
            macro["precision"] += ratio(hits, given)
            macro["recall"] += ratio(hits, len(own))
    return Curve(
        thresholds=found,
        macro_precision=macro["precision"] / max(1, num_tags),
        macro_recall=macro["recall"] / max(1, num_tags),
        micro_precision=ratio(hits_all, given_all),
        micro_recall=ratio(hits_all, positive.sum()),
        micro_f1=ratio(2 * hits_all, given_all + positive.sum()),
    )


def threshold_at_precision(found: Curve, precision: float) -> float:
    """The lowest threshold at which the macro precision is the target or above.

    Args:
        found: of one system
        precision: in (0, 1]

    Returns:
        a threshold; that of the highest macro precision where the target is never reached; NaN
        where the curve is empty
    """
    if not len(found.thresholds):
        return float("nan")
    reached = found.macro_precision >= precision
    if not reached.any():
        return float(found.thresholds[int(np.argmax(found.macro_precision))])
    return float(found.thresholds[int(np.argmax(reached))])


@dataclass(frozen=True, slots=True)
class Rule:
    """How the threshold of a comparison is chosen; see the module."""

    kind: str
    value: float = 0.0
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read ``best-f1``, ``precision=P``, ``like=NAME`` or a number.

        Raises:
            UsageError: it is none of these
        """
        key, _, value = text.strip().partition("=")
        if text.strip() == "best-f1":
            return cls("best-f1")
        if key == "like" and value:
            return cls("like", name=value)
        try:
            number = float(value if key == "precision" else text)
        except ValueError:
            number = float("nan")
        if key == "precision" and 0.0 < number <= 1.0:
            return cls("precision", number)
        if key != "precision" and np.isfinite(number):
            return cls("fixed", number)
        raise UsageError(
            f"--threshold {text!r}: expected best-f1, precision=P with P in (0, 1], like=NAME, or "
            "a number"
        )

    def __str__(self) -> str:
        match self.kind:
            case "precision":
                return f"macro precision {self.value:g}"
            case "like":
                return f"macro precision as {self.name} at its best overall F1"
            case "fixed":
                return f"{self.value:g}"
            case _:
                return "best overall F1"


def _rows(scores: Scores) -> Iterator[slice]:
    step = max(1, CHUNK // max(1, scores.shape[1]))
    for start in range(0, len(scores), step):
        yield slice(start, start + step)


def _known(known: Truth | None, rows: slice, part: npt.NDArray[np.floating]) -> Truth:
    return np.ones(part.shape, np.bool_) if known is None else known[rows]
