"""The command line with a model that is fast, run on a pool in this process."""

from __future__ import annotations

import io
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anytag.distributed.pool import here
from anytag.engine.steps import Step

from .ray_jobs import Job, wait_for

#: they hold the real model's class once they were imported
_OF_THE_MODEL = ("tag_model", "tag_run", "tag_shards", "tag_ray")

Tag = Callable[..., int]


@pytest.fixture
def step(tmp_path: Path) -> Step:
    folder = tmp_path / "step"
    folder.mkdir()
    return Step(name="step", folder=folder, fingerprint="f")


@pytest.fixture
def tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_tagger: None) -> Tag:
    """``tag(*arguments)``: ``anytag tag`` in the test's folder; ``pool=`` gives it a pool."""
    for name in _OF_THE_MODEL:
        monkeypatch.delitem(sys.modules, f"anytag.cli.{name}", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*paths: str, pool: Any = None, **changes: Any) -> int:
        from anytag.cli import tag_ray, tag_run

        if pool is None:
            return tag_run.run(replace(default_options(), paths=list(paths), **changes))
        from anytag.cli.options import RunOn

        changes["engine"] = RunOn.RAY
        options = replace(default_options(), paths=list(paths), **changes)
        return tag_ray.run(options, pool=pool)

    return run


def default_options() -> Any:
    """What ``anytag tag x -o out.jsonl -q`` is given."""
    from anytag.cli import tag_options
    from anytag.cli.options import RunBy, RunOn, XmpNaming

    return tag_options.TagOptions(
        paths=["x"], from_file=None, recursive=True, tags=None, tag=None, extend_tags=None,
        exclude=None, always=None, threshold=None, thresholds=None, top_k=None, lang=None,
        form=None, out=Path("out.jsonl"), resume=False, overwrite=False, caption=False,
        caption_txt=False, quiet=True, embed=False, dry_run=False, xmp_naming=XmpNaming.AUTO,
        model="nano", device="cpu", dtype="auto", backend=RunBy.AUTO, batch_size=4, workers=1,
        engine=RunOn.LOCAL, ray_address=None, ray_workers=None, shard_size=None,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def ray_counts_as_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only tests/distributed/test_ray.py needs it."""
    from anytag.cli import ray_options

    monkeypatch.setattr(ray_options, "find_spec", lambda name: object())


@pytest.fixture
def job(tmp_path: Path, seeing_model: Path) -> Iterator[Job]:
    """For tests with a real Ray; waits until its processes have ended."""
    # Ray's sockets lie in it, and their names may have 107 characters
    temporary = Path(tempfile.mkdtemp(prefix="atr", dir="/tmp"))
    job = Job(tmp_path, temporary, seeing_model)
    yield job
    wait_for(lambda: not job.processes("ray"), "Ray's processes to end")
    shutil.rmtree(temporary, ignore_errors=True)


def picture(number: int) -> bytes:
    """A small PNG."""
    draw = random.Random(number)
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (draw.randrange(256), 200, draw.randrange(256))).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """33 files in three folders; every eighth is broken in another way."""
    folder = tmp_path / "photos"
    for number in range(33):
        path = folder / f"{number % 3}" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = picture(number)
        if number % 8 == 5:
            content = [b"", b"no image", content[: len(content) // 2]][number // 8 % 3]
        path.write_bytes(content)
    (folder / "0" / "odd \udce9 name.png").write_bytes(picture(99))
    return folder


class Flaky:
    """A pool whose driver dies after some shards."""

    def __init__(self, num: int) -> None:
        self._num = num

    def __call__(self, step: Any, make: Any, shards: Any) -> Any:
        yield from here(step, make, shards[: self._num])
        raise SystemExit("killed")


def counted(lines: list[Any]) -> dict[Any, int]:
    """How often each is there, if not once."""
    return {line: num for line, num in Counter(lines).items() if num != 1}
