"""What loading a large checkpoint costs: the benchmark on one with fewer layers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks/released.py"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks/ is not part of a wheel")
def test_weights_are_mapped_and_not_copied(tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, "--small", "--images", "1", "--json", tmp_path / "out.json"]
    subprocess.run(command, check=True, env={"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"})
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["float32"]["weights"] > 400e6
    assert figures["float32"]["load_ratio"] < 0.3  # mapped from the file as they are
    assert figures["bfloat16"]["load_ratio"] < 1.3  # converted: one copy, half as large
    assert figures["compare"]["max_score_difference"] < 0.05


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="torch 2.10 loads it all the same",
)
def test_building_a_network_imports_nothing() -> None:
    """torch has a symbolic library that it loads for random numbers without memory."""
    code = (
        "import sys, torch\n"
        "from anytag.checkpoints.empty import without_numbers\n"
        "from anytag.models.swin import Swin, swin_base\n"
        "from anytag.models.decoder import TaggingDecoder\n"
        "from anytag.models.tagging import TaggingNetwork\n"
        "from anytag.models.config import nano, nano_captioner, ram\n"
        "from dataclasses import replace\n"
        "before = len(sys.modules)\n"
        "with without_numbers():\n"
        "    Swin(swin_base(384)), TaggingDecoder(ram().decoder, 512)\n"
        "    network = TaggingNetwork(replace(nano(), captioner=nano_captioner(2500, 128)))\n"
        "assert all(one.is_meta for one in network.state_dict().values())\n"
        "print(len(sys.modules) - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20
