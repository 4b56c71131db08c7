"""A job on disk: its plan, then the state of each shard, and the parts of the output.

    JOB/shards.jsonl   one line a shard: what it is made of
    JOB/shards.index   where each line begins: int64, little-endian
    JOB/job.json       settings, counts and SHA-256 of the plan; written last, so with it the plan
                       is whole
    JOB/00007.json     shard 7 is done: its counts
    JOB/00007.errors.json  what went wrong with some of its inputs, if anything did
    PARTS/00007.jsonl  its part of the output

A job that is started again follows the plan that it finds, even if folders have other files now.
JOB and PARTS are the same folder (``OUT.job``) where the parts are put together in the end, else
``OUT/_job`` and ``OUT``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from anytag.engine import claim
from anytag.engine.steps import Step, write_json
from anytag.errors import OutputError, UsageError
from anytag.files import atomic_write, display_path

JOB = "job.json"
SHARDS = "shards.jsonl"
INDEX = "shards.index"
ERRORS = ".errors.json"
_OFFSET = struct.Struct("<q")
_TEMPORARY = ".anytag-*.tmp"
#: what happens if the job exists: refuse, go on, or start again
Mode = Literal["new", "resume", "overwrite"]
#: a line of the plan, and how many inputs it stands for; None if only its worker will know
PlannedShard = tuple[Mapping[str, Any], int | None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """An open job; what workers need of it can be sent to them."""

    #: JOB
    folder: Path
    #: PARTS
    parts: Path
    #: ending of a part
    suffix: str
    num_shards: int
    #: of all shards; None if it is not known
    num_inputs: int | None
    #: SHA-256 of the plan
    fingerprint: str

    @property
    def step(self) -> Step:
        """State of the shards."""
        return Step(name="shards", folder=self.folder, fingerprint=self.fingerprint)

    @property
    def has_begun(self) -> bool:
        """Whether a shard is done."""
        return any(self.step.counts(shard) is not None for shard in range(self.num_shards))

    def part(self, shard: int) -> Path:
        """A shard's part of the output."""
        return self.parts / f"{shard:05}{self.suffix}"

    def shard(self, shard: int) -> dict[str, Any]:
        """A shard's line of the plan."""
        with (self.folder / INDEX).open("rb") as file:
            file.seek(shard * _OFFSET.size)
            (offset,) = _OFFSET.unpack(file.read(_OFFSET.size))
        with (self.folder / SHARDS).open("rb") as file:
            file.seek(offset)
            line: dict[str, Any] = json.loads(file.readline())
        return line

    def copy_parts(self, out: IO[bytes]) -> None:
        """All parts one after the other: right for formats without head and foot."""
        for shard in range(self.num_shards):
            with self.part(shard).open("rb") as file:
                shutil.copyfileobj(file, out, 1 << 20)

    def note_errors(self, shard: int, messages: Sequence[str]) -> None:
        """Keep what is told in the end of a shard's errors."""
        if messages:
            write_json(self.step.path(shard, ERRORS), list(messages))

    def first_errors(self, shards: Iterable[int], limit: int) -> list[str]:
        """The first messages of shards that noted some, in the order of the inputs."""
        found: list[str] = []
        for shard in sorted(shards):
            if len(found) < limit:
                found += json.loads(self.step.path(shard, ERRORS).read_text(encoding="utf-8"))
        return found[:limit]

    def remove(self) -> None:
        """The output is complete without it."""
        shutil.rmtree(self.folder)


def open_job(
    out: Path,
    settings: Mapping[str, Any],
    plan: Callable[[], Iterable[PlannedShard]],
    *,
    suffix: str,
    mode: Mode,
    in_parts: bool,
) -> Job:
    """Plan a job, or go on with one.

    Args:
        out: the output: a file, or with ``in_parts`` a folder
        settings: JSON values: all that changes the output
        plan: its shards; called only for a new job
        suffix: ending of a part
        mode: what happens if the job or the output exists
        in_parts: the parts are the output

    Raises:
        UsageError: ``mode`` is "new" and it exists; or it is "resume" and the job is another one
        OutputError: a file cannot be written
    """
    folder = out / "_job" if in_parts else out.with_name(out.name + ".job")
    try:
        known = _known(out, folder, mode, in_parts)
        if known is None:
            folder.mkdir(parents=True, exist_ok=True)
            known = _write_plan(folder, settings, plan())
        else:
            _check_settings(out, known["settings"], settings)
        for place in {folder, out} if in_parts else {folder}:
            for left in place.glob(_TEMPORARY):  # of workers that were killed while they wrote
                left.unlink()
    except OSError as error:
        raise OutputError(f"cannot use {display_path(folder)}: {error.strerror}") from error
    return Job(
        folder=folder,
        parts=out if in_parts else folder,
        suffix=suffix,
        num_shards=known["num_shards"],
        num_inputs=known["num_inputs"],
        fingerprint=known["SHA-256"],
    )


def locked(job: Job) -> AbstractContextManager[None]:
    """One run at a time.

    Raises:
        UsageError: another run holds it
    """
    return claim.locked(job.folder / JOB)


def _known(out: Path, folder: Path, mode: Mode, in_parts: bool) -> dict[str, Any] | None:
    """The job's own file; None for a new job, for which there is room then."""
    name = display_path(out)
    try:
        found: dict[str, Any] = json.loads((folder / JOB).read_bytes())
    except FileNotFoundError:
        found = {}
    except ValueError as error:
        raise UsageError(
            f"{display_path(folder / JOB)} is damaged; start again with --overwrite"
        ) from error
    if mode == "overwrite":
        for shard in range(found.get("num_shards", 0) if in_parts else 0):
            for part in out.glob(f"{shard:05}.*"):
                part.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        found = {}
    if found and mode == "new":
        raise UsageError(
            f"{name} was begun; continue with --resume, or start again with --overwrite"
        )
    if found:
        return found
    shutil.rmtree(folder, ignore_errors=True)  # was killed while it was planned
    if in_parts and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{name} holds other files; name a new folder for the parts")
    if not in_parts and out.exists() and mode != "overwrite":
        advice = "is complete" if mode == "resume" else "exists"
        raise UsageError(f"{name} {advice}; replace it with --overwrite")
    return None


def _write_plan(
    folder: Path, settings: Mapping[str, Any], shards: Iterable[PlannedShard]
) -> dict[str, Any]:
    digest = hashlib.sha256()
    offset = num_shards = 0
    num_inputs: int | None = 0
    with atomic_write(folder / SHARDS) as file, atomic_write(folder / INDEX) as index:
        for row, num in shards:
            text = json.dumps(row, ensure_ascii=False) + "\n"
            line = text.encode("utf-8", "backslashreplace")
            index.write(_OFFSET.pack(offset))
            file.write(line)
            digest.update(line)
            offset += len(line)
            num_shards += 1
            num_inputs = None if num is None or num_inputs is None else num_inputs + num
    job = {
        "settings": dict(settings),
        "num_shards": num_shards,
        "num_inputs": num_inputs,
        "SHA-256": digest.hexdigest(),
    }
    write_json(folder / JOB, job)
    return job


def _check_settings(out: Path, earlier: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(settings))  # as JSON gives it back
    for key in sorted({*earlier, *now}):
        if earlier.get(key) != now.get(key):
            raise UsageError(
                f"{display_path(out)} was begun with {key} = {_brief(earlier.get(key))}, this run "
                f"has {_brief(now.get(key))}; use the same, or another output, or --overwrite"
            )


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
