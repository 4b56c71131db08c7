"""Images per second of two Ray workers beside one process; a worker is killed on the way.

::

    python benchmarks/ray_scale.py --folder /tmp/ray_scale --json benchmarks/results/13-ray.json

one
    ``anytag tag`` in one process whose model takes all processors
one thread
    the same, and the model takes one; on the first ``--one-thread-slices`` slices alone
ray
    ``anytag tag --engine ray --ray-workers 2``: a local Ray, a processor for each worker

Photos are made by the script from scikit-image's, as `speed.py` does. They are tagged in slices,
each by every engine in turn, so that a slow minute of the machine meets all. In the second slice of
Ray a worker is killed (SIGKILL) once the first part is there. Seconds are of the clock, start and
loading included; processor seconds are those of all processes of a run, whatever else the machine
does. ``fixed`` is a run over two photos: what does not grow with the photos.

A run that is stopped goes on with the next slice. Only on Linux, as it looks into /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from quality import machine, today
from speed import list_photos, make_photos

SIZE = (320, 240)
MARK = "ANYTAG_RAY_SCALE"
_TICKS = os.sysconf("SC_CLK_TCK")


class Watch:
    """Processor seconds of all processes of a run, also of those that no one waits for."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{MARK}={mark}".encode()
        self._seconds: dict[int, float] = {}

    def look(self) -> list[tuple[int, str]]:
        """Note what they have used up to now; their ids and command lines."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                fields = (folder / "stat").read_text().rpartition(") ")[2].split()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # has ended
                continue
            self._seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
            found.append((int(folder.name), command))
        return found

    @property
    def seconds(self) -> float:
        """Of all."""
        return sum(self._seconds.values())


def run(
    engine: str, photos: Sequence[Path], out: Path, options: argparse.Namespace, kill: bool = False
) -> dict[str, Any]:
    """One run; its seconds."""
    listed = out.with_suffix(".txt")
    listed.write_text("".join(f"{photo}\n" for photo in photos), encoding="utf-8")
    command = [sys.executable, "-m", "anytag", "tag", "--from-file", str(listed), "-o", str(out)]
    command += ["--overwrite", "--quiet"]
    if engine == "ray":
        command += ["--engine", "ray", "--ray-address", "local"]
        command += ["--ray-workers", str(options.workers), "--shard-size", str(options.shard_size)]
    threads = {"one": os.cpu_count() or 1, "one thread": 1, "ray": 1}[engine]
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), MARK: mark}
    watch, killed = Watch(mark), 0
    start = time.perf_counter()
    with subprocess.Popen(command, env=environment) as process:
        while process.poll() is None:
            time.sleep(0.2)
            found = watch.look()
            if kill and not killed and list(out.parent.glob(f"{out.name}.job/0*.jsonl")):
                workers = [pid for pid, name in found if "ray::" in name and "Map" in name]
                if workers:
                    os.kill(workers[0], signal.SIGKILL)
                    killed = 1
        seconds = time.perf_counter() - start
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} has ended with {process.returncode}")
    return {
        "engine": engine,
        "photos": len(photos),
        "seconds": round(seconds, 2),
        "processor_seconds": round(watch.seconds, 2),
        "killed": killed,
        "load": round(os.getloadavg()[0], 1),
    }


def records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def compare(one: Path, ray: Path, photos: Sequence[Path]) -> dict[str, Any]:
    """Whether each photo is in both outputs once, and how far the scores lie apart."""
    names = Counter(str(photo) for photo in photos)
    expected, found = list(records(one)), list(records(ray))
    apart = 0.0
    for first, second in zip(expected, found, strict=True):
        scores = [{tag["id"]: tag["score"] for tag in each["tags"]} for each in (first, second)]
        common = scores[0].keys() & scores[1].keys()
        apart = max([apart, *(abs(scores[0][tag] - scores[1][tag]) for tag in common)])
    return {
        "each_once": all(
            Counter(record["path"] for record in each) == names for each in (expected, found)
        ),
        "same_bytes": one.read_bytes() == ray.read_bytes(),
        "different_records": sum(a != b for a, b in zip(expected, found, strict=True)),
        "most_apart": round(apart, 6),
    }


def measure(photos: Sequence[Path], options: argparse.Namespace) -> list[dict[str, Any]]:
    """All slices; those of an earlier run are not run again."""
    notes = options.folder / "slices.json"
    slices = json.loads(notes.read_text()) if notes.exists() else []
    size = -(-len(photos) // options.slices)
    for number in range(len(slices), options.slices):
        own = photos[number * size : (number + 1) * size]
        engines = ["one", "ray"] + ["one thread"] * (number < options.one_thread_slices)
        outs = {name: options.folder / f"{name.replace(' ', '-')}.jsonl" for name in engines}
        runs = {
            name: run(name, own, outs[name], options, kill=name == "ray" and number == 1)
            for name in (engines if number % 2 == 0 else reversed(engines))
        }
        found = {"runs": runs, "ray_and_one": compare(outs["one"], outs["ray"], own)}
        if "one thread" in engines:
            found["ray_and_one_thread"] = compare(outs["one thread"], outs["ray"], own)
        slices.append(found)
        notes.write_text(json.dumps(slices, indent=1))
        print(json.dumps(found), file=sys.stderr)
        write(slices, photos, options)
    return slices


def write(
    slices: list[dict[str, Any]], photos: Sequence[Path], options: argparse.Namespace
) -> None:
    """The figures of the slices that are done."""
    fixed_file = options.folder / "fixed.json"
    if not fixed_file.exists():
        out = options.folder / "fixed.jsonl"
        fixed = {name: run(name, photos[:2], out, options) for name in ("one", "ray")}
        fixed_file.write_text(json.dumps(fixed))
    fixed = json.loads(fixed_file.read_text())
    ways = {}
    for name in ("one", "one thread", "ray"):
        runs = [one["runs"][name] for one in slices if name in one["runs"]]
        if runs:
            num, seconds = (sum(one[key] for one in runs) for key in ("photos", "seconds"))
            busy = sum(one["processor_seconds"] for one in runs)
            ways[name] = {
                "photos": num,
                "images_per_second": round(num / seconds, 2),
                "images_per_processor_second": round(num / busy, 2),
                "killed": sum(one["killed"] for one in runs),
            }
    figures = {
        "kind": "ray",
        "date": today(),
        "machine": machine(),
        "photos": sum(one["runs"]["ray"]["photos"] for one in slices),
        "slices": len(slices),
        "workers": options.workers,
        "size": list(SIZE),
        "ways": ways,
        "fixed": fixed,
        "ratio": _ratios(slices, "one"),
        "ratio_one_thread": _ratios(slices, "one thread"),
        "loads": sorted(one["runs"]["ray"]["load"] for one in slices),
        "equal": _together([one["ray_and_one"] for one in slices]),
        "equal_one_thread": _together(
            [one["ray_and_one_thread"] for one in slices if "ray_and_one_thread" in one]
        ),
    }
    options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _ratios(slices: list[dict[str, Any]], other: str) -> dict[str, float] | None:
    """Throughput of Ray over another's, of the clock and by processor time, slice by slice."""
    found: dict[str, float] = {}
    runs = [one["runs"] for one in slices if other in one["runs"]]
    for key in ("seconds", "processor_seconds"):
        values = [one[other][key] / one["ray"][key] for one in runs]
        if values:
            found |= {
                f"{key}_median": round(median(values), 2),
                f"{key}_min": round(min(values), 2),
                f"{key}_max": round(max(values), 2),
            }
    return found or None


def _together(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not found:
        return None
    return {
        "each_once": all(one["each_once"] for one in found),
        "same_bytes": all(one["same_bytes"] for one in found),
        "different_records": sum(one["different_records"] for one in found),
        "most_apart": max(one["most_apart"] for one in found),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="photos and outputs; kept")
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--one-thread-slices", type=int, default=2)
    parser.add_argument("--shard-size", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args(arguments)
    folder = options.folder / "photos"
    if not folder.exists():
        making = options.folder / "making"
        making.mkdir(parents=True, exist_ok=True)
        make_photos(making, options.photos, SIZE)
        making.rename(folder)
    photos = list_photos(folder)
    write(measure(photos, options), photos, options)
    print(options.json.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
