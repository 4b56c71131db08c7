"""`anytag train` on two nodes (two torchrun here) and under Ray Train; a process is killed."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from anytag.training.journal import read_journal

from .ray_jobs import MARK, PATIENCE, processes, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_train.py"
CONFIG = """
output: {output}
model: {{start: nano, num_trainable_blocks: 0, image_size: 64}}
data: {{train: [{{path: colours.csv}}], labels: data, val_every: 4, num_workers: 0}}
run: {{epochs: 25, batch_size: 8, save_every: 5, device: cpu, tensorboard: false, log_every: 1}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """48 pictures, their tags, and a configuration for each output."""
    generator = np.random.default_rng(0)
    rows = [("image", "tags")]
    for number in range(48):
        name, colour = [("tomato", (220, 30, 30)), ("lawn", (30, 200, 40))][number % 2]
        pixels = np.clip(generator.normal(colour, 25, (40, 48, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append((f"{number}.png", name))
    with (tmp_path / "colours.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for name in ("whole", "killed"):
        (tmp_path / f"{name}.yaml").write_text(CONFIG.format(output=name))
    return tmp_path


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    temporary = tempfile.mkdtemp(prefix="atn", dir="/tmp")
    yield {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", MARK: temporary,
        "RAY_TMPDIR": temporary, "RAY_worker_register_timeout_seconds": str(PATIENCE),
    }  # fmt: skip
    wait_for(lambda: not processes(temporary, "python"), "all processes to end")
    shutil.rmtree(temporary, ignore_errors=True)


def start_nodes(folder: Path, environment: dict[str, str], name: str) -> list[Any]:
    """As docs/scale.md says it, on two nodes with a process each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1"]
    command += ["--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{port}", f"--rdzv_id={name}"]
    command += ["--max_restarts=3", "-m", "anytag", "train", f"{name}.yaml", "--resume"]
    return [
        subprocess.Popen(
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]


def finish(nodes: list[Any]) -> None:
    for node in nodes:
        _, err = node.communicate(timeout=PATIENCE)
        assert node.returncode == 0, err.decode()[-3000:]


def kill_one(folder: Path, mark: str, name: str) -> None:
    """A process of the training, when a state is there."""
    wait_for(lambda: list(folder.glob("killed/state/step-*")), "a state")
    os.kill(processes(mark, name)[0], signal.SIGKILL)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    *_, last = sorted(folder.glob("state/step-*"))
    found: dict[str, torch.Tensor] = load_file(last / "weights.safetensors")
    return found


def assert_equal(folder: Path) -> None:
    """Bit by bit, and no step is left out or done twice by what counts."""
    whole, killed = weights(folder / "whole"), weights(folder / "killed")
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[key], killed[key]) for key in whole)
    steps, again = (
        [(line["step"], line["total"]) for line in read_journal(folder / name) if "total" in line]
        for name in ("whole", "killed")
    )
    assert len(steps) == 25 * (36 // 8)
    assert again == steps


def test_two_nodes_with_a_killed_process(folder: Path, environment: dict[str, str]) -> None:
    finish(start_nodes(folder, environment, "whole"))
    nodes = start_nodes(folder, environment, "killed")
    kill_one(folder, environment[MARK], "-u\0-m\0anytag\0train")
    finish(nodes)
    assert_equal(folder)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.skipif(not EXAMPLE.exists(), reason="examples/ is not part of a wheel")
def test_ray_train_with_a_killed_process(folder: Path, environment: dict[str, str]) -> None:
    def start(name: str) -> Any:
        return subprocess.Popen(
            [sys.executable, EXAMPLE, f"{name}.yaml", "--workers", "2", "--storage", folder / "r"],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    finish([start("whole")])
    driver = start("killed")
    kill_one(folder, environment[MARK], "RayTrainWorker")
    finish([driver])
    assert_equal(folder)
