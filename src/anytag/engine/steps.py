"""Steps of shards that survive a kill at any moment: what is done is kept, the rest done again.

A step is a folder. Shard 7 is ``00007.jsonl`` (or another file, or several), each written
atomically, and after them ``00007.json`` with its counts: without that file the shard was not
finished and is made again from nothing, so that a resumed run has the bytes of an uninterrupted
one. When all shards are there ``manifest.json`` is written: what the step was made with, its shards
and the sum of their counts.

A step is made with settings and from the step before. If either has changed the step is refused,
or made anew where that was asked for.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from anytag.errors import OutputError, UsageError
from anytag.files import atomic_write, display_path

#: JSON values by name
Settings: TypeAlias = Mapping[str, Any]
#: how often each thing occurred
Counts: TypeAlias = Mapping[str, int]

MANIFEST = "manifest.json"
SETTINGS = "settings.json"
_TEMPORARY = ".anytag-*.tmp"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step's folder, open for work; made by `open_step`."""

    name: str
    folder: Path
    #: stands for its settings and those of all steps before
    fingerprint: str

    def path(self, shard: int, suffix: str = ".jsonl") -> Path:
        """File of a shard."""
        return self.folder / f"{shard:05}{suffix}"

    def counts(self, shard: int) -> Counter[str] | None:
        """Counts of a shard; None if it is not done."""
        found = _read(self.path(shard, ".json"))
        return None if found is None else Counter(found["counts"])

    def finish_shard(self, shard: int, counts: Counts) -> None:
        """The shard's files are written: it is done."""
        write_json(self.path(shard, ".json"), {"counts": dict(sorted(counts.items()))})

    @property
    def manifest(self) -> dict[str, Any] | None:
        """Of a finished step: "fingerprint", "num_shards", "counts"; else None."""
        return _read(self.folder / MANIFEST)

    def finish(self, num_shards: int, extra: Settings | None = None) -> Counter[str]:
        """All shards are done: write the manifest.

        Args:
            num_shards: of the step
            extra: more JSON values for the manifest

        Returns:
            the sum of the shards' counts
        """
        total: Counter[str] = Counter()
        for shard in range(num_shards):
            counts = self.counts(shard)
            assert counts is not None, f"{self.name}: shard {shard} is not done"
            total.update(counts)
        manifest = {
            "step": self.name,
            "fingerprint": self.fingerprint,
            "num_shards": num_shards,
            "counts": dict(sorted(total.items())),
            **(extra or {}),
        }
        write_json(self.folder / MANIFEST, manifest)
        return total


@dataclass
class Steps:
    """Opens the steps of a run one after the other.

    Args:
        folder: of the run
        redo: make a step anew that was made with other settings, instead of refusing
    """

    folder: Path
    redo: bool = False
    _before: str = field(default="", init=False)

    def open(self, name: str, settings: Settings) -> Step:
        """The next step, with what an earlier run has left of it.

        Raises:
            UsageError: it was made with other settings
        """
        text = json.dumps([self._before, name, settings], sort_keys=True)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
        step = Step(name=name, folder=self.folder / name, fingerprint=fingerprint)
        earlier = _read(step.folder / SETTINGS)
        if earlier is not None and earlier["fingerprint"] != fingerprint:
            if not self.redo:
                raise UsageError(_changed(step, earlier["settings"], settings))
            (step.folder / SETTINGS).unlink()
            earlier = None
        if earlier is None and step.folder.exists():  # or a run was killed while it removed them
            shutil.rmtree(step.folder)
        step.folder.mkdir(parents=True, exist_ok=True)
        for left in step.folder.glob(_TEMPORARY):  # of a run that was killed while it wrote
            left.unlink()
        if earlier is None:
            made_with = {"fingerprint": fingerprint, "settings": settings}
            write_json(step.folder / SETTINGS, made_with)
        self._before = fingerprint
        return step


class RunShards(Protocol):
    """Who makes what is missing of a step; `run_shards`, one after the other, in this process."""

    def __call__(
        self,
        step: Step,
        num_shards: int,
        make: Callable[[int], Counts],
        *,
        report: Callable[[str, int, int], None],
    ) -> Counter[str]: ...


def run_shards(
    step: Step,
    num_shards: int,
    make: Callable[[int], Counts],
    *,
    report: Callable[[str, int, int], None] = lambda name, done, total: None,
    extra: Settings | None = None,
) -> Counter[str]:
    """Make what is missing of a step.

    Args:
        step: of `Steps.open`
        num_shards: of the step
        make: writes the files of one shard and returns its counts
        report: told the step, how many shards are done, and of how many
        extra: more JSON values for the manifest

    Returns:
        counts of the whole step
    """
    manifest = step.manifest
    if manifest is not None:
        return Counter(manifest["counts"])
    for shard in range(num_shards):
        if step.counts(shard) is None:
            step.finish_shard(shard, make(shard))
        report(step.name, shard + 1, num_shards)
    return step.finish(num_shards, extra)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, readable, atomically."""
    with atomic_write(path) as file:
        text = json.dumps(value, ensure_ascii=False, indent=1)
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")


def write_rows(path: Path, rows: Iterator[Settings]) -> int:
    """Write JSON Lines atomically; returns how many."""
    num = 0
    with atomic_write(path) as file:
        for row in rows:
            text = json.dumps(row, ensure_ascii=False)
            file.write(text.encode("utf-8", "backslashreplace") + b"\n")
            num += 1
    return num


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of `write_rows`.

    Raises:
        OutputError: a line is no JSON object; the file was changed
    """
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise OutputError(
                    f"{display_path(path)}, line {number}: no JSON; the file was changed after "
                    "the engine wrote it, remove the step's folder and run again"
                ) from error
            yield row


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OutputError(f"{display_path(path)}: damaged; remove it and run again") from error
    return found


def _changed(step: Step, earlier: Settings, settings: Settings) -> str:
    names = sorted({*earlier, *settings})
    different = [name for name in names if earlier.get(name) != settings.get(name)]
    what = (
        f"{different[0]} = {_brief(earlier.get(different[0]))}, now it is "
        f"{_brief(settings.get(different[0]))}"
        if different
        else "another step before it"
    )
    return (
        f"{display_path(step.folder)} was made with {what}; use the same settings or another "
        f"folder, or --redo to make the step {step.name!r} and those after it anew"
    )


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
