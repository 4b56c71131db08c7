"""Systems on one test set: the figures of RAM's tables 2 and 3, and what belongs beside them.

Every system answers for the same photos and the same classes. A class that a system does not
support is left out of its means and marked with a dagger, as the paper does; a class without
positives is left out for all. What the public evaluation code would say (classes without positives
count as 0) is in `Figures.reference`.

Shapes: N photos, T classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from anytag.errors import AnnotationError, UsageError
from anytag.evaluation.annotations import Annotations
from anytag.evaluation.metrics import (
    PrecisionRecall,
    bootstrap_interval,
    mean_average_precision,
    precision_recall,
)
from anytag.evaluation.operating import (
    Curve,
    Rule,
    best_overall_f1,
    curve,
    threshold_at_precision,
)
from anytag.evaluation.reliability import Reliability, reliability
from anytag.evaluation.score_files import SystemScores

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Figures:
    """What was measured of one system; fractions."""

    name: str
    #: mean average precision, and its 95 % interval over sets of photos like this one
    map: float
    interval: tuple[float, float]
    #: [T]; NaN for classes without positives and those that are not supported
    per_class: Values
    #: classes that the system does not support
    unsupported: tuple[str, ...]
    #: the one threshold of the comparison
    threshold: float
    #: with it; its arrays are [T] with NaN as in ``per_class``
    at_threshold: PrecisionRecall
    #: with the system's own thresholds; None where it has none
    own: PrecisionRecall | None
    #: the system's own threshold of each class [T]
    own_thresholds: npt.NDArray[np.float32] | None
    #: None where the scores are no probabilities
    reliability: Reliability | None
    #: over all thresholds
    curve: Curve
    #: mAP, precision and recall as the public evaluation code counts
    reference: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Systems on the same photos and classes."""

    #: the photos that all systems have scored
    annotations: Annotations
    figures: tuple[Figures, ...]
    #: scores [N, T] of each system, in the order of ``figures``
    scores: tuple[npt.NDArray[np.float32], ...]
    rule: str
    #: classes that no photo has
    without_positives: tuple[str, ...]
    notes: tuple[str, ...]


def compare(
    annotations: Annotations,
    systems: Sequence[SystemScores],
    *,
    rule: Rule | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Measure every system.

    Args:
        annotations: N photos, T classes
        systems: scores [N, T] each
        rule: of the threshold at which precision and recall are compared
        num_resamples: of the intervals
        seed: of the intervals

    Raises:
        AnnotationError: no photo is scored by all systems, or no class has a photo
        UsageError: the rule names a system that is not there
    """
    rule = rule or Rule("best-f1")
    kept = np.flatnonzero(np.logical_and.reduce([one.scored for one in systems]))
    notes = [note for one in systems for note in one.notes]
    if not kept.size:
        raise AnnotationError("no image has scores of every system; there is nothing to compare")
    if len(kept) < len(annotations.images):
        lost = len(annotations.images) - len(kept)
        notes.append(f"{lost:,} images without scores are left out for every system")
        annotations = annotations.take_images(kept)
    known = annotations.known
    positive = annotations.truth if known is None else annotations.truth & known
    if not positive.any():
        raise AnnotationError("no image has any of the classes; there is nothing to evaluate")
    scores = [one.scores[kept] for one in systems]
    target = _target(rule, systems, scores, annotations)
    figures = [
        _measure(one, found, annotations, rule, target, num_resamples, seed)
        for one, found in zip(systems, scores, strict=True)
    ]
    notes += [
        f"{one.name} has no threshold with a macro precision of {target:.3f}; its highest is "
        f"{one.at_threshold.macro_precision:.3f}"
        for one in figures
        if one.at_threshold.macro_precision < target
    ]
    empty = np.flatnonzero(~positive.any(axis=0))
    return Comparison(
        annotations=annotations,
        figures=tuple(figures),
        scores=tuple(scores),
        rule=str(rule),
        without_positives=tuple(annotations.classes[place] for place in empty),
        notes=(*annotations.notes, *notes),
    )


def _target(
    rule: Rule,
    systems: Sequence[SystemScores],
    scores: Sequence[npt.NDArray[np.float32]],
    annotations: Annotations,
) -> float:
    """The macro precision that all systems are brought to; NaN where the rule is another."""
    if rule.kind != "like":
        return rule.value if rule.kind == "precision" else float("nan")
    for one, found in zip(systems, scores, strict=True):
        if one.name == rule.name:
            columns = np.flatnonzero(one.supported)
            part = annotations.take_classes(columns.tolist())
            threshold = best_overall_f1(found[:, columns], part.truth, part.known)
            result = precision_recall(found[:, columns], part.truth, threshold, known=part.known)
            return result.macro_precision
    raise UsageError(
        f"--threshold like={rule.name}: no such system; there are "
        f"{', '.join(one.name for one in systems)}"
    )


def _measure(
    system: SystemScores,
    scores: npt.NDArray[np.float32],
    annotations: Annotations,
    rule: Rule,
    target: float,
    num_resamples: int,
    seed: int,
) -> Figures:
    columns = np.flatnonzero(system.supported)
    part = annotations.take_classes(columns.tolist())
    found, truth, known = scores[:, columns], part.truth, part.known
    result = mean_average_precision(found, truth, known=known)
    over_all = curve(found, truth, known)
    threshold = {
        "fixed": lambda: rule.value,
        "best-f1": lambda: best_overall_f1(found, truth, known),
    }.get(rule.kind, lambda: threshold_at_precision(over_all, target))()
    at_threshold = precision_recall(found, truth, threshold, known=known)
    own = None
    if system.thresholds is not None:
        own = precision_recall(found, truth, system.thresholds[columns], known=known)
    as_reference = precision_recall(found, truth, threshold, empty_as_zero=True, known=known)
    return Figures(
        name=system.name,
        map=result.value,
        interval=bootstrap_interval(
            found, truth, num_resamples=num_resamples, seed=seed, known=known
        ),
        per_class=_spread(result.per_class, columns, len(system.supported)),
        unsupported=tuple(
            annotations.classes[place] for place in np.flatnonzero(~system.supported)
        ),
        threshold=float(threshold),
        at_threshold=_spread_all(at_threshold, columns, len(system.supported)),
        own=None if own is None else _spread_all(own, columns, len(system.supported)),
        own_thresholds=system.thresholds,
        reliability=reliability(found, truth, known),
        curve=over_all,
        reference={
            "map": mean_average_precision(found, truth, empty_as_zero=True, known=known).value,
            "precision": as_reference.macro_precision,
            "recall": as_reference.macro_recall,
        },
    )


def _spread(values: Values, columns: npt.NDArray[np.intp], num_classes: int) -> Values:
    """Values of some classes as [T], NaN elsewhere."""
    spread = np.full(num_classes, np.nan)
    spread[columns] = values
    return spread


def _spread_all(
    result: PrecisionRecall, columns: npt.NDArray[np.intp], num_classes: int
) -> PrecisionRecall:
    return replace(
        result,
        precision=_spread(result.precision, columns, num_classes),
        recall=_spread(result.recall, columns, num_classes),
        f1=_spread(result.f1, columns, num_classes),
        excluded=tuple(int(columns[place]) for place in result.excluded),
    )
