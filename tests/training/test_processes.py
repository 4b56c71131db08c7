"""Two real processes with half a batch each, against one process with all of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_two_processes_equal_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"),
        *("--master_addr=127.0.0.1", f"--master_port={port}"),
        str(Path(__file__).with_name("objective_worker.py")),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    families = ("plain", "ram", "ram_plus", "tag2text")
    assert [tuple(row[:2]) for row in rows] == [
        (family, way) for family in families for way in ("ddp", "fsdp")
    ]
    for family, way, of_loss, of_gradient in rows:
        assert of_loss < 1e-5, (family, way)
        assert of_gradient < 1e-5, (family, way)
