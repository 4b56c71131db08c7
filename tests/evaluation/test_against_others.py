"""All figures against scikit-learn and torchmetrics, to 1e-6."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from anytag.evaluation.metrics import mean_average_precision, precision_recall
from anytag.evaluation.operating import best_overall_f1, curve
from anytag.evaluation.reliability import reliability

LIMIT = 0.55


def data(seed: int = 3) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    truth = random.random((120, 6)) < 0.25
    truth[0] = True
    scores = np.clip(random.random((120, 6)) * 0.7 + 0.3 * truth, 0, 1).round(2)
    return scores.astype(np.float32), truth


def test_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, truth = data()
    result, given = precision_recall(scores, truth, LIMIT), scores >= np.float32(LIMIT)
    for average in ("macro", "micro"):
        found = sklearn.precision_recall_fscore_support(
            truth, given, average=average, zero_division=0
        )
        for name, expected in zip(("precision", "recall", "f1"), found[:3], strict=True):
            assert getattr(result, f"{average}_{name}") == pytest.approx(expected, abs=1e-6)
    expected = sklearn.average_precision_score(truth, scores, average="macro")
    assert mean_average_precision(scores, truth).value == pytest.approx(expected, abs=1e-6)
    precision, recall, limits = sklearn.precision_recall_curve(truth.ravel(), scores.ravel())
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = best_overall_f1(scores, truth)
    assert precision_recall(scores, truth, best).micro_f1 == pytest.approx(f1.max(), abs=1e-6)
    assert best in limits


def test_torchmetrics() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = pytest.importorskip("torchmetrics.classification")
    import torch

    scores, truth = data()
    tensors = torch.from_numpy(scores), torch.from_numpy(truth.astype(int))
    expected = metrics.MultilabelAveragePrecision(num_labels=6, average="macro")(*tensors)
    assert mean_average_precision(scores, truth).value == pytest.approx(float(expected), abs=1e-6)
    result = precision_recall(scores, truth, LIMIT - 0.005)  # torchmetrics wants more than it
    for average in ("macro", "micro"):
        arguments = {"num_labels": 6, "average": average, "threshold": LIMIT - 0.005}
        for name, kind in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1Score")):
            value = getattr(metrics, f"Multilabel{kind}")(**arguments)(*tensors)
            assert getattr(result, f"{average}_{name}") == pytest.approx(float(value), abs=1e-6)
    error = metrics.BinaryCalibrationError(n_bins=15, norm="l1")
    smooth = np.random.default_rng(0).random((120, 6), np.float32)
    value = error(torch.from_numpy(smooth.ravel()), tensors[1].ravel())
    found = reliability(smooth, truth)
    assert found is not None
    assert found.error == pytest.approx(float(value), abs=1e-6)


def test_the_curve_is_precision_recall_at_each_threshold() -> None:
    scores, truth = data()
    known = np.random.default_rng(1).random(truth.shape) < 0.8
    for mask in (None, known):
        found = curve(scores, truth, mask)
        assert (np.diff(found.thresholds) > 0).all()
        for place in range(0, len(found.thresholds), 7):
            one = precision_recall(scores, truth, found.thresholds[place], known=mask)
            for name in ("macro_precision", "macro_recall", "micro_f1", "micro_precision"):
                assert getattr(found, name)[place] == pytest.approx(getattr(one, name), abs=1e-12)
