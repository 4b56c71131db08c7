"""Descriptions of tags from a language model, many requests at once, with a journal to go on from.

A tag needs one answer list for each of `anytag.inference.descriptions.PROMPTS`; each list is
written to the journal as it comes, so that an interruption costs the running requests alone.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anytag.errors import AnytagError, OutputError, UsageError
from anytag.files import sha256_bytes
from anytag.inference.chat import EndpointError
from anytag.inference.descriptions import PROMPTS, plain_text
from anytag.labels.labelset import fold_name

#: the run ends after so many failures without a success between them
MAX_FAILURES_IN_A_ROW = 20
_FORMAT = 1
_POLL_S = 0.2

#: (prompt, number of answers) -> answers
Ask = Callable[[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Job:
    """One prompt for one tag."""

    tag: str
    #: index in `PROMPTS`
    prompt: int

    @property
    def text(self) -> str:
        """What the model is asked."""
        return PROMPTS[self.prompt].format(tag=self.tag)


@dataclass(slots=True)
class Described:
    """What a run has given."""

    #: tags with all their texts, in the order they were asked for
    texts: dict[str, list[str]] = field(default_factory=dict)
    #: tag -> why it has none
    failures: dict[str, str] = field(default_factory=dict)
    #: why the run ended early
    ended: str | None = None


class Journal:
    """Answers that have come so far: JSON lines, the first one holds the settings.

    Args:
        path: of the file
        settings: of the run; answers of other settings are refused
        resume: go on with the file if it is there, else begin anew

    Raises:
        UsageError: the file was begun with other settings
        OutputError: it cannot be read or written
    """

    def __init__(self, path: Path, settings: Mapping[str, object], *, resume: bool) -> None:
        self.path = path
        self.answers: dict[Job, list[str]] = {}
        header = {"anytag_describe": _FORMAT, **settings, "prompts": _prompts_hash()}
        try:
            end = self._read(header) if resume else 0
            self._file = path.open("r+b" if end else "wb")
        except OSError as error:
            raise OutputError(f"{path}: cannot be opened ({error.strerror})") from error
        self._file.truncate(end)  # a line that was cut off
        self._file.seek(end)
        if not end:
            self._line(header)

    def _read(self, header: Mapping[str, object]) -> int:
        """Take over the whole lines; returns where they end."""
        try:
            lines = self.path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return 0
        end = 0
        for number, line in enumerate(lines):
            row = _parse(line)
            if row is None:
                break
            if number == 0:
                _check_header(self.path, row, header)
            else:
                self.answers[Job(str(row["tag"]), int(row["prompt"]))] = list(row["texts"])
            end += len(line)
        return end

    def add(self, job: Job, texts: list[str]) -> None:
        """Keep the answers to one prompt.

        Raises:
            OutputError: they cannot be written
        """
        self.answers[job] = texts
        self._line({"tag": job.tag, "prompt": job.prompt, "texts": texts})

    def _line(self, row: Mapping[str, object]) -> None:
        try:
            self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """Close the file; it stays."""
        with suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        """Close and delete the file: all is done."""
        self.close()
        self.path.unlink(missing_ok=True)


def missing_jobs(
    tags: Sequence[str], prepared: Mapping[str, Sequence[str]], answers: Mapping[Job, list[str]]
) -> list[Job]:
    """What is left to ask for: all prompts of tags that are neither prepared nor answered."""
    have = {fold_name(tag) for tag in prepared}
    jobs = (Job(tag, n) for tag in tags if fold_name(tag) not in have for n in range(len(PROMPTS)))
    return [job for job in jobs if job not in answers]


def describe(
    tags: Sequence[str],
    *,
    ask: Ask,
    journal: Journal,
    prepared: Mapping[str, Sequence[str]],
    num_samples: int,
    concurrency: int,
    progress: Callable[[bool], None] = lambda failed: None,
) -> Described:
    """Ask for what is missing.

    Args:
        tags: names, each once
        ask: asks the language model; called from several threads
        journal: takes the answers, and has those of an earlier run
        prepared: texts of tags that need no asking, by name
        num_samples: answers to each prompt
        concurrency: requests at once
        progress: called after each prompt; True where it failed

    Raises:
        OutputError: the journal cannot be written
    """
    jobs = missing_jobs(tags, prepared, journal.answers)
    failures: dict[str, str] = {}
    ended = None
    in_a_row = 0
    with closing(_run(jobs, ask, num_samples, concurrency)) as results:
        for job, result in results:
            progress(isinstance(result, Exception))
            if not isinstance(result, Exception):
                journal.add(job, result)
                in_a_row = 0
                continue
            if not isinstance(result, AnytagError):
                raise result
            in_a_row += 1
            failures.setdefault(job.tag, str(result))
            if isinstance(result, EndpointError):
                ended = str(result)
            elif in_a_row >= MAX_FAILURES_IN_A_ROW:
                ended = f"{in_a_row} failures in a row, the last one: {result}"
            if ended is not None:
                break
    return _collect(tags, prepared, journal.answers, failures, ended)


def _collect(
    tags: Sequence[str],
    prepared: Mapping[str, Sequence[str]],
    answers: Mapping[Job, list[str]],
    failures: Mapping[str, str],
    ended: str | None = None,
) -> Described:
    """Put the texts of each tag together."""
    ready = {fold_name(tag): list(texts) for tag, texts in prepared.items()}
    described = Described(ended=ended)
    for tag in tags:
        lists = [answers.get(Job(tag, number)) for number in range(len(PROMPTS))]
        if fold_name(tag) in ready:
            described.texts[tag] = ready[fold_name(tag)]
        elif None in lists:
            described.failures[tag] = failures.get(tag, "not asked for")
        else:
            answered = [text for texts in lists if texts is not None for text in texts]
            described.texts[tag] = [plain_text(tag), *answered]
    return described


def _run(
    jobs: Sequence[Job], ask: Ask, num_samples: int, concurrency: int
) -> Generator[tuple[Job, list[str] | Exception], None, None]:
    """Results as they come. Closing the iterator lets no further request begin."""
    todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Job, list[str] | Exception]] = queue.SimpleQueue()
    for job in jobs:
        todo.put(job)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                job = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((job, ask(job.text, num_samples)))
            except Exception as error:  # raised where the results are read
                done.put((job, error))

    # Daemons: a request that hangs does not keep an interrupted program alive.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            yield _next(done)
    finally:
        stop.set()


def _next(
    done: queue.SimpleQueue[tuple[Job, list[str] | Exception]],
) -> tuple[Job, list[str] | Exception]:
    """Wait in short steps, so that Ctrl-C is heard on every system."""
    while True:
        with suppress(queue.Empty):
            return done.get(timeout=_POLL_S)


def _parse(line: bytes) -> dict[str, Any] | None:  # Any: JSON
    """A line of the journal, None where it was cut off."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and line.endswith(b"\n")
    known = whole and ("anytag_describe" in row or {"tag", "prompt", "texts"} <= row.keys())
    return row if known else None


def _check_header(path: Path, found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    if found == wanted:
        return
    keys = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
    differences = ", ".join(f"{key} {found.get(key)!r}" for key in keys)
    raise UsageError(
        f"{path} was begun with {differences}; go on with the same, or begin anew with --overwrite"
    )


def _prompts_hash() -> str:
    return sha256_bytes("\n".join(PROMPTS).encode())[:16]
