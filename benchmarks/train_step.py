"""Training steps of anytag beside those of the public research code, at equal sizes in one run.

::

    python benchmarks/train_step.py --reference recognize-anything/ \\
        --reference-python old/bin/python --json OUT.json
    python benchmarks/train_step.py                      # anytag alone

The public code (github.com/xinyu1205/recognize-anything, commit 7cb804a) needs old libraries, so
each side is a process of its own Python (`step_worker.py` says what a step is). Both stay there
for the whole run; their steps alternate, one at a time, in an order that is turned round in every
round, so that a slow minute of the machine meets both. A ratio is of one round.

**Seconds** are by the clock; **processor seconds** are the time that the process computed, over all
its threads, which other work on the machine changes less. With one thread both are the same where
nothing else runs.

The public code has no mixed precision: bfloat16 (autocast, float32 weights) is anytag's alone, and
its ratio is to the public code's float32.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quality import machine, today
from rounds import in_turn, spread
from speed import cores_busy
from step_worker import Case

WORKER = Path(__file__).with_name("step_worker.py")
REFERENCE = ("reference", "float32")
CLOCKS = ("seconds", "cpu_seconds")
#: the first step makes AdamW's moments
NUM_WARM_UP = 1

#: side and type
Way = tuple[str, str]
#: what one step answers
Answer = dict[str, Any]


class Side:
    """A running `step_worker.py`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.about = self._read()

    def step(self, dtype: str) -> Answer:
        """Train one step."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{dtype}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(
                f"{self._process.args}: ended without an answer; see its message above"
            )
        answer: Answer = json.loads(line)
        return answer


@contextmanager
def open_side(case: Case, python: str, *more: str) -> Iterator[Side]:
    """Start a worker, and end it when the block ends."""
    threads = str(case.threads)
    process = subprocess.Popen(
        [python, str(WORKER), json.dumps(asdict(case)), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
    )
    with process:
        try:
            yield Side(process)
        except BaseException:
            process.kill()
            raise
        finally:
            assert process.stdin is not None
            process.stdin.close()


def alternate(
    ways: Sequence[Way], rounds: int, take: Callable[[Way], Answer]
) -> dict[Way, list[Answer]]:
    """Warm up, then one step of each way a round, forwards and backwards in turn."""
    for _ in range(NUM_WARM_UP):
        for way in ways:
            take(way)
    runs: dict[Way, list[Answer]] = {way: [] for way in ways}
    for number, way in in_turn(ways, rounds):
        runs[way].append(take(way))
        seconds = (f"{runs[way][-1][clock]:.2f}" for clock in CLOCKS)
        print(f"round {number + 1} of {rounds}: {way} {' '.join(seconds)}", file=sys.stderr)
    return runs


def summarise(runs: dict[Way, list[Answer]]) -> list[dict[str, Any]]:
    """Medians and spreads of each way; ratios to the public code where it ran."""
    rows = []
    for way, answers in runs.items():
        row: dict[str, Any] = {"side": way[0], "dtype": way[1]}
        for clock in CLOCKS:
            row[clock] = spread([answer[clock] for answer in answers])
        row["steps_per_second"] = spread([1 / answer["seconds"] for answer in answers])
        row["peak_memory_mb"] = answers[-1]["peak_memory_mb"]
        row["losses"] = answers[-1]["losses"]
        for clock, name in zip(CLOCKS, ("times_reference", "times_reference_cpu"), strict=True):
            others = runs.get(REFERENCE, ())
            ratios = [b[clock] / a[clock] for a, b in zip(answers, others, strict=False)]
            row[name] = spread(ratios) if ratios and way != REFERENCE else None
        rows.append(row)
    return rows


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """All ways of one case."""
    ways: list[Way] = [("anytag", "float32")]
    with ExitStack() as stack:
        sides = {"anytag": stack.enter_context(open_side(case, sys.executable))}
        if options.reference is not None:
            folder = str(options.reference.resolve())
            python = str(options.reference_python)
            sides["reference"] = stack.enter_context(open_side(case, python, "--reference", folder))
            ways.append(REFERENCE)
        if not options.float32_alone:
            ways.append(("anytag", "bfloat16"))
        runs = alternate(ways, options.rounds, lambda way: sides[way[0]].step(way[1]))
    return {
        **asdict(case),
        "sides": {name: side.about for name, side in sides.items()},
        "rows": summarise(runs),
    }


def describe(found: dict[str, Any]) -> str:
    """One case as lines for people."""
    lines = [
        f"{found['family']}, {found['backbone']} at {found['image_size']}, "
        f"batch {found['batch_size']}, {found['num_tags']:,} tags, {found['threads']} threads"
    ]
    for row in found["rows"]:
        line = (
            f"  {row['side']:9} {row['dtype']:8} {row['seconds']['median']:6.2f} s a step "
            f"({row['seconds']['min']:.2f} to {row['seconds']['max']:.2f}), "
            f"{row['cpu_seconds']['median']:.2f} s of processor time, "
            f"{row['peak_memory_mb']:,.0f} MB"
        )
        if row["times_reference"]:
            clock, cpu = row["times_reference"], row["times_reference_cpu"]
            line += (
                f"; {clock['median']:.2f} x the steps/s of the reference "
                f"({clock['min']:.2f} to {clock['max']:.2f}), by processor time "
                f"{cpu['median']:.2f} ({cpu['min']:.2f} to {cpu['max']:.2f})"
            )
        lines.append(line)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, metavar="DIR", help="checkout of the public code")
    parser.add_argument(
        "--reference-python", type=Path, default=sys.executable, help="one that can import it"
    )
    parser.add_argument("--family", nargs="+", default=["ram"], choices=["ram", "ram_plus"])
    parser.add_argument("--backbone", default="swin_base", choices=["swin_base", "swin_large"])
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[2])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--float32-alone", action="store_true", help="leave bfloat16 out")
    parser.add_argument("--small", action="store_true", help="tiny networks of anytag, for a test")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.small and options.reference is not None:
        parser.error("--small is of anytag alone")
    busy = cores_busy()
    if busy is not None and busy > 0.2:
        print(f"warning: other programs keep {busy:.1f} cores busy", file=sys.stderr)
    cases = []
    for family in options.family:
        for batch_size in options.batch_size:
            case = Case(
                family=family,
                batch_size=batch_size,
                backbone=options.backbone,
                image_size=options.image_size,
                num_tags=20 if options.small else 4585,
                num_descriptions=3 if options.small else 51,
                threads=options.threads,
                small=options.small,
            )
            cases.append(measure(case, options))
            print(describe(cases[-1]), flush=True)
            figures = {
                "kind": "train_step",
                "date": today(),
                "machine": machine(),
                "cores_busy_before": busy,
                "load_after": os.getloadavg()[0],
                "rounds": options.rounds,
                "cases": cases,
            }
            if options.json:  # after each case: a run takes long
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
