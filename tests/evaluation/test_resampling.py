"""The paired difference of two mAPs and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from anytag.evaluation.metrics import bootstrap_interval, mean_average_precision
from anytag.evaluation.resampling import map_difference, pseudo_values


def data(seed: int, photos: int = 120, tags: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.random((photos, tags)) < 0.2
    hard = random.normal(size=(photos, 1))  # what is hard for both
    good = truth * 2.0 + hard + random.normal(size=truth.shape)
    return good, good + random.normal(size=truth.shape) * 0.1, truth


def test_the_difference_is_that_of_the_two_figures() -> None:
    first, second, truth = data(0)
    value, low, high = map_difference(first, second, truth)
    figures = [mean_average_precision(scores, truth).value for scores in (first, second)]
    assert value == figures[0] - figures[1]
    assert low < value < high


def test_equal_scores_have_no_difference_and_no_interval() -> None:
    first, _, truth = data(1)
    assert map_difference(first, first, truth) == (0.0, 0.0, 0.0)


def test_turned_around_it_is_the_other_side() -> None:
    first, second, truth = data(2)
    value, low, high = map_difference(first, second, truth)
    assert map_difference(second, first, truth) == pytest.approx((-value, -high, -low), abs=2e-3)


def test_pairing_makes_it_narrower_than_the_two_intervals() -> None:
    first, second, truth = data(3)
    _, low, high = map_difference(first, second, truth)
    for scores in (first, second):
        own_low, own_high = bootstrap_interval(scores, truth)
        assert high - low < 0.5 * (own_high - own_low)


def test_pseudo_values_are_leaving_each_photo_out() -> None:
    scores, _, truth = data(4, photos=15)
    measured, values = pseudo_values(scores, truth)
    without = np.array(
        [
            mean_average_precision(np.delete(scores, i, 0), np.delete(truth, i, 0)).value
            for i in range(15)
        ]
    )
    assert measured == mean_average_precision(scores, truth).value
    np.testing.assert_allclose(values, 14 * (without.mean() - without), atol=1e-9)
    assert values.mean() == pytest.approx(0, abs=1e-9)


def test_unknown_answers_do_not_count() -> None:
    first, second, truth = data(5)
    known = np.random.default_rng(6).random(truth.shape) < 0.7
    expected = map_difference(first, second, truth, known=known)
    changed = np.where(known, second, 99.0)
    assert map_difference(first, changed, truth, known=known) == pytest.approx(expected)


def test_one_photo_with_tags_has_no_interval() -> None:
    truth = np.array([[True], [False], [False]])
    value, low, high = map_difference(
        np.array([[3.0], [2], [1]]), np.array([[1.0], [2], [3]]), truth
    )
    assert value == pytest.approx(1 - 1 / 3)
    assert np.isnan(low)
    assert np.isnan(high)


@pytest.mark.parametrize(("resamples", "level"), [(0, 0.95), (10, 0.0), (10, 1.0)])
def test_numbers_out_of_range_are_refused(resamples: int, level: float) -> None:
    first, second, truth = data(7)
    with pytest.raises(ValueError, match="num_resamples"):
        map_difference(first, second, truth, num_resamples=resamples, level=level)
