"""What ``anytag parse --engine ray`` does: plan, let a pool parse, put the parts together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from anytag.cli.interrupts import interrupts_drain
from anytag.cli.parse_batches import ParserSpec
from anytag.cli.parse_run import MAX_SHOWN, Progress, header, summary, write_note
from anytag.cli.parse_shards import ParseShards, plan_parsing
from anytag.cli.ray_options import job_pool
from anytag.distributed.job import Mode, locked, open_job
from anytag.distributed.pool import Pool, request_stop, run_shards_on
from anytag.distributed.worker import Answer
from anytag.files import atomic_write, display_path


def run(
    inputs: Sequence[str],
    spec: ParserSpec,
    *,
    column: str | None,
    out: Path,
    mode: Mode,
    quiet: bool,
    address: str | None = None,
    workers: int | None = None,
    pool: Pool | None = None,
) -> int:
    """Parse all captions of the inputs; the exit code.

    Args:
        inputs: files
        spec: of the parser
        column: of the captions, if it has an unusual name
        out: a file
        mode: what to do if it exists
        quiet: no summary
        address: of Ray
        workers: of Ray
        pool: who parses; None = Ray
    """
    spec.check()
    settings = {"inputs": list(inputs), "column": column, **asdict(spec)}
    plan = partial(plan_parsing, inputs, column)
    job = open_job(out, settings, plan, suffix=".part", mode=mode, in_parts=False)
    total = Progress()
    failed: set[int] = set()

    def report(answer: Answer) -> None:
        counts = answer.counts or {}
        for name, count in counts.items():
            setattr(total, name, getattr(total, name) + count)
        if counts.get("failed"):
            failed.add(answer.shard)

    work = ParseShards(spec, column, job)
    with locked(job):
        with (
            job_pool(job, pool, address, workers) as parsers,
            interrupts_drain(partial(request_stop, job.step)),
        ):
            run_shards_on(parsers, job.step, job.num_shards, work, report=report)
        messages = job.first_errors(failed, MAX_SHOWN)
        with atomic_write(out) as file:
            if spec.form == "csv":
                file.write(header())
            job.copy_parts(file)
        total.bytes = out.stat().st_size
        write_note(out, settings, total)  # as a run without Ray leaves it
        job.remove()
    for message in messages:
        print(f"anytag: {display_path(message)}", file=sys.stderr)
    if total.failed > MAX_SHOWN:
        print("anytag: further errors are in the output only", file=sys.stderr)
    if not quiet:
        summary(total)
    return 1 if total.failed else 0
