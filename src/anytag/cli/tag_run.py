"""What ``anytag tag`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import typer
from rich.console import Console

from anytag.cli.interrupts import interrupts_wait
from anytag.cli.progress import progress_bar
from anytag.cli.tag_model import captioning, load, make_selector, make_tagger, settings
from anytag.cli.tag_options import TagOptions
from anytag.data.containers import SUFFIXES, Member, open_containers
from anytag.data.discover import Item, find_images, path_text
from anytag.errors import MetadataError, OutputError
from anytag.files import display_path
from anytag.inference.results import TagResult
from anytag.inference.selection import TagSelector
from anytag.inference.stream import item_error, stream
from anytag.inference.tagger import CPU_CHUNK, Tagger
from anytag.inference.writers import Format, make_writer
from anytag.inference.writers.output import FileOutput, Mode, StreamOutput, WholeWrites
from anytag.inference.writers.sidecars import CaptionFiles, Sidecar, XmpFiles
from anytag.inference.writers.table import TerminalWriter
from anytag.inference.xmp import Naming, SidecarChange

#: failures that the summary shows
NUM_SHOWN_ERRORS = 3
#: an image is decoded in some milliseconds: more threads only cost memory
MAX_WORKERS = 16


def run(options: TagOptions) -> int:
    """Tag everything; the exit code."""
    tagger = make_tagger(options)
    select = make_selector(options, tagger)
    run = _Run(options, tagger)
    try:
        with interrupts_wait():
            run.output = _open_output(options, tagger)
        run.tag_all(select, run.output)
        with interrupts_wait():
            run.output.finish()
    except BaseException as error:
        if run.output is not None:
            run.output.interrupt()
        if isinstance(error, KeyboardInterrupt | OutputError):
            run.summarize(interrupted=True)
        raise
    run.summarize()
    return 1 if run.num_failed or any(run.output.done.values()) else 0


class _Run:
    """One run and its counts."""

    def __init__(self, options: TagOptions, tagger: Tagger) -> None:
        self.output: FileOutput | StreamOutput | None = None
        self.num_tagged = 0
        self.num_failed = 0
        self._options = options
        self._tagger = tagger
        self._first_errors: list[str] = []

    def tag_all(self, select: TagSelector, output: FileOutput | StreamOutput) -> None:
        """Tag what is not done yet."""
        options, tagger, done = self._options, self._tagger, output.done
        sidecars = _make_sidecars(options, done)
        on_cpu = tagger.device.type == "cpu"
        scored = stream(
            (item for item in open_containers(self._find()) if path_text(item) not in done),
            load=partial(load, tagger),
            score=captioning(options, tagger) if options.caption else tagger.score_many,
            batch_size=options.batch_size,
            workers=options.workers or min(os.cpu_count() or 1, MAX_WORKERS),
            pad_to=(CPU_CHUNK if on_cpu else options.batch_size) if options.out else 1,
        )
        count = None if self._is_uncounted() else lambda: sum(1 for _ in self._find()) - len(done)
        with (
            closing(scored),
            progress_bar(shown=self._bar_is_shown(), count=count) as advance,
        ):
            for one in scored:
                result = one.result(path_text(one.item), tagger.model_name, select)
                with interrupts_wait():
                    result = _write_beside(sidecars, one.item, result)
                    output.write(result)
                    self._count(result)
                advance(failed=result.error is not None)

    def summarize(self, *, interrupted: bool = False) -> None:
        """The last lines on standard error."""
        if self._options.quiet:
            return
        console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        earlier = len(self.output.done) if self.output is not None else 0
        what = "would be tagged" if self._options.dry_run else "tagged"
        console.print(
            f"{self.num_tagged:,} {what}, {self.num_failed:,} failed"
            + (f", {earlier:,} done earlier" if earlier else "")
        )
        for message in self._first_errors:
            console.print(f"  {message}")
        if self.num_failed > len(self._first_errors):
            console.print(f"  and {self.num_failed - len(self._first_errors):,} more")
        if interrupted and isinstance(self.output, FileOutput):
            console.print("not finished; run the same command with --resume to go on")

    def _find(self) -> Iterator[Item]:
        return find_images(self._options.inputs(), recursive=self._options.recursive)

    def _is_uncounted(self) -> bool:
        """Whether only reading everything would show how many images there are."""
        options = self._options
        tables = any(one.lower().endswith(SUFFIXES) for one in options.paths or [])
        return options.num_stdin > 0 or tables

    def _bar_is_shown(self) -> bool:
        # Results that scroll by on the same terminal are progress enough.
        free = self._options.out is not None or not sys.stdout.isatty()
        return free and sys.stderr.isatty() and not self._options.quiet

    def _count(self, result: TagResult) -> None:
        if result.error is None:
            self.num_tagged += 1
            return
        self.num_failed += 1
        if len(self._first_errors) < NUM_SHOWN_ERRORS:
            self._first_errors.append(result.error.message)


def _write_beside(sidecars: list[Sidecar], item: Item | Member, result: TagResult) -> TagResult:
    if result.error is not None:
        return result
    try:
        for sidecar in sidecars:
            if not isinstance(item, Path):
                raise MetadataError(
                    f"{path_text(item)}: nothing can be written beside a URL, or within a shard"
                )
            sidecar(item, result)
    except MetadataError as error:
        return replace(result, tags=(), error=item_error(error))
    return result


def _open_output(options: TagOptions, tagger: Tagger) -> FileOutput | StreamOutput:
    form, labels, out = options.form, tagger.labels, options.out
    if form is Format.XMP:  # the sidecars are the output; this is their record
        form = Format.TABLE if out is None else Format.JSONL
    if out is None:
        if form in (None, Format.TABLE) and sys.stdout.isatty():
            return StreamOutput(TerminalWriter(Console(highlight=False)))
        raw = io.FileIO(sys.stdout.fileno(), "w", closefd=False)
        sink = WholeWrites(raw, "standard output")
        return StreamOutput(make_writer(form or Format.TABLE, sink, labels, language=options.lang))
    form = form or Format.of_file(out)
    if out.exists() and not out.is_file():  # a pipe or device
        sink = WholeWrites(io.FileIO(out, "w"), display_path(out))
        return StreamOutput(make_writer(form, sink, labels, language=options.lang))
    mode: Mode = "resume" if options.resume else "overwrite" if options.overwrite else "new"
    return FileOutput(
        out, form, labels, language=options.lang, settings=settings(options, tagger), mode=mode
    )


def _make_sidecars(options: TagOptions, done: Mapping[str, bool]) -> list[Sidecar]:
    sidecars: list[Sidecar] = []
    if options.caption_txt:
        earlier = (path for path, failed in done.items() if not failed)
        sidecars.append(CaptionFiles(overwrite=options.overwrite, earlier=earlier))
    if options.form is Format.XMP:
        report = _show_changes if options.dry_run else lambda changes: None
        naming: Naming = options.xmp_naming.value
        sidecars.append(
            XmpFiles(report, naming=naming, embed=options.embed, dry_run=options.dry_run)
        )
    return sidecars


def _show_changes(changes: list[SidecarChange]) -> None:
    for change in changes:
        typer.echo(display_path(change.path))
        for line in change.lines():
            typer.echo(f"  {line}")
