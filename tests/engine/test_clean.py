"""The rules: planted outliers, limits from absent pictures, which rule removes what."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anytag.engine.clean import (
    Evidence,
    find_outliers,
    joint_score,
    learn_limits,
    num_clusters,
    reason_to_remove,
)
from anytag.engine.config import CleanConfig

pytest.importorskip("sklearn")


def planted(num: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two tight groups, one twenty times as wide as the other, and 10 % of points far from both."""
    random = np.random.default_rng(seed)
    groups = np.where(np.arange(num) % 2, 8.0, -8.0)[:, None] * np.eye(16)[0]
    spread = np.where(np.arange(num) % 2, 0.05, 1.0)[:, None]
    points = groups + spread * random.normal(size=(num, 16)) / 4
    wrong = np.zeros(num, bool)
    wrong[::20] = wrong[1::20] = True
    away = random.normal(size=(num, 16))
    away[:, 0] = 0
    points[wrong] += 12 * (spread * away / np.linalg.norm(away, axis=1, keepdims=True))[wrong]
    return points, wrong


@pytest.mark.parametrize("minibatch_from", [10, 10_000])
def test_planted_outliers_are_found_in_wide_and_narrow_clusters(minibatch_from: int) -> None:
    config = CleanConfig(regions_per_cluster=2500, minibatch_from=minibatch_from)
    points, wrong = planted(5000)
    found = find_outliers(points, config)
    assert len(set(found.cluster.tolist())) == 2
    assert found.outlier.sum() == 500
    assert (found.outlier & wrong).sum() >= 495
    # by plain distance the narrow group's outliers would be lost behind the wide group's members
    plain = np.argsort(-found.distance)[:500]
    assert wrong[plain].sum() < 400


def test_a_memory_map_gives_the_same_clusters(tmp_path: Path) -> None:
    points, _ = planted(9000)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    config = CleanConfig(minibatch_from=1)
    for one, other in ((points, mapped), (points, points.copy())):
        np.testing.assert_array_equal(
            find_outliers(one, config).relative, find_outliers(other, config).relative
        )


def test_few_regions_are_not_clustered() -> None:
    found = find_outliers(np.ones((19, 4)), CleanConfig(min_regions=20))
    assert not found.outlier.any()
    assert len(find_outliers(np.zeros((0, 0)), CleanConfig()).outlier) == 0


def test_equal_regions_do_no_harm() -> None:
    found = find_outliers(np.ones((200, 4)), CleanConfig(regions_per_cluster=50))
    assert np.isfinite(found.relative).all()
    assert found.outlier.sum() == 20


@pytest.mark.parametrize(("regions", "clusters"), [(1, 1), (149, 2), (150, 3), (10**6, 20)])
def test_the_number_of_clusters(regions: int, clusters: int) -> None:
    assert num_clusters(regions, CleanConfig(regions_per_cluster=50, max_clusters=20)) == clusters


def test_joint_score() -> None:
    # odds 4 and 1/4 cancel; odds 9 and 1 give 3
    joint = joint_score([0.8, 0.9, 0.3, 1.0], [0.2, 0.5, math.nan, 1.0])
    np.testing.assert_allclose(joint, [0.5, 0.75, 0.3, 1.0], atol=1e-5)


def test_limits() -> None:
    category = np.repeat([0, 1], 10)
    joint = np.array([0.1] * 4 + [0.3] * 4 + [0.9] * 2 + [0.5] * 10)
    present = np.array([False] * 8 + [True] * 2 + [True] * 6 + [False] * 4)
    limits = learn_limits(category, joint, given=present, present=present, num_categories=3)
    assert limits.absent[0] == pytest.approx(0.2)
    assert np.isnan(limits.absent[1:]).all()  # four absent pictures, and none
    # tags 8 to 15 were given, at 0.9 and 0.5: from 0.5 on all of them and four others
    assert limits.separating == 0.5
    nothing = learn_limits(category[:0], joint[:0], present[:0], present[:0], 3)
    assert np.isnan(nothing.absent).all()
    assert math.isnan(nothing.separating)


SEEN = Evidence(
    is_given=True,
    threshold=0.5,
    whole=0.6,
    crop=0.6,
    relative=1.0,
    all_outlying=False,
    absent=0.1,
    separating=0.4,
)
WITHOUT = {"crop": math.nan, "relative": math.nan}
ALL = ("outlier", "crop", "unseen", "unsure")


@pytest.mark.parametrize(
    ("rules", "changes", "reason"),
    [
        (ALL, {}, None),
        (ALL, {"is_given": False}, None),
        (("outlier",), {"all_outlying": True}, "outlier"),
        (("crop", "unseen"), {"all_outlying": True}, None),
        (("crop",), {"crop": 0.49}, "crop"),
        (("crop",), {"crop": 0.49, "threshold": 1.0}, None),
        (("crop",), {"crop": 0.0, **WITHOUT}, None),
        (("unseen",), {"whole": 0.01, "crop": 0.5}, "unseen"),
        (("unseen",), {"whole": 0.01, "crop": 0.6}, None),
        (("unseen",), {"whole": 0.09, **WITHOUT}, "unseen"),
        (("unseen",), {"whole": 0.1, **WITHOUT, "absent": math.nan}, None),
        (("unseen",), {"whole": 0.01, "crop": 0.01, "is_given": False}, None),
        (("unsure",), {"whole": 0.39, "crop": 0.39, "is_given": False}, "unsure"),
        (("unsure",), {"whole": 0.39, "crop": 0.39}, None),
        (("unsure",), {"whole": 0.1, "is_given": False, "separating": math.nan}, None),
        (("crop", "outlier"), {"all_outlying": True, "crop": 0.1}, "crop"),
        (("outlier", "crop"), {"all_outlying": True, "crop": 0.1}, "outlier"),
    ],
)
def test_rules(rules: tuple[str, ...], changes: dict[str, object], reason: str | None) -> None:
    why = reason_to_remove(replace(SEEN, **changes), CleanConfig(rules=rules))
    assert (None if why is None else why["reason"]) == reason


def test_tags_without_a_region_can_go() -> None:
    seen = replace(SEEN, crop=math.nan)
    assert reason_to_remove(seen, CleanConfig()) is None
    why = reason_to_remove(seen, CleanConfig(drop_without_region=True))
    assert why == {"reason": "no region", "score": 0.6, "crop_score": None}


def test_a_margin_makes_the_crop_rule_milder() -> None:
    seen = replace(SEEN, crop=0.3)  # log-odds -0.85, threshold 0
    assert reason_to_remove(seen, CleanConfig(rules=("crop",), crop_margin=0.8)) is not None
    assert reason_to_remove(seen, CleanConfig(rules=("crop",), crop_margin=0.9)) is None
