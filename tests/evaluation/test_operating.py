"""The one threshold of a comparison."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.errors import UsageError
from anytag.evaluation.metrics import best_f1_threshold, precision_recall
from anytag.evaluation.operating import Rule, best_overall_f1, curve, threshold_at_precision
from anytag.evaluation.reliability import reliability


@settings(deadline=None)
@given(levels=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_best_overall_f1_is_the_best_of_all_scores(levels: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, (12, 3)).astype(float)
    truth = random.random((12, 3)) < 0.4
    truth[0, 0] = True
    expected = best_f1_threshold(scores.ravel(), truth.ravel())
    found = best_overall_f1(scores, truth)
    assert precision_recall(scores, truth, found).micro_f1 == pytest.approx(expected.f1)
    assert found == expected.threshold


def test_unknown_truth_and_nothing_to_find() -> None:
    scores = np.array([[0.9], [0.8], [0.7]])
    truth = np.array([[False], [True], [False]])
    known = np.array([[False], [True], [True]])
    assert best_overall_f1(scores, truth, known) == 0.8
    assert np.isnan(best_overall_f1(scores, np.zeros((3, 1), bool)))
    empty = curve(scores, np.zeros((3, 1), bool))
    assert np.isnan(threshold_at_precision(empty, 0.5))


def test_the_lowest_threshold_of_a_precision() -> None:
    scores = np.array([[0.9], [0.8], [0.7], [0.6], [0.5]])
    truth = np.array([[1], [0], [1], [1], [0]], bool)
    found = curve(scores, truth)
    # precision: 1 at 0.9, 2/3 at 0.7, 3/4 at 0.6; curves stand at positives alone
    assert threshold_at_precision(found, 0.7) == 0.6
    assert threshold_at_precision(found, 0.9) == 0.9
    scores[0], truth[0] = 0.1, False
    lower = curve(scores, truth)
    assert threshold_at_precision(lower, 0.99) == 0.6  # never reached: where it is highest


def test_many_points_are_thinned_out_and_keep_their_ends() -> None:
    random = np.random.default_rng(0)
    scores, truth = random.random((500, 2)), random.random((500, 2)) < 0.5
    found = curve(scores, truth, num_points=50)
    assert len(found.thresholds) == 50
    assert found.thresholds[0] == scores[truth].min()
    assert found.thresholds[-1] == scores[truth].max()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("best-f1", Rule("best-f1")),
        ("precision=0.8", Rule("precision", 0.8)),
        ("like=ram++", Rule("like", name="ram++")),
        ("0.68", Rule("fixed", 0.68)),
        ("-3", Rule("fixed", -3.0)),
        ("precision=1.2", None),
        ("precision=0", None),
        ("like=", None),
        ("f1", None),
        ("nan", None),
    ],
)
def test_rules(text: str, expected: Rule | None) -> None:
    if expected is not None:
        assert Rule.parse(text) == expected
        assert str(expected)
        return
    with pytest.raises(UsageError, match=re.escape(f"--threshold {text!r}: expected best-f1")):
        Rule.parse(text)


def test_reliability_by_hand() -> None:
    scores = np.array([[0.0, 0.25, 0.3], [0.5, 0.9, 1.0]], np.float32)
    truth = np.array([[0, 0, 1], [1, 1, 0]], bool)
    found = reliability(scores, truth, num_bins=2)  # (0, 0.5] and 0, (0.5, 1]
    assert found is not None
    np.testing.assert_array_equal(found.count, [4, 2])
    np.testing.assert_allclose(found.score, [1.05 / 4, 1.9 / 2], rtol=1e-6)
    np.testing.assert_allclose(found.true, [2 / 4, 1 / 2])
    assert found.error == pytest.approx((abs(1.05 - 2) + abs(1.9 - 1)) / 6)
    one = reliability(scores, truth, np.array([[1, 0, 0], [0, 0, 0]], bool), num_bins=2)
    assert one is not None
    assert (one.error, one.count.sum()) == (0.0, 1)
    assert np.isnan(one.score[1])
    assert reliability(scores - 0.5, truth) is None  # no probabilities
