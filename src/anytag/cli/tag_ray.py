"""What ``anytag tag --engine ray`` does: plan, let a pool tag, put the parts together."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from rich.console import Console

from anytag.cli.interrupts import interrupts_drain
from anytag.cli.progress import progress_bar
from anytag.cli.ray_options import SHARD_SIZE, job_pool
from anytag.cli.tag_model import make_selector, make_tagger, settings
from anytag.cli.tag_options import TagOptions
from anytag.cli.tag_run import NUM_SHOWN_ERRORS
from anytag.cli.tag_shards import TagShards, plan_tagging
from anytag.distributed.job import Job, Mode, locked, open_job
from anytag.distributed.pool import Pool, request_stop, run_shards_on
from anytag.distributed.worker import Answer
from anytag.files import atomic_write
from anytag.inference.writers import Format, make_writer
from anytag.inference.writers.jsonl import encode
from anytag.inference.writers.output import read_journal
from anytag.labels.labelset import LabelSet


def run(options: TagOptions, pool: Pool | None = None) -> int:
    """Tag everything; the exit code.

    Args:
        options: of the command
        pool: the workers; None = the Ray that the options name
    """
    assert options.out is not None
    tagger = make_tagger(options)
    make_selector(options, tagger)  # what is wrong with the options is told before any work
    labels, how = tagger.labels, settings(options, tagger)
    del tagger  # only the workers need it
    form = options.form or Format.of_file(options.out)
    form.check_installed()
    mode: Mode = "resume" if options.resume else "overwrite" if options.overwrite else "new"
    suffix = (".tar" if form is Format.WEBDATASET else f".{form.value}") if options.in_parts else ""
    job = open_job(
        options.out,
        {"format": form.value, **how, **_inputs(options)},
        partial(plan_tagging, options),
        suffix=suffix or ".jsonl",
        mode=mode,
        in_parts=options.in_parts,
    )
    work = TagShards(options, job, form if options.in_parts else Format.JSONL)
    run = _Run(options, job)
    with locked(job):
        with job_pool(
            job, pool, options.ray_address, options.ray_workers, options.device
        ) as workers:
            run.tag_all(workers, work)
        if not options.in_parts:
            _put_together(options, job, form, labels, how)
    return 1 if run.num_failed else 0


def _inputs(options: TagOptions) -> dict[str, Any]:
    return {
        "inputs": options.paths,
        "from_file": options.from_file,
        "recursive": options.recursive,
        "shard_size": options.shard_size or SHARD_SIZE,
    }


class _Run:
    """One run and its counts."""

    def __init__(self, options: TagOptions, job: Job) -> None:
        self.num_failed = 0
        self._options = options
        self._job = job
        self._num_images = self._num_earlier = self._num_again = 0
        self._failed_shards: set[int] = set()

    def tag_all(self, pool: Pool, work: TagShards) -> None:
        """Tag what is not done yet, and say so on standard error."""
        job, quiet = self._job, self._options.quiet
        total = job.num_inputs
        count = None if total is None else lambda: total
        shown = sys.stderr.isatty() and not quiet
        is_done = False
        try:
            with (
                progress_bar(shown=shown, count=count) as advance,
                interrupts_drain(partial(request_stop, job.step)),
            ):

                def report(answer: Answer) -> None:
                    num, failed = self._count(answer)
                    advance(num=num, failed=failed)

                run_shards_on(pool, job.step, job.num_shards, work, report=report)
            is_done = True
        finally:
            if not quiet:
                self._summarize(is_done)

    def _count(self, answer: Answer) -> tuple[int, int]:
        counts = answer.counts or {}
        num, failed = counts.get("images", 0), counts.get("failed", 0)
        self._num_images += num
        self.num_failed += failed
        self._num_earlier += num if answer.tries == 0 else 0
        self._num_again += answer.tries > 1
        if failed:
            self._failed_shards.add(answer.shard)
        return num, failed

    def _summarize(self, is_done: bool) -> None:
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        text = f"{self._num_images - self.num_failed:,} tagged, {self.num_failed:,} failed"
        if self._num_earlier:
            text += f"; {self._num_earlier:,} of them earlier"
        if self._num_again:
            text += f"; {self._num_again:,} shards again, as their worker died"
        console.print(text)
        messages = self._job.first_errors(self._failed_shards, NUM_SHOWN_ERRORS)
        for message in messages:
            console.print(f"  {message}")
        if self.num_failed > len(messages):
            console.print(f"  and {self.num_failed - len(messages):,} more")
        if not is_done:
            console.print("not finished; run the same command with --resume to go on")


def _put_together(
    options: TagOptions, job: Job, form: Format, labels: LabelSet, how: dict[str, object]
) -> None:
    """The parts as one file, as the local engine writes it; the job is gone then."""
    assert options.out is not None
    out = options.out
    with atomic_write(out) as file:
        if form is Format.JSONL:
            job.copy_parts(file)
        else:
            writer = make_writer(form, file, labels, language=options.lang)
            for shard in range(job.num_shards):
                for _, result in read_journal(job.part(shard)):
                    writer.write(result)
            writer.close()
    if form is Format.JSONL:  # so that a later run can add to it
        with atomic_write(out.with_name(out.name + ".run.json")) as file:
            file.write(encode({"format": form.value, **how}) + b"\n")
    job.remove()
