"""The scaling plan: arithmetic on figures that benchmarks have written."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"

pytestmark = pytest.mark.skipif(not (ROOT / "tools").is_dir(), reason="not part of a wheel")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = ROOT / "tools" / "scaling_plan.py"
    spec = importlib.util.spec_from_file_location("scaling_plan", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scaling_plan"] = module
    spec.loader.exec_module(module)
    return module


def test_by_hand(tool: ModuleType) -> None:
    # 36 million images at 10 a second: 3.6 million seconds, 1,000 hours; 4 machines at half
    # their speed take 500 hours of the clock, and 2,000 of machines
    found = tool.plan(36_000_000, 10.0, machines=4, efficiency=0.5, price=3.0, days=10)
    assert (found.machine_hours, found.hours, found.cost) == (2000.0, 500.0, 6000.0)
    assert found.machines_needed == 9  # 2,000 hours in 240: 8.3


def test_without_a_price_there_is_no_cost(tool: ModuleType) -> None:
    found = tool.plan(3600, 1.0)
    assert (found.machine_hours, found.cost, found.machines_needed) == (1.0, None, None)


@pytest.mark.skipif(not RESULTS.is_dir(), reason="benchmarks/ is not part of a wheel")
def test_rates_are_those_of_the_files(tool: ModuleType) -> None:
    path = RESULTS / "3-speed.json"
    figures = json.loads(path.read_text(encoding="utf-8"))
    expected = [
        case["images_per_second"]["median"] for case in figures["cases"] if case["mode"] == "stream"
    ]
    assert [one.rate for one in tool.read_rates(path)] == expected


def test_training_steps(tool: ModuleType, tmp_path: Path) -> None:
    row = {"side": "anytag", "dtype": "float32", "seconds": {"median": 0.5}}
    other = {"side": "reference", "dtype": "float32", "seconds": {"median": 9.0}}
    case = {"family": "ram", "batch_size": 4, "rows": [row, other]}
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"kind": "train_step", "machine": "m", "cases": [case]}))
    assert [(one.model, one.rate) for one in tool.read_rates(path)] == [
        ("an epoch of training ram, float32", 8.0)
    ]


def test_a_table_row(tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures: dict[str, Any] = {
        "kind": "released", "family": "ram", "machine": {"cores": 2, "cpu": "X"},
        "float32": {"images_per_s": 1.0},
    }  # fmt: skip
    path = tmp_path / "r.json"
    path.write_text(json.dumps(figures))
    arguments = ["--images", "7200000", "--machines", "10", "--price", "2", "--days", "1"]
    tool.main([str(path), *arguments, "--record-bytes", "1000"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| ram, float32 | 1.00 | 7,200,000 | 2,000 | 8.3 | 4,000 | 84 | 7 |"
    assert lines[-1] == "One machine: 2 cores of X."


@pytest.mark.parametrize("efficiency", ["0", "1.1"])
def test_wrong_efficiency(tool: ModuleType, tmp_path: Path, efficiency: str) -> None:
    path = tmp_path / "r.json"
    path.write_text("{}")
    with pytest.raises(SystemExit):
        tool.main([str(path), "--efficiency", efficiency])
