"""Result files that survive: whole records after a kill or on a full disk, resumed where they end.

A run with ``-o OUT`` appends to a journal of JSON Lines, one write a record. For JSONL the journal
is OUT itself; any other format is put together from ``OUT.partial.jsonl`` at the end, in one
atomic step. ``OUT.run.json`` beside it holds the settings of the run, so that a run with others is
not mixed in. It stays for JSONL, to which later runs can add.

Error records count as done: a resumed run has exactly the records of an uninterrupted one.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from anytag.errors import OutputError, UsageError
from anytag.files import atomic_write, display_path
from anytag.inference.results import TagResult
from anytag.inference.writers import Format, Writer, make_writer
from anytag.inference.writers.jsonl import encode, result_from_record
from anytag.labels.labelset import LabelSet

#: what happens if OUT exists: refuse, go on, or start again
Mode: TypeAlias = Literal["new", "resume", "overwrite"]
#: JSON values by name, e.g. {"model": "nano-v0", "threshold": 0.5}
Settings: TypeAlias = Mapping[str, object]


class WholeWrites:
    """A sink over an unbuffered file that writes all of the data or raises.

    Nothing is kept back, so that nothing is written by surprise after an error.
    """

    def __init__(self, file: io.RawIOBase, name: str) -> None:
        self._file = file
        self._name = name

    def write(self, data: bytes, /) -> int:
        """Write all bytes.

        Raises:
            BrokenPipeError: the reader has gone
            OutputError: for instance, the disk is full
        """
        done = 0
        try:
            while done < len(data):
                done += self._file.write(data[done:]) or 0
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror}") from error
        return done

    def flush(self) -> None:
        """Nothing is kept back."""


class StreamOutput:
    """Results into a pipe, a device or standard output: they cannot be resumed."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        #: paths that an earlier run has finished, and whether they failed: none
        self.done: dict[str, bool] = {}

    def write(self, result: TagResult) -> None:
        self._writer.write(result)

    def finish(self) -> None:
        """All results are written: complete the output."""
        self._writer.close()

    def interrupt(self) -> None:
        """No more results will come: make valid what is there."""
        with suppress(OutputError, BrokenPipeError):
            self._writer.close()


class FileOutput:
    """Results into a file, through a journal.

    Args:
        path: OUT
        form: its format
        labels: as in `make_writer`
        language: as in `make_writer`
        settings: all that changes the records
        mode: what to do if the file, or an unfinished one, exists

    Raises:
        UsageError: ``mode`` is "new" and the file exists; or it is "resume" and there is nothing
            that could be continued with these settings
        OutputError: a file cannot be read or written
    """

    def __init__(
        self,
        path: Path,
        form: Format,
        labels: LabelSet,
        *,
        language: str | None,
        settings: Settings,
        mode: Mode,
    ) -> None:
        form.check_installed()
        self._path = path
        self._form = form
        self._labels = labels
        self._language = language
        self._run_file = path.with_name(path.name + ".run.json")
        self._journal_file = (
            path if form is Format.JSONL else path.with_name(path.name + ".partial.jsonl")
        )
        settings = {"format": form.value, **settings}
        try:
            #: paths that an earlier run has finished, and whether they failed
            self.done = self._open(settings, mode)
            self._journal = io.FileIO(self._journal_file, "a")
        except OSError as error:
            raise OutputError(
                f"cannot use {display_path(path)} for results: {error.strerror}"
            ) from error
        self._sink = WholeWrites(self._journal, display_path(self._journal_file))

    def write(self, result: TagResult) -> None:
        """Append one record, whole or not at all.

        Raises:
            OutputError: for instance, the disk is full
        """
        before = os.fstat(self._journal.fileno()).st_size
        try:
            self._sink.write(encode(result.record()) + b"\n")
        except BaseException:  # also Ctrl-C
            self._journal.truncate(before)
            raise

    def finish(self) -> None:
        """All results are written: complete the output.

        Raises:
            OutputError: for instance, the disk is full
        """
        try:
            os.fsync(self._journal.fileno())
            self._journal.close()
            if self._journal_file == self._path:
                return
            with atomic_write(self._path) as file:
                writer = make_writer(self._form, file, self._labels, language=self._language)
                for _, result in read_journal(self._journal_file):
                    writer.write(result)
                writer.close()
            self._journal_file.unlink()
            self._run_file.unlink()
        except OSError as error:
            raise OutputError(
                f"cannot write {display_path(self._path)}: {error.strerror}"
            ) from error

    def interrupt(self) -> None:
        """No more results will come for now; the journal stays."""
        self._journal.close()

    def _open(self, settings: Settings, mode: Mode) -> dict[str, bool]:
        """Prepare the files; return what is done."""
        name = display_path(self._path)
        started = _has_content(self._journal_file)
        finished = self._journal_file != self._path and _has_content(self._path)
        if mode == "new" and started:
            raise UsageError(
                f"{name} exists or was begun; continue with --resume, or start again with "
                "--overwrite"
            )
        if mode == "new" and finished:
            raise UsageError(f"{name} exists; replace it with --overwrite")
        if mode == "resume" and finished and not started:
            raise UsageError(
                f"{name} is complete. Only JSONL files can be added to later; make it anew with "
                "--overwrite"
            )
        if mode == "resume" and started:
            self._check_settings(settings)
            return self._repair()
        # The settings first: a journal is never without them.
        with atomic_write(self._run_file) as file:
            file.write(encode(settings) + b"\n")
        self._journal_file.write_bytes(b"")
        return {}

    def _check_settings(self, settings: Settings) -> None:
        name = display_path(self._path)
        try:
            earlier = json.loads(self._run_file.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            raise UsageError(
                f"{name} cannot be continued: {display_path(self._run_file)}, which says how it "
                "was made, is missing or damaged; start again with --overwrite"
            ) from error
        for key in sorted({*earlier, *settings}):
            if earlier.get(key) != settings.get(key):
                raise UsageError(
                    f"{name} was made with {key} = {_brief(earlier.get(key))}, this run has "
                    f"{_brief(settings.get(key))}; use the same, or another file, or --overwrite"
                )

    def _repair(self) -> dict[str, bool]:
        """Cut off a line that a kill has torn; return the paths of the whole ones."""
        done = {}
        whole = 0
        for end, result in read_journal(self._journal_file):
            done[result.path or ""] = result.error is not None
            whole = end
        os.truncate(self._journal_file, whole)
        return done


def read_journal(path: Path) -> Iterator[tuple[int, TagResult]]:
    """The whole records of a JSONL file, each with the position of its end in bytes.

    Raises:
        OutputError: a line is no record
    """
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):  # torn by a kill: can only be the last
                return
            try:
                result = result_from_record(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise OutputError(
                    f"{display_path(path)}, line {number}: not a record of anytag; "
                    "start again with --overwrite"
                ) from error
            end += len(line)
            yield end, result


def _has_content(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_size > 0
    return False


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
