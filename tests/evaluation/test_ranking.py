"""Rankings: leaving one photo out in closed form against doing it, and unknown truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.evaluation import ranking as module
from anytag.evaluation.metrics import bootstrap_interval, mean_average_precision, precision_recall
from anytag.evaluation.ranking import Ranking


@settings(deadline=None, max_examples=60)
@given(num=st.integers(1, 14), levels=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_without_each_is_leaving_one_out(num: int, levels: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, (num, 3)).astype(float)  # most with ties
    truth, known = random.random((num, 3)) < 0.4, random.random((num, 3)) < 0.8
    for mask in (None, known):
        found = Ranking.of(scores, truth, mask).without_each()
        for photo in range(num):
            rest = np.arange(num) != photo
            part = None if mask is None else mask[rest]
            expected = Ranking.of(scores[rest], truth[rest], part).average_precision()
            np.testing.assert_allclose(found[photo], expected, atol=1e-12)


def test_unknown_truth_is_as_if_the_photo_were_not_there() -> None:
    random = np.random.default_rng(0)
    scores, truth = random.random((50, 4)), random.random((50, 4)) < 0.3
    known = random.random((50, 4)) < 0.6
    result = mean_average_precision(scores, truth, known=known)
    given = precision_recall(scores, truth, 0.5, known=known)
    for tag in range(4):
        rows = known[:, tag]
        alone = mean_average_precision(scores[rows, tag][:, None], truth[rows, tag][:, None])
        assert result.per_class[tag] == pytest.approx(alone.value, abs=1e-12)
        one = precision_recall(scores[rows, tag][:, None], truth[rows, tag][:, None], 0.5)
        assert given.precision[tag] == pytest.approx(one.macro_precision, abs=1e-12)
        assert given.recall[tag] == pytest.approx(one.macro_recall, abs=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    scores, truth = random.random((40, 9)), random.random((40, 9)) < 0.2
    whole = mean_average_precision(scores, truth), bootstrap_interval(scores, truth)
    monkeypatch.setattr(module, "CHUNK", 80)  # two columns at a time
    monkeypatch.setattr("anytag.evaluation.resampling.CHUNK", 80)
    parts = mean_average_precision(scores, truth), bootstrap_interval(scores, truth)
    np.testing.assert_array_equal(whole[0].per_class, parts[0].per_class)
    assert whole[1] == pytest.approx(parts[1], abs=1e-12)


def test_a_wrong_mask_is_refused() -> None:
    scores, truth = np.zeros((2, 2)), np.zeros((2, 2), bool)
    with pytest.raises(ValueError, match="known as the truth"):
        mean_average_precision(scores, truth, known=np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="known as the truth"):
        precision_recall(scores, truth, 0.5, known=np.ones((2, 2)))  # type: ignore[arg-type]
