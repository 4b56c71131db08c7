"""Types, checks and small sums that all metrics share.

Shapes: N photos, T tags. Scores are any finite or infinite numbers, truth is bool, and so is
``known``, which says where the truth is known.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Scores: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Truth: TypeAlias = npt.NDArray[np.bool_]
Values: TypeAlias = npt.NDArray[np.float64]


def ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> Values:
    """``above / below``, and 0 where ``below`` is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    shape = np.broadcast_shapes(above.shape, below.shape)
    result: Values = np.divide(above, below, out=np.zeros(shape), where=below > 0)
    return result


def mean_known(values: Values) -> float:
    """Mean of those that are no NaN; NaN (without a warning) if there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def nan_ids(values: Values) -> tuple[int, ...]:
    """Places of NaN, in order."""
    return tuple(np.flatnonzero(np.isnan(values)).tolist())


def check(scores: Scores, truth: Truth, num_axes: int, known: Truth | None = None) -> None:
    """Refuse arrays that do not fit.

    Raises:
        ValueError: shapes differ or have other axes, truth or known is not bool, a score is NaN
    """
    axes = ["N", "T"][:num_axes]
    if scores.ndim != num_axes or scores.shape != truth.shape:
        raise ValueError(
            f"expected scores and truth of one shape [{', '.join(axes)}], "
            f"found {list(scores.shape)} and {list(truth.shape)}"
        )
    if truth.dtype != np.bool_:
        raise ValueError(f"expected truth of bool, found {truth.dtype}; compare with == 1")
    if known is not None and (known.shape != truth.shape or known.dtype != np.bool_):
        raise ValueError(
            f"expected known as the truth, bool {list(truth.shape)}, "
            f"found {known.dtype} {list(known.shape)}"
        )
    if np.isnan(scores).any():
        raise ValueError("a score is NaN; it has no rank")
