"""Which labels of a set are probably missing or wrong: scores and labels in, confidences out.

Sources: confident learning (Northcutt et al., arXiv 1911.00068) for the limits of each tag; Elkan
and Noto (KDD 2008) for how many labels are missing. Each tag of each picture is a decision by
itself: given or not, and scored by a model.

missing   A label that is not given. Its rank is the probability that a label with this score is
          given: a logistic regression of "given" on the score's log-odds, with one slope for all
          tags and an offset for each, which a penalty draws to nought, so that rare tags follow the
          model. Made from the other pictures (five parts), so that no label speaks for itself.
wrong     A label that is given. Its rank is how far the score's log-odds lie below the middle of
          the tag's two limits: the mean score of the pictures that have the tag, and of those that
          have it not. Tags with few pictures are drawn to the means of all tags, with the weight of
          five pictures. How frequent a tag is plays no part: a frequent tag is also wrongly given
          more often.

Both become probabilities by one shift each, so that their sum is the number of faults expected:

missing   The decisions that score no lower than the highest tenth of the given labels are taken to
          be present. Of these a share c is given; so c of all present ones are, and of n given
          labels n (1 - c) / c are missing.
wrong     A wrong label scores like one that is not given. A quarter of those score below their
          tag's lower quartile, so four times the given labels that score as low are wrong. Counted
          over the tags that fewer than half of the pictures have (where more have it, many of the
          others lack the label only) and taken to hold for all. No more, however, than confident
          learning counts: given labels that score no higher than the tag's limit for absence. Given
          labels that the model fails to see count in both, so the smaller number is taken.

These make missing and wrong labels comparable, and one list can hold both.

Shapes: N pictures, T tags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.bool_]
#: scores of 0 and 1 have log-odds like these
_EPSILON = 1e-6
#: pictures that the means of all tags count for
_PRIOR = 5.0
#: penalty on the square of a tag's offset: its standard deviation is 0.3
_PENALTY = 10.0
_NUM_PARTS = 5
#: decisions that the regression is made from, at most
_MAX_DECISIONS = 4_000_000
#: no more than this share of the labels is taken to be faulty
_MOST = 0.5
_TOP, _BOTTOM = 0.9, 0.25
#: tags of more pictures than this share say nothing of how many labels are wrong
_COMMON = 0.5
_MAX_STEPS = 30


@dataclass(frozen=True, slots=True, eq=False)  # eq: arrays have no single truth value
class Faults:
    """How likely each label is faulty."""

    #: [N, T]: that a label which is not given is missing, that one which is given is wrong
    confidence: Floats
    #: tags that were judged, [T]; where the model scores pictures with the tag no higher than
    #: others it knows nothing, and all confidences are 0
    judged: Matrix
    expected_missing: float
    expected_wrong: float


def find_faults(scores: npt.ArrayLike, given: Matrix) -> Faults:
    """The confidence of a fault, for each tag of each picture.

    Args:
        scores: probabilities [N, T], none NaN
        given: the labels, bool [N, T]

    Raises:
        ValueError: the shapes differ
    """
    odds = log_odds(scores)
    if odds.shape != given.shape:
        raise ValueError(f"scores are {list(odds.shape)}, labels {list(given.shape)}")
    confidence = np.zeros(odds.shape)
    if not given.any() or given.all():
        return Faults(confidence, np.zeros(given.shape[1], bool), 0.0, 0.0)
    present, absent = limits(np.asarray(scores, np.float64), given)
    judged = present > absent
    given_odds, slope = _likely_given(odds, given)
    below = slope * ((log_odds(present) + log_odds(absent)) / 2 - odds)
    missing, wrong = ~given & judged, given & judged
    num_low = int((wrong & (np.asarray(scores) <= absent)).sum())
    num_wrong = min(_count_wrong(odds, given, judged), float(num_low))
    num_missing = _count_missing(given_odds[:, judged], given[:, judged], num_wrong)
    confidence[missing] = _shifted(given_odds[missing], num_missing)
    confidence[wrong] = _shifted(below[wrong], num_wrong)
    return Faults(confidence, judged, float(confidence[missing].sum()), float(num_wrong))


def log_odds(probability: npt.ArrayLike) -> Floats:
    """Log-odds of probabilities; those of 0 and 1 are finite too."""
    bounded = np.clip(np.asarray(probability, np.float64), _EPSILON, 1 - _EPSILON)
    odds: Floats = np.log(bounded / (1 - bounded))
    return odds


def alternatives(scores: npt.ArrayLike) -> Floats:
    """Scores of tags of which each picture has exactly one: a softmax of their log-odds, [N, T]."""
    odds = log_odds(scores)
    weights = np.exp(odds - odds.max(axis=1, keepdims=True))
    shares: Floats = weights / weights.sum(axis=1, keepdims=True)
    return shares


def limits(scores: Floats, given: Matrix) -> tuple[Floats, Floats]:
    """Mean score of each tag where it is given, and where not, drawn to the means of all tags.

    Args:
        scores: [N, T]
        given: [N, T], not all the same

    Returns:
        two arrays [T]
    """
    num = given.sum(axis=0)
    present = (np.where(given, scores, 0).sum(axis=0) + _PRIOR * scores[given].mean()) / (
        num + _PRIOR
    )
    absent = (np.where(given, 0, scores).sum(axis=0) + _PRIOR * scores[~given].mean()) / (
        len(given) - num + _PRIOR
    )
    return present, absent


def _likely_given(odds: Floats, given: Matrix) -> tuple[Floats, float]:
    """Log-odds of "given" [N, T], each from the labels of other pictures; and the mean slope."""
    num = len(odds)
    order = np.random.default_rng(0).permutation(num)
    num_parts = min(_NUM_PARTS, num)
    part = np.empty(num, int)
    part[order] = np.arange(num) % num_parts
    most = max(1, _MAX_DECISIONS // odds.shape[1])
    result, slopes = np.empty(odds.shape), []
    for one in range(num_parts):
        rest = order[part[order] != one][:most] if num_parts > 1 else order
        shift, slope, offsets = fit(odds[rest], given[rest])
        result[part == one] = shift + slope * odds[part == one] + offsets
        slopes.append(slope)
    return result, float(np.mean(slopes))


def fit(odds: Floats, given: Matrix) -> tuple[float, float, Floats]:
    """Logistic regression of "given" on log-odds, by Newton's method.

    The slope has a weak prior at 1, which is what a calibrated model has, and is never negative.

    Args:
        odds: [N, T]
        given: [N, T]

    Returns:
        shift and slope of all tags, and offset of each [T]
    """
    shift, slope, offsets = 0.0, 1.0, np.zeros(odds.shape[1])
    loss = _loss(odds, given, shift, slope, offsets)
    for _ in range(_MAX_STEPS):
        likely = _sigmoid(shift + slope * odds + offsets)
        error, weight = given - likely, likely * (1 - likely)
        # all but the first two unknowns meet only their own tag's decisions: a Schur complement
        own = weight.sum(axis=0) + _PENALTY
        both = np.stack([weight.sum(axis=0), (weight * odds).sum(axis=0)])
        gradient = error.sum(axis=0) - _PENALTY * offsets
        matrix = np.array([[both[0].sum(), both[1].sum()], [0, (weight * odds**2).sum() + 1]])
        matrix[1, 0] = matrix[0, 1]
        matrix[0, 0] += 1e-3
        right = np.array([error.sum() - 1e-3 * shift, (error * odds).sum() + 1 - slope]) - both @ (
            gradient / own
        )
        step = np.linalg.solve(matrix - (both / own) @ both.T, right)
        step_offsets = (gradient - both.T @ step) / own
        for size in 0.5 ** np.arange(12):
            moved = (
                shift + size * step[0],
                max(0.0, slope + size * step[1]),
                offsets + size * step_offsets,
            )
            new_loss = _loss(odds, given, *moved)
            if new_loss < loss:
                break
        else:
            break
        shift, slope, offsets = moved
        is_done = loss - new_loss < 1e-7 * loss
        loss = new_loss
        if is_done:
            break
    return float(shift), float(slope), offsets


def _loss(odds: Floats, given: Matrix, shift: float, slope: float, offsets: Floats) -> float:
    line = shift + slope * odds + offsets
    fitting = np.logaddexp(0, np.where(given, -line, line)).sum()
    penalty = _PENALTY * (offsets**2).sum() + (slope - 1) ** 2 + 1e-3 * shift**2
    return float(fitting + penalty / 2)


def _count_wrong(odds: Floats, given: Matrix, judged: Matrix) -> float:
    low = num = 0
    for tag in np.flatnonzero(judged & (given.mean(axis=0) < _COMMON)).tolist():
        own = given[:, tag]
        quartile = np.quantile(odds[~own, tag], _BOTTOM)
        low += int((odds[own, tag] <= quartile).sum())
        num += int(own.sum())
    return min(low / _BOTTOM / max(num, 1), _MOST) * float(given[:, judged].sum())


def _count_missing(odds: Floats, given: Matrix, num_wrong: float) -> float:
    if not given.any():
        return 0.0
    share = float(given[odds >= np.quantile(odds[given], _TOP)].mean())
    right = float(given.sum()) - num_wrong
    return min(right * (1 - share) / share, _MOST * float((~given).sum()))


def _shifted(odds: Floats, total: float) -> Floats:
    """Probabilities whose log-odds are these plus one number, with this sum."""
    if total <= 0 or not odds.size:
        return np.zeros(odds.shape)
    low, high = -60.0 - float(odds.max()), 60.0 - float(odds.min())
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(odds + middle).sum() < total else (low, middle)
    return _sigmoid(odds + high)


def _sigmoid(line: Floats) -> Floats:
    result: Floats = 0.5 * (1 + np.tanh(line / 2))
    return result
