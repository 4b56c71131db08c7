"""Killed, interrupted, out of disk: whole records stay, and a second run completes them."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakePhotos = Callable[..., Path]
BATCH = ["--batch-size", "8"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def records(path: Path) -> list[str]:
    """Whole lines of a file; each must be a record."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        json.loads(line)
    return lines


def wait_for_lines(path: Path, num: int, process: Any) -> None:
    """Until the file has so many lines, or the process has ended."""
    while process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= num:
            return
        time.sleep(0.001)


def stop(process: Any) -> None:
    process.wait(timeout=60)
    process.stdout.close()
    process.stderr.close()


def kill_and_resume(cli: Any, photos: Path, out: Path, journal: Path) -> None:
    """Three kills at random moments, each after some more lines; then to the end."""
    num = len(list(photos.rglob("*.png")))
    draw = random.Random()
    for third in range(3):
        arguments = ["tag", "photos", "-r", "-o", str(out), "--resume", *BATCH]
        process = cli.start(*arguments, delay=0.02)
        wait_for_lines(journal, num * third // 4 + draw.randrange(1, num // 4), process)
        process.send_signal(signal.SIGKILL)
        stop(process)
    done = cli("tag", "photos", "-r", "-o", str(out), "--resume", *BATCH)
    assert done.code == 1  # some images are broken
    assert "done earlier" in done.err


@pytest.mark.parametrize("num", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_three_kills_leave_no_trace(
    cli: Any, make_photos: MakePhotos, tmp_path: Path, num: int
) -> None:
    photos = make_photos(num)
    assert cli("tag", "photos", "-r", "-o", "whole.jsonl", *BATCH).code == 1
    kill_and_resume(cli, photos, tmp_path / "killed.jsonl", tmp_path / "killed.jsonl")
    expected = records(tmp_path / "whole.jsonl")
    assert records(tmp_path / "killed.jsonl") == expected
    failed = Counter(json.loads(line)["error"] is not None for line in expected)
    assert failed == {True: num // 20, False: num - num // 20}


@pytest.mark.parametrize("name", ["csv", "json", "parquet"])
def test_other_formats_survive_kills_too(
    cli: Any, make_photos: MakePhotos, tmp_path: Path, name: str
) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    photos = make_photos(100)
    whole, killed = tmp_path / f"whole.{name}", tmp_path / f"killed.{name}"
    assert cli("tag", "photos", "-r", "-o", str(whole), *BATCH).code == 1
    kill_and_resume(cli, photos, killed, tmp_path / f"killed.{name}.partial.jsonl")
    assert killed.read_bytes() == whole.read_bytes()


def test_interrupt(cli: Any, make_photos: MakePhotos, tmp_path: Path) -> None:
    make_photos(200)
    out = tmp_path / "out.jsonl"
    process = cli.start("tag", "photos", "-r", "-o", str(out), *BATCH, delay=0.05)
    wait_for_lines(out, 20, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in err.decode()
    assert 20 <= len(records(out)) < 200
    assert cli("tag", "photos", "-r", "-o", str(out), "--resume", *BATCH).code == 1
    cli("tag", "photos", "-r", "-o", "whole.jsonl", *BATCH)
    assert records(out) == records(tmp_path / "whole.jsonl")


@pytest.mark.parametrize("form", ["json", "coco"])
def test_interrupt_completes_what_goes_to_a_pipe(
    cli: Any, make_photos: MakePhotos, form: str
) -> None:
    make_photos(200)
    process = cli.start("tag", "photos", "-r", "--format", form, *BATCH, delay=0.05, bufsize=0)
    start = process.stdout.read(300)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    json.loads(start + rest)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_full_disk(cli: Any, make_photos: MakePhotos, tmp_path: Path, name: str) -> None:
    """A limit on the file size stands for the full disk: both fail in the middle of a write."""
    resource = pytest.importorskip("resource")
    make_photos(100)
    journal = tmp_path / (name if name.endswith("jsonl") else f"{name}.partial.jsonl")
    process = cli.start(
        "tag", "photos", "-r", "-o", name, *BATCH,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.decode().splitlines()[-1] == f"anytag: cannot write {journal.name}: File too large"
    assert "--resume" in err.decode()
    assert 10 < len(records(journal)) < 100
    assert cli("tag", "photos", "-r", "-o", name, "--resume", *BATCH).code == 1
    cli("tag", "photos", "-r", "-o", f"whole-{name}", *BATCH)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()


def test_new_photos_are_added(cli: Any, make_photos: MakePhotos, tmp_path: Path) -> None:
    make_photos(30)
    again = ["tag", "photos", "more", "-r", "-o", "out.jsonl", "--resume", "-q"]
    (tmp_path / "more").mkdir()
    cli(*again)
    make_photos(20, "more")
    cli(*again)
    cli(*again)
    paths = [json.loads(line)["path"] for line in records(tmp_path / "out.jsonl")]
    assert len(paths) == len(set(paths)) == 30 + 20 + 1  # 1: the folder that was empty at first


def test_another_threshold_is_refused(cli: Any, make_photos: MakePhotos, tmp_path: Path) -> None:
    make_photos(10)
    cli("tag", "photos", "-r", "-o", "out.jsonl")
    before = (tmp_path / "out.jsonl").read_bytes()
    for changed in (["--threshold", "0.3"], ["--model", "other"], ["--tag", "x"], ["--lang", "de"]):
        done = cli("tag", "photos", "-r", "-o", "out.jsonl", "--resume", *changed)
        assert (done.code, done.out) == (2, "")
        assert "was made with" in done.err
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_captions_survive_a_kill(cli: Any, make_photos: MakePhotos, tmp_path: Path) -> None:
    """A caption that was written before its record is no conflict."""
    make_photos(60)
    arguments = ["tag", "photos", "-r", "-o", "out.jsonl", "--caption-txt", "--resume", *BATCH]
    process = cli.start(*arguments, delay=0.02)
    wait_for_lines(tmp_path / "out.jsonl", 20, process)
    process.send_signal(signal.SIGKILL)
    stop(process)
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"".join(out.read_bytes().splitlines(keepends=True)[:10]))
    cli(*arguments)
    errors = [json.loads(line)["error"] for line in records(out)]
    assert sum(error is not None for error in errors) == 3


def test_a_resumed_run_of_a_real_network_has_the_same_bits(
    cli: Any, make_photos: MakePhotos, tiny_model: Path, tmp_path: Path
) -> None:
    """Whatever the batches were in which its images were computed."""
    make_photos(70)
    arguments = ["tag", "photos", "-r", "--top-k", "4", "--model", str(tiny_model), "-o"]
    assert cli.real(*arguments, "whole.jsonl").code == 1
    assert cli.real(*arguments, "out.jsonl").code == 1
    out, whole = tmp_path / "out.jsonl", (tmp_path / "whole.jsonl").read_bytes()
    assert out.read_bytes() == whole
    out.write_bytes(whole[: len(whole) // 3])  # somewhere in a line
    assert cli.real(*arguments, "out.jsonl", "--resume").code == 1
    assert out.read_bytes() == whole
