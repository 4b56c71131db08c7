"""benchmarks/explain.py: the pointing game, on a set made here."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BenchmarkScript = Callable[[str], ModuleType]


@pytest.fixture
def script(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("explain")


def test_hits_and_covered(script: ModuleType) -> None:
    boxes = [(0.0, 0.0, 0.5, 0.5), (0.25, 0.25, 0.75, 0.5)]
    assert script.covered(boxes) == pytest.approx(0.25 + 0.125 - 0.0625)
    assert script.covered([(-0.1, -0.1, 1.1, 1.1)]) == 1
    assert script.hits((0.7, 0.3), boxes)
    assert not script.hits((0.7, 0.7), boxes)


def test_intervals_resample_photos(script: ModuleType) -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0])
    found = script.with_interval(values, np.array([0, 0, 0, 1]))
    assert found == {"value": 0.75, "interval": [0.0, 1.0]}  # only one of the two photos drawn
    assert script.with_interval(values[:0], np.zeros(0, int))["value"] is None


def test_figures(script: ModuleType, tiny_model: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    # class 15 is a cat: the whole photo, then a corner that no cell's middle lies in
    labels = ("15 0.5 0.5 1 1\n", "15 0.01 0.01 0.02 0.02\n16 0.5 0.5 1 1\n", None)
    for number, text in enumerate(labels):
        noise = random.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / f"{number}.png")
        if text is not None:
            (tmp_path / "labels" / f"{number}.txt").write_text(text)
    script.main([str(tmp_path), "--model", str(tiny_model), "--json", str(tmp_path / "x.json")])
    found = json.loads((tmp_path / "x.json").read_text())
    assert (found["kind"], found["photos"], found["pairs"], found["small"]) == ("explain", 2, 3, 1)
    for method in found["methods"].values():
        assert method["pointing"]["value"] == pytest.approx(2 / 3)
        assert method["pointing, small"]["value"] == 0
    whole = found["methods"]["centre"]
    assert whole["iou"]["value"] == pytest.approx((1 + 0.02**2 + 1) / 3)
    parts = importlib.import_module("report_parts")
    shown = parts.SECTIONS["explain"][1](found)[0]
    assert "| centre | 66.7 (50.0–100.0) |" in shown
