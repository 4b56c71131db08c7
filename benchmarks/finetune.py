"""Fine-tuning nano to own tags, with every epoch decoded anew and with cached views.

::

    pip install -e '.[train]'
    python benchmarks/finetune.py my.csv photos-by-tag/ --views 2 4 8 --json OUT.json

Each run is the whole command ``anytag train --preset finetune``, report included, in a process of
its own. A round has one run of each way with one seed, forwards and backwards in turn, so that a
slow minute of the machine meets all of them; ratios are of one round.

**Seconds** are by the clock; **processor seconds** are those of the process and of its workers,
which other work on the machine changes less. mAP is that of the best validation, as the command
says it; a fifth of the pictures is kept for it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quality import machine, today
from rounds import in_turn, spread
from speed import cores_busy

CLOCKS = ("seconds", "cpu_seconds")


def train(data: Path, views: int | None, seed: int, changes: Sequence[str]) -> dict[str, Any]:
    """One run."""
    with tempfile.TemporaryDirectory(prefix="anytag-finetune-") as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "anytag", "train", "--preset", "finetune"]
        command += ["--data", str(data), "-o", str(run), f"run.seed={seed}"]
        command += ["run.tensorboard=false", *changes]
        command += [f"data.cached_views={'null' if views is None else views}"]
        started, used = time.perf_counter(), _children()
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed, see above")
        seconds, cpu_seconds = time.perf_counter() - started, _children() - used
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        found = [line for line in map(json.loads, lines) if line["kind"] == "val"]
        cached = sum(one.stat().st_size for one in run.glob("cache/features-*/*"))
        return {
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu_seconds, 2),
            "map": max(line["map"] for line in found),
            "last_map": found[-1]["map"],
            "tags": found[-1]["num_tags"],
            "steps": found[-1]["step"],
            "cache_mb": round(cached / 1e6, 1),
        }


def _children() -> float:
    """Processor seconds of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All ways on one data set."""
    ways = [None, *options.views]
    runs: dict[int | None, list[dict[str, Any]]] = {way: [] for way in ways}
    for number, way in in_turn(ways, options.rounds):
        runs[way].append(train(data, way, number, options.changes))
        print(f"{data.stem}, round {number + 1}, {way} views: {runs[way][-1]}", file=sys.stderr)
    return {"set": data.stem, "rows": [summarise(way, runs[way], runs[None]) for way in ways]}


def summarise(
    views: int | None, runs: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Medians and spreads of a way, and its part of what decoding anew takes."""
    row: dict[str, Any] = {"views": views, **{key: runs[0][key] for key in ("tags", "steps")}}
    for key in (*CLOCKS, "map", "last_map", "cache_mb"):
        row[key] = spread([run[key] for run in runs])
    for clock in CLOCKS:
        ratios = [b[clock] / a[clock] for a, b in zip(runs, plain, strict=True)]
        row[f"times_{clock}"] = None if views is None else spread(ratios)
    gains = [run["map"] - other["map"] for run, other in zip(runs, plain, strict=True)]
    row["gain"] = None if views is None else spread(gains)
    return row


def describe(found: dict[str, Any]) -> str:
    """One data set as lines for people."""
    lines = [f"{found['set']}, {found['rows'][0]['steps']} steps"]
    for row in found["rows"]:
        name = "decoded anew" if row["views"] is None else f"{row['views']} views"
        line = (
            f"  {name:13} mAP {100 * row['map']['median']:.1f} %, "
            f"{row['seconds']['median']:.0f} s, {row['cpu_seconds']['median']:.0f} s of processor"
        )
        if row["views"] is not None:
            line += f", {row['times_cpu_seconds']['median']:.1f} x faster by processor time"
        lines.append(line)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+", help="data sets, see anytag train --data")
    parser.add_argument("--views", type=int, nargs="+", default=[4])
    parser.add_argument("--rounds", type=int, default=1, help="seeds")
    parser.add_argument(
        "--changes", nargs="*", default=[], metavar="KEY=VALUE", help="of all runs' configuration"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    busy = cores_busy()
    cases = []
    for data in options.data:
        cases.append(measure(data, options))
        print(describe(cases[-1]), flush=True)
        figures = {
            "kind": "finetune",
            "date": today(),
            "machine": machine(),
            "cores_busy_before": busy,
            "load_after": round(os.getloadavg()[0], 1),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "rounds": options.rounds,
            "how": "one run at a time, in turn",
            "changes": options.changes,
            "cases": cases,
        }
        if options.json:  # after each set: a run takes long
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
