"""Result files: whole records whatever happens, and a second run that goes on."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path
from typing import Any

import pytest

from anytag.errors import MissingExtraError, OutputError, UsageError
from anytag.inference.results import ItemError, Tag, TagResult
from anytag.inference.writers import Format, make_writer
from anytag.inference.writers.output import FileOutput, Mode, WholeWrites
from anytag.labels.labelset import LabelSet

LABELS = LabelSet.from_names(["cat", "dog"])
SETTINGS: dict[str, object] = {"model": "nano-v0", "threshold": 0.5}


def result(number: int) -> TagResult:
    """Every third image failed."""
    error = ItemError(type="empty", message="is empty") if number % 3 == 2 else None
    tags = () if error else (Tag(name="cat", score=number / 100, threshold=0.5, id=0),)
    return TagResult(
        path=f"{number}.jpg",
        sha256=None,
        width=3,
        height=2,
        model="nano-v0",
        tags=tags,
        error=error,
    )


def opened(path: Path, mode: Mode, form: Format, **changed: object) -> FileOutput:
    settings = SETTINGS | changed
    return FileOutput(path, form, LABELS, language=None, settings=settings, mode=mode)


def write(path: Path, numbers: range, mode: Mode, form: Format, *, finish: bool = True) -> None:
    output = opened(path, mode, form)
    for number in numbers:
        if f"{number}.jpg" not in output.done:
            output.write(result(number))
    output.finish() if finish else output.interrupt()


FORMATS = [Format.JSONL, Format.JSON, Format.CSV, Format.COCO, Format.TABLE]


@pytest.mark.parametrize("form", FORMATS)
def test_an_interrupted_run_is_completed(tmp_path: Path, form: Format) -> None:
    """The file is the one that the plain writer gives for all results."""
    path = tmp_path / "out"
    write(path, range(4), "new", form, finish=False)
    assert path.exists() == (form is Format.JSONL)
    write(path, range(9), "resume", form)
    expected = io.BytesIO()
    writer = make_writer(form, expected, LABELS)
    for number in range(9):
        writer.write(result(number))
    writer.close()
    assert path.read_bytes() == expected.getvalue()
    left = {"out", "out.run.json"} if form is Format.JSONL else {"out"}
    assert {file.name for file in tmp_path.iterdir()} == left


def test_what_is_done_is_known_with_its_failures(tmp_path: Path) -> None:
    write(tmp_path / "out", range(3), "new", Format.JSONL)
    output = opened(tmp_path / "out", "resume", Format.JSONL)
    assert output.done == {"0.jpg": False, "1.jpg": False, "2.jpg": True}
    output.interrupt()


@pytest.mark.parametrize("keep", [1, 5, 100, 161])
def test_a_torn_line_is_cut_off(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "out"
    write(path, range(2), "new", Format.JSONL)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[0][:keep])
    output = opened(path, "resume", Format.JSONL)
    assert len(output.done) == 2
    output.interrupt()
    assert path.read_bytes() == whole


@pytest.mark.parametrize("form", [Format.JSONL, Format.CSV])
@pytest.mark.parametrize(
    ("mode", "changed", "message"),
    [
        ("new", {}, "--resume"),
        ("resume", {"model": "nano-v1"}, 'made with model = "nano-v0", this run has "nano-v1"'),
        ("resume", {"threshold": None}, "threshold = 0.5, this run has null"),
        ("resume", {"another": 1}, "another"),
    ],
)
def test_a_begun_file_is_not_spoilt(
    tmp_path: Path, form: Format, mode: Mode, changed: dict[str, object], message: str
) -> None:
    path = tmp_path / "out"
    write(path, range(2), "new", form, finish=False)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=message):
        opened(path, mode, form, **changed)
    assert before == {file: file.read_bytes() for file in tmp_path.iterdir()}


def test_another_format_is_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, range(2), "new", Format.CSV, finish=False)
    with pytest.raises(UsageError, match="format"):
        opened(path, "resume", Format.JSON)


@pytest.mark.parametrize("mode", ["new", "resume"])
def test_a_finished_file_is_not_replaced(tmp_path: Path, mode: Mode) -> None:
    path = tmp_path / "out.csv"
    write(path, range(2), "new", Format.CSV)
    with pytest.raises(UsageError, match="--overwrite"):
        opened(path, mode, Format.CSV)
    write(path, range(5), "overwrite", Format.CSV)
    assert b"4.jpg" in path.read_bytes()


def test_a_foreign_jsonl_file_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(UsageError, match=r"run\.json"):
        opened(path, "resume", Format.JSONL)
    write(path, range(1), "overwrite", Format.JSONL)
    path.write_text('{"a": 1}\n')
    with pytest.raises(OutputError, match="line 1"):
        opened(path, "resume", Format.JSONL)


@pytest.mark.parametrize("mode", ["resume", "overwrite", "new"])
def test_any_mode_starts_a_first_run(tmp_path: Path, mode: Mode) -> None:
    (tmp_path / "out.jsonl").touch()  # empty, as mktemp makes it
    write(tmp_path / "out.jsonl", range(2), mode, Format.JSONL)
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 2


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """The disk takes some bytes of a record, then is full."""
    path = tmp_path / "out"
    output = opened(path, "new", Format.JSONL)
    output.write(result(0))
    whole = path.read_bytes()

    class FullSink(WholeWrites):
        def write(self, data: bytes, /) -> int:
            output._journal.write(data[:20])
            raise OutputError("cannot write out: No space left on device")

    output._sink = FullSink(output._journal, "out")
    with pytest.raises(OutputError, match="No space"):
        output.write(result(1))
    output.interrupt()
    assert path.read_bytes() == whole


def test_whole_writes() -> None:
    """A file that takes little at a time gets everything."""

    class Slow(io.RawIOBase):
        taken = b""

        def write(self, data: Any, /) -> int:
            self.taken += bytes(data[:3])
            return len(data[:3])

    slow = Slow()
    assert WholeWrites(slow, "slow").write(b"0123456789") == 10
    assert slow.taken == b"0123456789"


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, OutputError), (errno.EPIPE, BrokenPipeError)]
)
def test_errors_of_a_sink(number: int, expected: type[Exception]) -> None:
    class Broken(io.RawIOBase):
        def write(self, data: Any, /) -> int:
            raise OSError(number, "why")

    with pytest.raises(expected):
        WholeWrites(Broken(), "it").write(b"x")


def test_a_missing_package_is_noticed_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anytag.inference.writers.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError):
        opened(tmp_path / "out.parquet", "new", Format.PARQUET)
    assert list(tmp_path.iterdir()) == []


def test_the_run_file_says_how_it_was_made(tmp_path: Path) -> None:
    write(tmp_path / "out", range(1), "new", Format.JSONL)
    assert json.loads((tmp_path / "out.run.json").read_bytes()) == {"format": "jsonl", **SETTINGS}
