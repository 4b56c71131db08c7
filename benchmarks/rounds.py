"""What all comparisons share: rounds forwards and backwards in turn, a process for each case.

So a slow minute of the machine meets all that is compared, and memory is that of one case.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")


def in_turn(ways: Iterable[T], num_rounds: int) -> Iterator[tuple[int, T]]:
    """Number of the round and each way, in every second round from the last to the first.

    >>> list(in_turn("ab", 2))
    [(0, 'a'), (0, 'b'), (1, 'b'), (1, 'a')]
    """
    order = list(ways)
    for number in range(num_rounds):
        for way in order if number % 2 == 0 else reversed(order):
            yield number, way


def run_case(
    script: str, case: Any, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a script prints for one case, in a process of its own.

    Args:
        script: its ``__file__``; it must know ``--case``
        case: a dataclass
        arguments: of the command line
        environment: set beside what is set

    Raises:
        SystemExit: it failed
    """
    command = [sys.executable, str(Path(script).resolve()), *arguments]
    command += ["--case", json.dumps(asdict(case))]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        raise SystemExit(f"{case} failed, see above")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, smallest, largest and all of them."""
    return {"median": median(values), "min": min(values), "max": max(values), "runs": list(values)}
