"""A real cluster of several nodes on one machine, of which whole nodes are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from .ray_cluster import SLOW
from .ray_jobs import PATIENCE, SHARD_SIZE, Job, wait_for, write_photos
from .test_ray import done, same_as_one_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]

NUM_PHOTOS = 200


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write_photos(folder, NUM_PHOTOS)
    return folder


class Nodes:
    """Nodes of one processor, and a head without any."""

    def __init__(self, job: Job) -> None:
        # so that a dead node is known to be dead in seconds
        job.environment |= {
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "4",
        }
        script = Path(__file__).with_name("ray_cluster.py")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.program = subprocess.Popen(
            [sys.executable, str(script)], env=job.environment, text=True, **pipes
        )
        self.address = self._answer()

    def add(self) -> int:
        """A new node: the process id of its raylet, whose children its workers are."""
        assert self.program.stdin is not None
        self.program.stdin.write("add\n")
        self.program.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self.program.stdout is not None
        text = self.program.stdout.readline().strip()
        if text == SLOW:
            pytest.skip("this machine is too busy to start Ray's nodes within 30 seconds")
        return text


@pytest.fixture
def nodes(job: Job) -> Iterator[Nodes]:
    nodes = Nodes(job)
    yield nodes
    nodes.program.communicate(timeout=PATIENCE)
    for left in job.processes("ray"):  # of nodes whose raylet was killed
        with contextlib.suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)


def children(process: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == process:
                found.append(int(entry.name))
    return found


def working(raylet: int) -> list[int]:
    """Its processes that tag."""
    names = {child: Path(f"/proc/{child}/cmdline") for child in children(raylet)}
    found = []
    for child, name in names.items():
        with contextlib.suppress(OSError):
            if b"ray::MapWorker" in name.read_bytes():
                found.append(child)
    return found


def cut_off(raylet: int) -> None:
    """As a machine goes that loses its power: all at once."""
    for process in [raylet, *children(raylet)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def start(job: Job, nodes: Nodes) -> subprocess.Popen[str]:
    process = job.start(
        *("photos", "-o", "ray.jsonl", "--engine", "ray", "--shard-size", str(SHARD_SIZE)),
        *("--ray-address", nodes.address, "--ray-workers", "2"),
        engine="cluster",
    )
    assert isinstance(process, subprocess.Popen)
    return process


def test_a_lost_node_and_none_comes_instead(job: Job, photos: Path, nodes: Nodes) -> None:
    """The job ends on the node that is left."""
    victim, other = nodes.add(), nodes.add()
    process = start(job, nodes)
    wait_for(lambda: done(job.folder) and working(victim) and working(other), "both to work")
    cut_off(victim)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert f"{NUM_PHOTOS} tagged, 0 failed" in err
    same_as_one_process(job, "photos")


def test_all_nodes_are_lost_and_one_comes_later(job: Job, photos: Path, nodes: Nodes) -> None:
    victim = nodes.add()
    process = start(job, nodes)
    wait_for(lambda: done(job.folder) and working(victim), "it to work")
    cut_off(victim)
    told = iter(process.stderr.readline, "")  # type: ignore[union-attr]
    assert any("workers that have room: 0; waiting for a node" in line for line in told)
    assert process.poll() is None
    nodes.add()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert f"{NUM_PHOTOS} tagged, 0 failed" in err
    same_as_one_process(job, "photos")
