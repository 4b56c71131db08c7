"""What ``anytag describe`` does; apart from its options, because this imports the heavier parts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from anytag.cli.describe import KEY_VARIABLE
from anytag.errors import UsageError
from anytag.files import display_path
from anytag.inference.chat import ChatClient, ChatConfig
from anytag.inference.chat_http import is_private
from anytag.inference.describe import Described, Journal, describe, missing_jobs
from anytag.inference.descriptions import read_descriptions, write_descriptions
from anytag.labels.labelset import fold_name, read_tag_list

#: failures that the summary shows
NUM_SHOWN_ERRORS = 3
#: models that a message names
NUM_SHOWN_MODELS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeOptions:
    """The options of ``anytag describe``."""

    tags: list[str]
    out: Path
    prepared: Path | None
    resume: bool
    overwrite: bool
    quiet: bool
    url: str
    model: str | None
    api_key_env: str | None
    samples: int
    concurrency: int
    retries: int
    timeout: float


def run(options: DescribeOptions) -> int:
    """Describe the tags; the exit code."""
    tags = _read_tags(options.tags)
    journal_path = _check_output(options)
    prepared = {} if options.prepared is None else read_descriptions(options.prepared)
    if options.resume and options.out.exists():
        prepared = {**read_descriptions(options.out), **prepared}
    if not missing_jobs(tags, prepared, {}):
        described = Described({tag: _find(prepared, tag) for tag in tags})
    else:
        described = _ask(options, tags, prepared, journal_path)
    if described.texts:
        write_descriptions(options.out, described.texts)
    if not described.failures and (options.resume or options.overwrite):
        journal_path.unlink(missing_ok=True)
    _report(options, described)
    return 1 if described.failures else 0


def _ask(
    options: DescribeOptions, tags: list[str], prepared: Mapping[str, list[str]], path: Path
) -> Described:
    """Ask the endpoint; the journal stays where something is left to do."""
    client = _make_client(options)
    config = client.config
    settings = {
        "model": config.model,
        "samples": options.samples,
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
    }
    if options.overwrite:  # a later --resume must not take the old texts for new ones
        options.out.unlink(missing_ok=True)
    journal = Journal(path, settings, resume=options.resume)
    try:
        num_jobs = len(missing_jobs(tags, prepared, journal.answers))
        with _bar(num_jobs, shown=not options.quiet and sys.stderr.isatty()) as progress:
            described = describe(
                tags,
                ask=client.ask,
                journal=journal,
                prepared=prepared,
                num_samples=options.samples,
                concurrency=options.concurrency,
                progress=progress,
            )
    finally:
        client.stop()
        journal.close()
    if not described.failures:
        journal.remove()
    return described


def _read_tags(given: list[str]) -> list[str]:
    """Names and files of names; each tag once."""
    tags: dict[str, str] = {}
    for item in given:
        path = Path(item)
        if path.is_file():
            names = read_tag_list(path)
        elif path.suffix.lower() in (".txt", ".json", ".csv") or "/" in item:
            raise UsageError(f"{display_path(item)}: no such file of tags")
        else:
            names = [" ".join(item.replace("_", " ").split())]
        for name in names:
            if not name:
                raise UsageError("a tag is empty; give it a name")
            tags.setdefault(fold_name(name), name)
    return list(tags.values())


def _check_output(options: DescribeOptions) -> Path:
    """The path of the journal beside OUT, if both may be written."""
    if options.resume and options.overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    name = display_path(options.out)
    if options.out.is_dir():
        raise UsageError(f"{name}: is a folder; expected a file")
    if not options.out.absolute().parent.is_dir():
        raise UsageError(f"{name}: its folder does not exist")
    journal = options.out.with_name(options.out.name + ".journal")
    new = not options.resume and not options.overwrite
    if new and (options.out.exists() or journal.exists()):
        raise UsageError(
            f"{name} exists or was begun; continue with --resume, or start again with --overwrite"
        )
    return journal


def _make_client(options: DescribeOptions) -> ChatClient:
    config = ChatConfig(
        url=options.url,
        model=options.model or "",
        api_key=_find_key(options),
        timeout_s=options.timeout,
        retries=options.retries,
    )
    client = ChatClient(config)
    if options.model is not None:
        return client
    models = client.models()
    if len(models) != 1:
        names = ", ".join(map(display_path, models[:NUM_SHOWN_MODELS])) or "none that it names"
        raise UsageError(f"choose with --model: {config.base} has {len(models)} models ({names})")
    return ChatClient(replace(config, model=models[0]))


def _find_key(options: DescribeOptions) -> str | None:
    """The key; one that was not named goes nowhere unencrypted but within the own network."""
    if options.api_key_env is not None:
        key = os.environ.get(options.api_key_env, "").strip()
        if not key:
            raise UsageError(f"--api-key-env: the variable {options.api_key_env} is not set")
        return key
    parts = urlsplit(options.url)
    safe = parts.scheme == "https" or is_private(parts.hostname or "")
    return (os.environ.get(KEY_VARIABLE, "").strip() or None) if safe else None


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[bool], None]]:
    """A bar on standard error, one step for each prompt."""
    progress = Progress(
        TextColumn("describing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("prompts"),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[errors]}"),
        console=Console(stderr=True),
        disable=not shown,
    )
    num_failed = 0
    with progress:
        task = progress.add_task("describing", total=total, errors="")

        def advance(failed: bool) -> None:
            nonlocal num_failed
            num_failed += failed
            progress.update(task, advance=1, errors=f"{num_failed} failed" if num_failed else "")

        yield advance


def _report(options: DescribeOptions, described: Described) -> None:
    failures = described.failures
    if described.ended is not None:
        typer.echo(f"anytag: ended early: {described.ended}", err=True)
    else:
        for tag, reason in list(failures.items())[:NUM_SHOWN_ERRORS]:
            typer.echo(f"anytag: {display_path(tag)}: {reason}", err=True)
        if len(failures) > NUM_SHOWN_ERRORS:
            typer.echo(f"anytag: and {len(failures) - NUM_SHOWN_ERRORS} more", err=True)
    if options.quiet:
        return
    num_tags = len(described.texts) + len(failures)
    summary = f"{len(described.texts):,} of {num_tags:,} tags described"
    if failures:
        summary += "; ask for the others again with --resume"
    typer.echo(summary, err=True)


def _find(prepared: Mapping[str, list[str]], tag: str) -> list[str]:
    wanted = fold_name(tag)
    return next(texts for name, texts in prepared.items() if fold_name(name) == wanted)
