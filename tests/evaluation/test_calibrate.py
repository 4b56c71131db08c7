"""Thresholds of tags: the rules, held-out figures, files."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.errors import UsageError
from anytag.evaluation.calibrate import (
    SHRINKAGE,
    Aim,
    Calibration,
    best_cut,
    calibrate,
    choose_thresholds,
    merge_columns,
    wilson_interval,
)
from anytag.evaluation.calibration_files import (
    calibration_page,
    check_target,
    copy_model,
    rows,
    write_calibration,
)
from anytag.evaluation.metrics import best_f1_threshold, precision_recall
from anytag.labels.labelset import LabelSet, read_thresholds

F1 = Aim()


def precise(target: float) -> Aim:
    return Aim(target_precision=target)


def data(num_photos: int = 2000, num_tags: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are the probabilities of the truth."""
    random = np.random.default_rng(0)
    scores = random.beta(0.5, 1.5, (num_photos, num_tags)).astype(np.float32)
    return scores, random.random(scores.shape) < scores


@settings(deadline=None)
@given(levels=st.integers(1, 9), seed=st.integers(0, 2**32 - 1), target=st.floats(0.05, 1.0))
def test_cuts_are_the_best_there_are(levels: int, seed: int, target: float) -> None:
    random = np.random.default_rng(seed)
    scores, truth = random.integers(0, levels, 15) / 10, random.random(15) < 0.4
    truth[3] = True
    tried = {
        limit: precision_recall(scores[:, None], truth[:, None], limit)
        for limit in np.unique(scores)
    }
    cut, reached = best_cut(scores, truth, F1)
    found = precision_recall(scores[:, None], truth[:, None], cut)
    assert reached
    assert found.micro_f1 == pytest.approx(best_f1_threshold(scores, truth).f1)

    cut, reached = best_cut(scores, truth, precise(target))
    found = precision_recall(scores[:, None], truth[:, None], cut)
    good = [limit for limit, one in tried.items() if one.micro_precision >= target]
    assert reached == bool(good)
    if good:
        assert found.micro_precision >= target
        assert found.micro_recall == tried[min(good)].micro_recall
    else:
        assert found.micro_precision == max(one.micro_precision for one in tried.values())


def test_cuts_lie_between_scores() -> None:
    scores, truth = np.array([0.9, 0.7, 0.5, 0.1]), np.array([1, 0, 1, 0], bool)
    assert best_cut(scores, truth, F1) == (pytest.approx(0.3), True)
    assert best_cut(scores, truth, precise(0.9)) == (pytest.approx(0.8), True)
    assert best_cut(scores, ~truth, precise(0.9)) == (
        0.1,
        False,
    )  # 1/2 at 0.7 and at 0.1: the lower
    assert best_cut(scores, np.zeros(4, bool), F1) == (1.0, False)


def test_weak_labels_are_sought_without_negatives() -> None:
    """A third of the right tags is named: F1 then shuns tags, the other measure does not."""
    scores, truth = data(20000, 1)
    named = truth & (np.random.default_rng(1).random(truth.shape) < 0.33)
    complete, _ = best_cut(scores[:, 0], truth[:, 0], F1)
    naive, _ = best_cut(scores[:, 0], named[:, 0], F1)
    weak, _ = best_cut(scores[:, 0], named[:, 0], Aim(weak=True))
    recall = {
        name: precision_recall(scores, truth, cut).micro_f1
        for name, cut in (("complete", complete), ("naive", naive), ("weak", weak))
    }
    assert abs(recall["weak"] - recall["complete"]) < 0.02
    assert recall["weak"] >= recall["naive"]
    by_hand = [
        (named[scores >= limit].sum() / named.sum()) ** 2 / (scores >= limit).mean()
        for limit in (weak - 0.1, weak, weak + 0.1)
    ]
    assert max(by_hand) == by_hand[1]


def test_tags_with_few_photos_are_drawn_to_the_global_threshold() -> None:
    scores, truth = data()
    truth[:, 1] = False  # no photo
    truth[5:, 2] = False  # few
    truth[:5, 2] = True
    found = choose_thresholds(scores, truth, F1)
    assert found.positives.tolist()[1:3] == [0, 5]
    assert found.reasons == ("own", "global", "shrunk", "own")
    assert found.values[1] == found.overall
    own, _ = best_cut(scores[:, 2], truth[:, 2], F1)
    low, high = sorted((own, found.overall))
    assert low < found.values[2] < high
    odds = np.log(np.array([own, found.overall]) / (1 - np.array([own, found.overall])))
    weight = 5 / (5 + SHRINKAGE)
    expected = 1 / (1 + np.exp(-(weight * odds[0] + (1 - weight) * odds[1])))
    assert found.values[2] == pytest.approx(expected, abs=1e-6)


def test_a_target_that_is_not_reached_is_said() -> None:
    random = np.random.default_rng(2)
    scores = random.random((300, 2)).astype(np.float32)
    truth = np.stack([scores[:, 0] > 0.5, random.random(300) < 0.3], axis=1)
    truth[np.argmax(scores[:, 1]), 1] = False
    found = choose_thresholds(scores, truth, precise(0.95))
    assert found.reasons == ("own", "not reached")
    assert found.values[1] >= found.overall


def test_unknown_truth_is_not_counted() -> None:
    scores, truth = data(400, 3)
    known = np.random.default_rng(3).random(truth.shape) < 0.5
    spoiled = np.where(known, truth, ~truth)
    a = calibrate(scores, truth, np.full(3, 0.5), F1, known=known)
    b = calibrate(scores, spoiled, np.full(3, 0.5), F1, known=known)
    np.testing.assert_array_equal(a.thresholds.values, b.thresholds.values)
    assert a.held_out.result.micro_f1 == b.held_out.result.micro_f1
    np.testing.assert_array_equal(a.hits, b.hits)


def test_held_out_figures_do_not_flatter() -> None:
    """On noise, thresholds look right on the photos on which they were chosen, and nowhere else."""
    random = np.random.default_rng(4)
    scores, truth = random.random((60, 40)).astype(np.float32), random.random((60, 40)) < 0.3
    found = calibrate(scores, truth, np.full(40, 0.5), precise(0.6))
    assert found.after.precision_if_given > 0.45
    assert found.held_out.precision_if_given < 0.35  # 0.3 is chance
    assert found.hits.sum() <= found.given.sum()
    again = calibrate(scores, truth, np.full(40, 0.5), precise(0.6))
    np.testing.assert_array_equal(again.hits, found.hits)
    other = calibrate(scores, truth, np.full(40, 0.5), precise(0.6), seed=1)
    assert (other.hits != found.hits).any()


def test_a_target_precision_holds_on_other_photos() -> None:
    scores, truth = data()
    found = calibrate(scores, truth, np.full(4, 0.5), precise(0.8))
    assert found.thresholds.reasons == ("own",) * 4
    assert found.held_out.precision_if_given == pytest.approx(0.8, abs=0.04)
    assert found.before.precision_if_given < 0.8
    expected = found.hits / found.given
    assert found.held_out.precision_if_given == pytest.approx(expected.mean())
    assert found.held_out.num_given == 4


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="outside"):
        precise(0.0)
    with pytest.raises(ValueError, match="two photos"):
        calibrate(np.ones((1, 1)), np.ones((1, 1), bool), np.ones(1), F1)
    with pytest.raises(ValueError, match="one tag on them"):
        calibrate(np.ones((2, 1)), np.zeros((2, 1), bool), np.ones(1), F1)


@pytest.mark.parametrize(
    ("hits", "number", "expected"),
    [(0, 0, (0.0, 1.0)), (0, 10, (0.0, 0.277533)), (10, 10, (0.722467, 1.0)),
     (50, 100, (0.403832, 0.596168))],
)  # fmt: skip
def test_wilson(hits: int, number: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(hits, number) == pytest.approx(expected, abs=1e-6)


def test_classes_that_are_one_tag() -> None:
    truth = np.array([[1, 0, 0], [0, 0, 1]], bool)
    known = np.array([[1, 0, 1], [0, 1, 1]], bool)
    merged, part = merge_columns(truth, [[0, 1], [2]], known)
    np.testing.assert_array_equal(merged, [[True, False], [False, True]])
    assert part is not None
    np.testing.assert_array_equal(part, [[True, True], [False, True]])
    assert merge_columns(truth, [[0]], None)[1] is None


def make_calibration() -> Calibration:
    scores, truth = data(200)
    return calibrate(scores, truth, np.full(4, 0.5), F1)


def test_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found, tags, before = make_calibration(), ["a", "b", "c", "d"], [0.5] * 4
    labels = LabelSet.from_names(["x", *tags]).with_thresholds(
        dict(zip(tags, found.thresholds.values.tolist(), strict=True))
    )
    page = calibration_page("Mine", tags, before, found, ["a <note>"], ([0.1, 0.9], [0.2, 0.8]))
    html = page.html()
    assert html.count("<svg") == 2
    assert "a &lt;note&gt;" in html
    write_calibration(tmp_path, labels, tags, before, found, {"model": "m"}, page)
    assert LabelSet.load(tmp_path / "labels.json") == labels
    reports = tmp_path / "calibration"
    plain = LabelSet.from_names(["x", *tags])
    assert read_thresholds(reports / "thresholds.csv", plain) == labels
    lines = list(csv.DictReader((reports / "tags.csv").read_text().splitlines()))
    assert [line["tag"] for line in lines] == tags
    for place, line in enumerate(lines):
        assert int(line["right"]) == found.hits[place]
        low, high = wilson_interval(int(line["right"]), int(line["given"]))
        assert float(line["precision_low"]) == pytest.approx(low, abs=1e-4)
        assert float(line["precision_low"]) <= float(line["precision"]) <= high + 1e-4
    about = json.loads((reports / "calibration.json").read_text())
    assert about["model"] == "m"
    assert about["figures"]["held_out"]["F1"] == found.held_out.result.macro_f1
    assert rows(found)[0][0] == "before"


def test_copies_of_models(tmp_path: Path, tiny_model: Path) -> None:
    copy_model(tiny_model, tmp_path / "copy")
    for file in tiny_model.rglob("*"):
        if file.is_file():
            copied = tmp_path / "copy" / file.relative_to(tiny_model)
            assert copied.read_bytes() == file.read_bytes()
    check_target(tiny_model, tmp_path / "copy")  # was made here
    shutil.copytree(tiny_model, tmp_path / "other")
    with pytest.raises(UsageError, match="has not written"):
        check_target(tiny_model, tmp_path / "other")
    with pytest.raises(UsageError, match="is the model itself"):
        check_target(tiny_model, tiny_model)
