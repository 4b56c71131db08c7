"""Metrics against scikit-learn, figures worked out by hand and the public evaluation code."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from anytag.evaluation.metrics import (
    average_precision,
    best_f1_threshold,
    bootstrap_interval,
    mean_average_precision,
    precision_recall,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"

#: few different values, so that most examples have ties
tied_scores = arrays(np.float64, st.integers(1, 30), elements=st.integers(0, 6).map(float))


def truth_of(draw_from: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.bool_]:
    return np.random.default_rng(seed).random(draw_from.shape) < 0.4


@settings(deadline=None)
@given(scores=tied_scores, seed=st.integers(0, 2**32 - 1))
def test_average_precision_is_scikit_learns(scores: npt.NDArray[np.float64], seed: int) -> None:
    reference = pytest.importorskip("sklearn.metrics").average_precision_score
    truth = truth_of(scores, seed)
    truth[0] = True
    assert average_precision(scores, truth) == pytest.approx(reference(truth, scores), abs=1e-12)


@settings(deadline=None)
@given(scores=tied_scores, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_photos_does_not_matter(scores: npt.NDArray[np.float64], seed: int) -> None:
    truth = truth_of(scores, seed)
    order = np.random.default_rng(seed + 1).permutation(len(scores))
    first, second = average_precision(scores, truth), average_precision(scores[order], truth[order])
    assert first == pytest.approx(second, abs=1e-12, nan_ok=True)
    assert best_f1_threshold(scores, truth) == best_f1_threshold(scores[order], truth[order]) or (
        not truth.any()
    )


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], (1 / 1 + 2 / 3) / 2),
        ([0.6, 0.7, 0.8, 0.9], [1, 0, 0, 0], 1 / 4),
        ([0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0], 1 / 4),  # all accepted at once
        ([0.9, 0.5, 0.5, 0.1], [0, 1, 0, 1], (1 / 3 + 2 / 4) / 2),
        ([0.3, 0.2, 0.1], [1, 1, 1], 1.0),
        ([np.inf, 0.0, -np.inf], [0, 1, 0], 1 / 2),
    ],
)
def test_average_precision_by_hand(scores: list[float], truth: list[int], expected: float) -> None:
    found = average_precision(np.array(scores), np.array(truth, bool))
    assert found == pytest.approx(expected, abs=1e-15)


def test_tags_without_positives_are_left_out_and_named() -> None:
    scores = np.array([[0.9, 0.9, 0.1], [0.8, 0.1, 0.2], [0.1, 0.2, 0.3]], np.float32)
    truth = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 1]], bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = mean_average_precision(scores, truth)
    np.testing.assert_allclose(result.per_class, [5 / 6, np.nan, 1.0])
    assert result.value == pytest.approx((5 / 6 + 1) / 2)
    assert result.excluded == (1,)

    reference = mean_average_precision(scores, truth, empty_as_zero=True)
    np.testing.assert_allclose(reference.per_class, [5 / 6, 0.0, 1.0], atol=1e-7)
    assert reference.value == pytest.approx((5 / 6 + 1) / 3, abs=1e-7)
    assert reference.value < (5 / 6 + 1) / 3  # 1e-8 in the denominator
    assert reference.excluded == ()


def test_nothing_to_find_is_nan() -> None:
    scores, truth = np.zeros((3, 2)), np.zeros((3, 2), bool)
    assert np.isnan(average_precision(scores[:, 0], truth[:, 0]))
    assert np.isnan(mean_average_precision(scores, truth).value)
    assert np.isnan(mean_average_precision(scores[:, :0], truth[:, :0]).value)
    assert np.isnan(best_f1_threshold(scores[:, 0], truth[:, 0]).threshold)
    assert np.isnan(bootstrap_interval(scores, truth)).all()


@pytest.mark.parametrize("case", ["plain", "duplicates"])
def test_mean_average_precision_of_the_public_code(case: str) -> None:
    tags, truth = read_reference(case, "gt")
    scores = load_file(GOLDEN / "inputs.safetensors")[f"{case}.scores"]
    expected = load_file(GOLDEN / "outputs.safetensors")
    result = mean_average_precision(scores, truth, empty_as_zero=True)
    assert len(tags) == len(result.per_class)
    np.testing.assert_allclose(result.per_class, expected[f"{case}.APs"], atol=1e-12, rtol=0)
    assert result.value == pytest.approx(float(expected[f"{case}.mAP"]), abs=1e-12)


def test_precision_and_recall_of_the_public_code() -> None:
    _, truth = read_reference("plain", "gt")
    _, given_tags = read_reference("plain", "pred")
    expected = load_file(GOLDEN / "outputs.safetensors")
    result = precision_recall(given_tags.astype(np.float32), truth, 0.5, empty_as_zero=True)
    np.testing.assert_allclose(result.precision, expected["plain.Ps"], atol=1e-8)
    np.testing.assert_allclose(result.recall, expected["plain.Rs"], atol=1e-8)
    assert result.macro_precision == pytest.approx(float(expected["plain.CP"]), abs=1e-8)
    assert result.macro_recall == pytest.approx(float(expected["plain.CR"]), abs=1e-8)


def read_reference(case: str, kind: str) -> tuple[list[str], npt.NDArray[np.bool_]]:
    """Tags, and [N, T] from lines ``photo,tag,tag`` (a tag listed twice has two columns)."""
    tags = json.loads((GOLDEN / "config.json").read_text())[case]["taglist"]
    lines = (GOLDEN / f"{case}.{kind}.txt").read_text().splitlines()
    rows = [line.split(",")[1:] for line in lines]
    return tags, np.array([[tag in row for tag in tags] for row in rows])


def test_precision_recall_by_hand() -> None:
    scores = np.array([[0.9, 0.6, 0.9], [0.8, 0.4, 0.1], [0.1, 0.4, 0.1]], np.float32)
    truth = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0]], bool)
    result = precision_recall(scores, truth, 0.5)
    np.testing.assert_allclose(result.precision, [1 / 2, 1.0, np.nan])
    np.testing.assert_allclose(result.recall, [1 / 2, 1 / 2, np.nan])
    np.testing.assert_allclose(result.f1, [1 / 2, 2 / 3, np.nan])
    assert result.excluded == (2,)
    macro = (result.macro_precision, result.macro_recall, result.macro_f1)
    assert macro == pytest.approx((3 / 4, 1 / 2, 7 / 12))
    # 2 right of 4 given, of 4 true; the tag without positives counts here
    assert (result.micro_precision, result.micro_recall, result.micro_f1) == (0.5, 0.5, 0.5)


def test_thresholds_are_reached_by_equal_scores_and_may_differ() -> None:
    scores = np.array([[0.3, 0.7], [0.2, 0.8]], np.float32)
    truth = np.array([[1, 0], [0, 1]], bool)
    # 0.3 and 0.8 in float32, as the scores are: in float64 they would lie beside them
    result = precision_recall(scores, truth, np.array([0.3, 0.8]))
    assert (result.micro_precision, result.micro_recall) == (1.0, 1.0)
    nothing = precision_recall(scores, truth, 0.9)
    assert (nothing.macro_precision, nothing.macro_recall, nothing.micro_f1) == (0.0, 0.0, 0.0)


@settings(deadline=None)
@given(scores=tied_scores, seed=st.integers(0, 2**32 - 1))
def test_best_f1_is_the_best_of_all_scores(scores: npt.NDArray[np.float64], seed: int) -> None:
    truth = truth_of(scores, seed)
    truth[-1] = True
    best = best_f1_threshold(scores, truth)
    tried = {
        float(limit): precision_recall(scores[:, None], truth[:, None], float(limit)).micro_f1
        for limit in scores
    }
    assert best.f1 == pytest.approx(max(tried.values()))
    assert best.threshold == max(limit for limit, f1 in tried.items() if f1 > best.f1 - 1e-12)


def test_the_interval_holds_the_measured_value_and_narrows_with_more_photos() -> None:
    random = np.random.default_rng(0)
    widths = []
    for num_photos in (50, 800):
        truth = random.random((num_photos, 4)) < 0.3
        scores = random.random((num_photos, 4)) + 0.4 * truth
        low, high = bootstrap_interval(scores, truth, num_resamples=200)
        assert low < mean_average_precision(scores, truth).value < high
        assert (low, high) == bootstrap_interval(scores, truth, num_resamples=200)
        assert (low, high) != bootstrap_interval(scores, truth, num_resamples=200, seed=1)
        widths.append(high - low)
    assert widths[1] < widths[0] / 2  # a fourth, but for chance


def test_the_interval_with_one_photo_a_tag() -> None:
    """There mAP is the mean of one figure a photo, whose standard error is known."""
    random = np.random.default_rng(1)
    truth = np.eye(60, dtype=bool)
    scores = random.random((60, 60)) + 0.5 * truth
    low, high = bootstrap_interval(scores, truth, num_resamples=4000)
    result = mean_average_precision(scores, truth)
    error = result.per_class.std(ddof=1) / np.sqrt(60)
    assert low == pytest.approx(result.value - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(result.value + 1.96 * error, abs=0.2 * error)


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2), bool), "[N, T], found [2, 3] and [3, 2]"),
        (np.zeros(3), np.zeros(3, bool), "[N, T], found [3] and [3]"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "truth of bool, found float64"),
        (np.full((2, 2), np.nan), np.zeros((2, 2), bool), "NaN"),
    ],
)
def test_wrong_arrays_are_refused(
    scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        mean_average_precision(scores, truth)
    with pytest.raises(ValueError, match=re.escape(message)):
        precision_recall(scores, truth, 0.5)
    with pytest.raises(ValueError, match=re.escape(message)):
        bootstrap_interval(scores, truth)


def test_wrong_numbers_are_refused() -> None:
    scores, truth = np.zeros((2, 3)), np.zeros((2, 3), bool)
    with pytest.raises(ValueError, match="one threshold or"):
        precision_recall(scores, truth, np.zeros(2))
    with pytest.raises(ValueError, match="num_resamples"):
        bootstrap_interval(scores, truth, num_resamples=0)
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval(scores, truth, level=1.0)
