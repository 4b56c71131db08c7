"""benchmarks/engine.py: the faults that are planted, and how finding them is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BenchmarkScript = Callable[[str], ModuleType]


@pytest.fixture
def engine(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("engine")


def test_planted_faults(engine: ModuleType) -> None:
    truth = np.zeros((100, 10), bool)
    truth[:, 0] = truth[:50, 1] = truth[::10, 2] = True  # 160 labels; tag 0 is on every photo
    given = engine.plant(truth, seed=1)
    assert (truth & ~given).sum() == 48
    wrong = given & ~truth
    assert wrong.sum() == 16
    # in proportion to how frequent a tag is: 50 photos without tag 1, and it is the commonest
    assert wrong[:, 3:].sum() == 0
    np.testing.assert_array_equal(given, engine.plant(truth, seed=1))
    assert (given != engine.plant(truth, seed=2)).any()


def test_counts_and_figures(engine: ModuleType) -> None:
    truth = np.array([[True, True, False, False]])
    given = np.array([[True, False, True, False]])
    labels = np.array([[False, True, False, True]])
    counts = engine.counts_of(truth, given, labels)
    assert counts["restored"].tolist() == [[1, 2, 1]]  # one right of two added, one was missing
    assert counts["removed"].tolist() == [[1, 2, 1]]
    figures = engine.figures_of([counts["restored"], counts["restored"]])
    assert figures["precision"] == {"value": 0.5, "interval": [0.5, 0.5]}
    assert figures["recall"]["value"] == 1.0
    assert figures["f1"]["value"] == pytest.approx(2 / 3)


def test_simple_methods(engine: ModuleType) -> None:
    pytest.importorskip("cleanlab")
    random = np.random.default_rng(0)
    truth = random.random((200, 4)) < 0.4
    scores = np.clip(np.where(truth, 0.8, 0.2) + random.normal(0, 0.1, truth.shape), 0, 1)
    given = engine.plant(truth, seed=0)
    results = engine.decide(truth, given, scores.astype(np.float32), np.full(4, 0.5))
    assert set(results) == {"thresholds", "best single (knows the truth)", "cleanlab"}
    for labels in results.values():  # scores that tell all: nearly every fault is found
        for counts in engine.counts_of(truth, given, labels).values():
            assert engine.figures_of([counts])["f1"]["value"] > 0.8


def test_overlap(engine: ModuleType, tmp_path: Path) -> None:
    assert engine.overlap((0.0, 0.0, 0.5, 0.5), (0.25, 0.0, 0.75, 0.5)) == pytest.approx(1 / 3)
    assert engine.overlap((0.0, 0.0, 0.1, 0.1), (0.5, 0.5, 0.6, 0.6)) == 0
    (tmp_path / "a.txt").write_text("3 0.5 0.5 0.2 0.4\n3 0.1 0.1 0.2 0.2\n")
    boxes = engine.read_boxes(tmp_path / "a.txt")
    assert boxes[3][0] == pytest.approx((0.4, 0.3, 0.6, 0.7))
    assert engine.read_boxes(tmp_path / "none.txt") == {}
