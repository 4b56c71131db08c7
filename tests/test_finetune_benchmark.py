"""benchmarks/finetune.py on a few pictures, and its section of RESULTS.md."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

BenchmarkScript = Callable[[str], ModuleType]
SMALL = ["model.image_size=64", "run.epochs=2", "run.batch_size=4", "data.num_workers=0"]


@pytest.fixture
def finetune(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("finetune")


def a_run(seconds: float, value: float) -> dict[str, Any]:
    return {
        "seconds": seconds, "cpu_seconds": seconds / 2, "map": value, "last_map": value / 2,
        "tags": 3, "steps": 7, "cache_mb": 1.5,
    }  # fmt: skip


def test_ratios_are_of_one_round(finetune: ModuleType) -> None:
    plain, runs = [a_run(100, 0.5), a_run(30, 0.6)], [a_run(10, 0.5), a_run(10, 0.4)]
    row = finetune.summarise(4, runs, plain)
    assert row["times_seconds"]["runs"] == [10, 3]
    assert row["times_cpu_seconds"]["runs"] == [10, 3]
    assert row["gain"]["runs"] == pytest.approx([0, -0.2])
    assert row["map"]["median"] == pytest.approx(0.45)
    first = finetune.summarise(None, plain, plain)
    assert first["times_seconds"] is first["gain"] is None
    page = report({"cases": [{"set": "some", "rows": [first, row]}], "rounds": 2})
    assert "| some (3 tags, 7 steps): decoded anew | 50.0, 60.0 | 25.0, 30.0 |" in page
    assert "| some (3 tags, 7 steps): 4 cached views | 50.0, 40.0 |" in page
    assert "| 6.5 (3.0–10.0) |" in page
    assert (
        "2 rounds; other programs kept 0.1 cores busy before; load of the machine afterwards 3."
        in (page)
    )
    lines = finetune.describe({"set": "some", "rows": [first, row]})
    assert "4 views       mAP 45.0 %, 10 s, 5 s of processor, 6.5 x faster" in lines


def report(figures: dict[str, Any]) -> str:
    parts = importlib.import_module("report_speed")
    about = {
        "machine": "a machine",
        "date": "a day",
        "cores_busy_before": 0.1,
        "load_after": 3.2,
        "how": "in turn",
    }
    return "\n".join(parts.SECTIONS["finetune"][1](about | figures))


@pytest.mark.slow
def test_real_runs(finetune: ModuleType, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / "photos" / ("dark" if number % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 120, (40, 40, 3)) + (0 if number % 2 else 130)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    out = tmp_path / "new" / "figures.json"
    finetune.main(
        [str(tmp_path / "photos"), "--views", "2", "--json", str(out), "--changes", *SMALL]
    )
    figures = json.loads(out.read_text())
    assert figures["kind"] == "finetune"
    (case,) = figures["cases"]
    assert [row["views"] for row in case["rows"]] == [None, 2]
    assert [row["cache_mb"]["median"] > 0 for row in case["rows"]] == [False, True]
    assert all(row["cpu_seconds"]["median"] > 0 for row in case["rows"])
    assert report(figures).count("| photos (2 tags, ") == 2
