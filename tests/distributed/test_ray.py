"""Real Ray, real processes: workers and drivers are killed, disks are full, shares go away.

Each image must be in the output exactly once afterwards, and the output that of one process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import counted
from .ray_jobs import PATIENCE, SHARD_SIZE, Job, wait_for, write_photos

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]

NUM_PHOTOS = 48


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Some of them broken."""
    folder = tmp_path / "photos"
    write_photos(folder, NUM_PHOTOS)
    (folder / "011.png").write_bytes(b"broken")
    return folder


def done(folder: Path) -> list[Path]:
    """Parts that are there."""
    return sorted(folder.glob("ray.jsonl.job/0*.jsonl"))


def same_as_one_process(job: Job, *inputs: str, out: str = "ray.jsonl") -> None:
    """Each input once, and the bytes that one process writes."""
    job.run(*inputs, "-o", "one.jsonl", "--overwrite", engine="local")
    one, ray = (job.folder / "one.jsonl").read_bytes(), (job.folder / out).read_bytes()
    assert counted([json.loads(line)["path"] for line in ray.splitlines()]) == {}
    assert ray == one


def test_a_shard_may_take_longer_than_ray_waits(job: Job, photos: Path) -> None:
    """Ray ends a pipeline that gives nothing for 30 minutes; here it would for 10 ms."""
    job.environment["RAY_DATA_EXECUTION_NO_PROGRESS_TIMEOUT_S"] = "0.01"
    code, err = job.run("photos", "-o", "ray.jsonl")
    assert code == 1  # for the broken photo
    assert f"{NUM_PHOTOS - 1} tagged, 1 failed" in err


def test_a_killed_worker(job: Job, photos: Path) -> None:
    process = job.start("photos", "-o", "ray.jsonl")
    wait_for(lambda: done(job.folder), "the first part")
    victim = wait_for(lambda: job.processes("ray::MapWorker"), "a worker")[0]
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1  # for the broken photo
    assert f"{NUM_PHOTOS - 1} tagged, 1 failed" in err
    same_as_one_process(job, "photos")


def test_a_killed_driver(job: Job, photos: Path) -> None:
    process = job.start("photos", "-o", "ray.jsonl")
    wait_for(lambda: len(done(job.folder)) >= 3, "some parts")
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_for(lambda: not job.processes("ray"), "Ray's processes to end")
    finished = len(list(job.folder.glob("ray.jsonl.job/[0-9][0-9][0-9][0-9][0-9].json")))
    assert 2 <= finished < NUM_PHOTOS / SHARD_SIZE
    assert not (job.folder / "ray.jsonl").exists()
    code, err = job.run("photos", "-o", "ray.jsonl", "--resume")
    assert code == 1
    assert f"; {finished * SHARD_SIZE} of them earlier" in err
    same_as_one_process(job, "photos")


def test_ctrl_c_completes_what_is_begun(job: Job, photos: Path) -> None:
    process = job.start("photos", "-o", "ray.jsonl", start_new_session=True)
    wait_for(lambda: done(job.folder), "the first part")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "what is begun is completed" in err
    assert "run the same command with --resume" in err
    parts = done(job.folder)
    assert 0 < len(parts) < NUM_PHOTOS / SHARD_SIZE
    assert not list(job.folder.glob("ray.jsonl.job/.anytag-*"))
    assert job.run("photos", "-o", "ray.jsonl", "--resume")[0] == 1
    same_as_one_process(job, "photos")


def test_a_second_ctrl_c_stops_at_once(job: Job, photos: Path) -> None:
    process = job.start("photos", "-o", "ray.jsonl", start_new_session=True)
    wait_for(lambda: done(job.folder), "the first part")
    os.kill(process.pid, signal.SIGINT)
    told = iter(process.stderr.readline, "")
    assert any("Ctrl-C again to stop at once" in line for line in told)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert not (job.folder / "ray.jsonl").exists()
    assert job.run("photos", "-o", "ray.jsonl", "--resume")[0] == 1
    same_as_one_process(job, "photos")


#: in Ray's workers, to open this file is death
DEADLY = """
import io, os, signal, sys

if any("default_worker.py" in one for one in sys.orig_argv):
    open_file = io.open

    def dying(file, *arguments, **options):
        if str(file).endswith("013.png"):
            os.kill(os.getpid(), signal.SIGKILL)
        return open_file(file, *arguments, **options)

    io.open = dying
"""


def test_an_image_that_kills_its_worker_each_time(job: Job, photos: Path) -> None:
    job.run("photos", "-o", "one.jsonl", engine="local")
    (job.folder / "early").mkdir()
    (job.folder / "early" / "sitecustomize.py").write_text(DEADLY)
    paths = [str(job.folder / "early"), os.environ.get("PYTHONPATH", "")]
    job.environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    code, err = job.run("photos", "-o", "ray.jsonl")
    assert code == 1
    assert f"{NUM_PHOTOS - 2} tagged, 2 failed; " in err
    assert "shards again, as their worker died" in err
    one, ray = (
        list(map(json.loads, (job.folder / f"{name}.jsonl").read_text().splitlines()))
        for name in ("one", "ray")
    )
    different = [b for a, b in zip(one, ray, strict=True) if a != b]
    assert [record["path"] for record in different] == ["photos/013.png"]
    assert different[0]["error"]["type"] == "worker_lost"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(path.parent).free == 0


def test_a_full_disk(job: Job, photos: Path, small_disk: Path) -> None:
    out = small_disk / "ray.jsonl"
    job_folder = small_disk / "ray.jsonl.job"
    process = job.start("photos", "-o", str(out))
    wait_for(lambda: list(job_folder.glob("0*.jsonl")), "the first part")
    filler = small_disk / "filler"
    fill(filler)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "disk is full" in err or "No space left" in err
    assert not out.exists()
    filler.unlink()
    assert job.run("photos", "-o", str(out), "--resume")[0] == 1
    same_as_one_process(job, "photos", out="disk/ray.jsonl")


def test_a_lost_mount(job: Job, photos: Path, small_disk: Path) -> None:
    """Simulated: a file system of photos is unmounted while they are tagged, and comes back."""
    share = small_disk / "share"
    shutil.copytree(photos, share)
    process = job.start("disk/share", "-o", "ray.jsonl")
    wait_for(lambda: done(job.folder), "the first part")
    subprocess.run(["umount", "-l", str(small_disk)], check=True)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "shards were left undone" in err
    assert "was there when the job was planned" in err
    assert not (job.folder / "ray.jsonl").exists()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small_disk)]
    subprocess.run(mount, check=True)
    shutil.copytree(photos, share)
    assert job.run("disk/share", "-o", "ray.jsonl", "--resume")[0] == 1
    same_as_one_process(job, "disk/share")


def test_broken_shards(job: Job, photos: Path) -> None:
    pytest.importorskip("pyarrow")
    import tarfile

    import pyarrow
    from pyarrow import parquet

    whole = job.folder / "whole.tar"
    with tarfile.open(whole, "w") as tar:
        for path in sorted(photos.iterdir())[:12]:  # one is broken
            tar.add(path, path.name)
    content = whole.read_bytes()
    (job.folder / "cut.tar").write_bytes(content[: len(content) // 2])
    table = pyarrow.table({"image": [path.read_bytes() for path in sorted(photos.iterdir())[:3]]})
    parquet.write_table(table, job.folder / "good.parquet")
    good = (job.folder / "good.parquet").read_bytes()
    (job.folder / "bad.parquet").write_bytes(good[:100] + bytes(50) + good[150:-20])
    names = ["whole.tar", "cut.tar", "good.parquet", "bad.parquet", "gone.tar"]
    code, err = job.run(*names, "-o", "ray.jsonl")
    assert code == 1
    assert "failed" in err
    same_as_one_process(job, *names)
    records = list(map(json.loads, (job.folder / "ray.jsonl").read_text().splitlines()))
    errors = {record["path"] for record in records if record["error"]}
    assert {"whole.tar/011.png", "cut.tar", "bad.parquet", "gone.tar"} == errors
    assert sum(record["path"].startswith("whole.tar/") for record in records) == 12


def test_no_such_cluster(job: Job, photos: Path) -> None:
    command = [sys.executable, "-m", "anytag", "tag", "photos", "-o", "ray.jsonl"]
    command += ["--engine", "ray", "--ray-address", "127.0.0.1:1", "--device", "cpu"]
    done = subprocess.run(
        command, cwd=job.folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert "no Ray at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
