"""The data engine's long steps (generate, regions, judge) on a pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from anytag.distributed.pool import Pool, request_stop, run_shards_on
from anytag.distributed.worker import Answer
from anytag.engine.steps import Counts, RunShards, Step


def engine_runner(
    pool: Pool,
    draining: Callable[[Callable[[], None]], AbstractContextManager[None]] = (
        lambda stop: nullcontext()
    ),
) -> RunShards:
    """`anytag.engine.steps.run_shards` with other hands.

    Args:
        pool: who makes the shards; what makes them must be picklable
        draining: around each step; gets what stops it
    """

    def run(
        step: Step,
        num_shards: int,
        make: Callable[[int], Counts],
        *,
        report: Callable[[str, int, int], None],
    ) -> Counter[str]:
        manifest = step.manifest
        if manifest is not None:
            return Counter(manifest["counts"])
        num_done = 0

        def note(answer: Answer) -> None:
            nonlocal num_done
            num_done += 1
            report(step.name, num_done, num_shards)

        with draining(lambda: request_stop(step)):
            return run_shards_on(pool, step, num_shards, make, report=note)

    return run
