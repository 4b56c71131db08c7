"""``anytag`` as processes with a real Ray, for tests that kill them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SHARD_SIZE = 4
#: everything is slow where other programs run
PATIENCE = 1200
MARK = "ANYTAG_TEST_RAY"
ON_RAY = ("--engine", "ray", "--ray-address", "local", "--ray-workers", "2")


class Job:
    """``anytag`` with a Ray of its own, in a folder."""

    def __init__(self, folder: Path, temporary: Path, model: Path) -> None:
        self.folder = folder
        self.model = model
        self.environment = os.environ | {
            "RAY_TMPDIR": str(temporary),
            "RAY_worker_register_timeout_seconds": str(PATIENCE),
            "OMP_NUM_THREADS": "1",
            MARK: str(temporary),
        }

    def start(self, *arguments: str, engine: str = "ray", **options: Any) -> Any:
        """``anytag tag`` as a process of its own; its streams are pipes."""
        arguments += ("--model", str(self.model), "--threshold", "0.05", "--workers", "1")
        if engine == "ray":
            arguments += (*ON_RAY, "--shard-size", str(SHARD_SIZE))
        return self.begin("tag", *arguments, **options)

    def begin(self, *arguments: str, **options: Any) -> Any:
        """Any command."""
        command = [sys.executable, "-m", "anytag", *arguments]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, **(streams | options)
        )

    def run(self, *arguments: str, **options: Any) -> tuple[int, str]:
        """``anytag tag`` to its end: exit code and standard error; standard output is empty."""
        return self.end(self.start(*arguments, **options))

    def end(self, process: Any) -> tuple[int, str]:
        """Exit code and standard error; nothing is on standard output."""
        out, err = process.communicate(timeout=PATIENCE)
        assert out == ""
        return process.returncode, err

    def processes(self, name: str) -> list[int]:
        """See `processes`."""
        return processes(self.environment[MARK], name)


def processes(mark: str, name: str) -> list[int]:
    """Processes with this `MARK` whose command line holds ``name``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = mark.encode() in (entry / "environ").read_bytes()
            if is_ours and name.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # has ended
            continue
    return found


def write_photos(folder: Path, number: int) -> None:
    """Pictures of noise in a new folder."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for place in range(number):
        pixels = random.integers(0, 256, (50, 60, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{place:03}.png")


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")
