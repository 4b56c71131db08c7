"""benchmarks/ray_scale.py: its comparison, its processor seconds, its section of the report."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BenchmarkScript = Callable[[str], ModuleType]

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]


@pytest.fixture
def script(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("ray_scale")


def write(path: Path, rows: list[tuple[str, float]]) -> Path:
    records = [{"path": name, "tags": [{"id": 3, "score": score}]} for name, score in rows]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_comparison(script: ModuleType, tmp_path: Path) -> None:
    one = write(tmp_path / "one", [("a", 0.5), ("b", 0.25)])
    ray = write(tmp_path / "ray", [("a", 0.5), ("b", 0.2503)])
    photos = [Path("a"), Path("b")]
    assert script.compare(one, one, photos) == {
        "each_once": True, "same_bytes": True, "different_records": 0, "most_apart": 0.0
    }  # fmt: skip
    assert script.compare(one, ray, photos) == {
        "each_once": True, "same_bytes": False, "different_records": 1, "most_apart": 0.0003
    }  # fmt: skip
    twice = write(tmp_path / "twice", [("a", 0.5), ("a", 0.5)])
    assert not script.compare(one, twice, photos)["each_once"]


def test_processor_seconds_of_grandchildren(script: ModuleType) -> None:
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    wait = "import time; time.sleep(600)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {busy!r}]); {wait}"
    environment = os.environ | {script.MARK: "mine"}
    watch = script.Watch("mine")
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        try:
            end = time.monotonic() + 300
            while watch.seconds < 0.3 and time.monotonic() < end:
                watch.look()
        finally:
            process.kill()
    assert watch.seconds >= 0.3
    assert script.Watch("other").look() == []


def test_ratios_are_ray_over_the_other(script: ModuleType) -> None:
    def one(seconds: float, processor: float) -> dict[str, float]:
        return {"seconds": seconds, "processor_seconds": processor}

    slices: list[dict[str, Any]] = [
        {"runs": {"one": one(10, 20), "ray": one(5, 20)}},
        {"runs": {"one": one(10, 20), "ray": one(20, 10)}},
        {"runs": {"one": one(10, 20), "ray": one(10, 40)}},
    ]
    assert script._ratios(slices, "one") == {
        "seconds_median": 1.0, "seconds_min": 0.5, "seconds_max": 2.0,
        "processor_seconds_median": 1.0, "processor_seconds_min": 0.5,
        "processor_seconds_max": 2.0,
    }  # fmt: skip
    assert script._ratios(slices, "one thread") is None


def test_the_report_has_a_section(script: ModuleType, tmp_path: Path) -> None:
    parts = importlib.import_module("report_parts")
    run = {"photos": 4, "seconds": 2.0, "processor_seconds": 4.0, "killed": 1, "load": 1.5}
    equal = {"each_once": True, "same_bytes": True, "different_records": 0, "most_apart": 0.0}
    slices = [{"runs": {"one": run, "ray": run}, "ray_and_one": equal}]
    (tmp_path / "fixed.json").write_text(json.dumps({"one": run, "ray": run}))

    class Options:
        folder, workers, json = tmp_path, 2, tmp_path / "out.json"

    script.write(slices, [], Options)
    heading, section = parts.SECTIONS["ray"]
    text = "\n".join(section(json.loads(Options.json.read_text())))
    assert "Ray" in heading
    assert "| Ray, 2 workers of one thread | 4 | 2.0 | 1.0 | 1 |" in text
    assert (
        "| one process, all processors | 1.00 (1.00–1.00) | 1.00 (1.00–1.00) | yes | yes | 0 |"
        in text
    )
