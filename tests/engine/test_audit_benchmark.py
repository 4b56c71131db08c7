"""benchmarks/audit.py: what is measured, and that cleanlab is asked for the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BenchmarkScript = Callable[[str], ModuleType]


@pytest.fixture
def audit(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("audit")


def test_measures(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "DEPTHS", {"missing": (1, 2), "wrong": (1,), "both": (3,)})
    given = np.array([[True, True], [False, False], [False, True]])
    faulty = np.array([[True, False], [True, False], [False, False]])
    confidence = np.array([[0.9, 0.1], [0.4, 0.8], [0.3, 0.2]])
    assert audit.measure(confidence, faulty, given) == {
        "missing": {"average_precision": 0.5, "precision_at_1": 0.0, "precision_at_2": 0.5},
        "wrong": {"average_precision": 1.0, "precision_at_1": 1.0},
        "both": {
            "average_precision": pytest.approx((1 + 2 / 3) / 2),
            "precision_at_3": pytest.approx(2 / 3),
        },
    }


@pytest.mark.slow  # cleanlab takes seconds to import
def test_cleanlab_ranks_by_the_score_itself(audit: ModuleType) -> None:
    pytest.importorskip("cleanlab")
    random = np.random.default_rng(0)
    scores, given = random.random((30, 3)), random.random((30, 3)) < 0.4
    found = audit.cleanlab_confidence(scores, given, adjust=False)
    np.testing.assert_allclose(found, np.where(given, 1 - scores, scores), atol=1e-6)
    adjusted = audit.cleanlab_confidence(scores, given, adjust=True)
    assert adjusted.shape == given.shape
    assert not np.allclose(adjusted, found)


@pytest.mark.slow
def test_the_command(audit: ModuleType, tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("cleanlab")
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for number in range(12):
        image = Image.new("RGB", (32, 32), (20 * number, 90, 200))
        image.save(tmp_path / "images" / f"{number:02}.png")
        lines = [f"{tag} 0.5 0.5 0.2 0.2\n" for tag in range(6) if (number + tag) % 3]
        (tmp_path / "labels" / f"{number:02}.txt").write_text("".join(lines))
    scores, out = tmp_path / "scores.npz", tmp_path / "out.json"
    arguments = ["audit", str(tmp_path), "--model", str(tiny_model), "--limit", "10"]
    arguments += ["--seeds", "2", "--scores", str(scores), "--json", str(out)]
    audit.main(arguments)
    figures = json.loads(out.read_text())
    assert (figures["photos"], figures["labels"]) == (10, 40)
    assert figures["counts"]["dropped"] == 12
    assert figures["counts"]["added"] == 4
    assert set(figures["methods"]) == {"audit", "cleanlab", "cleanlab, adjusted"}
    audit.main(arguments)  # from the kept scores
    assert json.loads(out.read_text())["methods"] == figures["methods"]
    with pytest.raises(SystemExit, match="of other photos"):
        audit.main([*arguments[:-6], "--limit", "9", "--scores", str(scores)])
