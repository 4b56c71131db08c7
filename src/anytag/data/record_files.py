"""Files of records (JSONL, Parquet, shards), read as a stream that can be split and resumed.

    stream = RecordStream(sorted(folder.glob("*.tar")), part=rank, num_parts=num_ranks)
    for record in stream:
        ...
        save(stream.position)                      # behind that record
    stream = RecordStream(files, part=rank, num_parts=num_ranks, position=saved)

Nothing is held but one record (one batch of a Parquet file).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from anytag.data.problems import Problems
from anytag.data.records import Record, from_plain, is_url, to_plain
from anytag.data.shards import Sample, read_samples
from anytag.data.text_files import clean_text, read_lines
from anytag.errors import MissingExtraError, UsageError
from anytag.files import atomic_write, display_path

SUFFIXES = (".jsonl", ".ndjson", ".parquet", ".tar")
#: rows of a Parquet file that are held
_BATCH = 1024
#: rows of a row group that is written
_ROW_GROUP = 4096
_Wanted: TypeAlias = Callable[[int], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a stream goes on; plain numbers, so that it can be kept in a checkpoint."""

    #: place in the list of files
    file: int = 0
    #: bytes of that file that are done (not of Parquet)
    offset: int = 0
    #: rows of that file that are done, broken ones and those of other parts included
    row: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    record: Record | None
    offset: int
    number: int


def part_of(rank: int, num_ranks: int, worker: int, num_workers: int) -> tuple[int, int]:
    """``(part, num_parts)`` for a loading worker of a rank.

    >>> part_of(1, 4, 0, 2)
    (2, 8)
    """
    if not (0 <= rank < num_ranks and 0 <= worker < num_workers):
        raise UsageError(f"no such part: rank {rank}/{num_ranks}, worker {worker}/{num_workers}")
    return rank * num_workers + worker, num_ranks * num_workers


class RecordStream:
    """The records of files, in order, or one part of them.

    Every record is in exactly one part. With at least as many files as parts, a part has whole
    files (every ``num_parts``-th), and reads no other; else it has every ``num_parts``-th row of
    each. Parts may differ in size by a file or a row for each file.

    Args:
        files: ``.jsonl``, ``.parquet`` and ``.tar`` in any mixture; the same list at each start
        part: from 0
        num_parts: of all, see `part_of`
        position: of an earlier stream over the same files with the same parts
        root: folder to which relative paths of images belong; the current one if not given
        with_images: give the pictures of shards as `Record.content`
        problems: gets what is wrong

    Raises:
        UsageError: there is no such part, or a file with another ending
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        part: int = 0,
        num_parts: int = 1,
        position: Position | None = None,
        root: Path | None = None,
        with_images: bool = True,
        problems: Problems | None = None,
    ) -> None:
        if not 0 <= part < num_parts:
            raise UsageError(f"no such part: {part} of {num_parts}")
        for file in files:
            if file.suffix.lower() not in SUFFIXES:
                known = ", ".join(SUFFIXES)
                raise UsageError(f"{display_path(file)}: records are read from {known}")
        self._files = list(files)
        self._part = part
        self._num_parts = num_parts
        self._root = root
        self._with_images = with_images
        #: behind the record that came last
        self.position = position or Position()
        #: what was wrong so far
        self.problems = problems if problems is not None else Problems()

    def __iter__(self) -> Iterator[Record]:
        by_file = len(self._files) >= self._num_parts
        first = self.position.file
        for index in range(first, len(self._files)):
            if by_file and index % self._num_parts != self._part:
                continue
            start = self.position if index == first else Position(file=index)
            for row in self._rows(self._files[index], start, by_file):
                self.position = Position(file=index, offset=row.offset, row=row.number)
                if row.record is not None:
                    yield self._placed(row.record)
            self.position = Position(file=index + 1)

    def _placed(self, record: Record) -> Record:
        if self._root is None or record.content is not None or is_url(record.image):
            return record
        return replace(record, image=str(self._root / record.image))

    def _rows(self, file: Path, start: Position, by_file: bool) -> Iterator[_Row]:
        def is_wanted(row: int) -> bool:
            return by_file or row % self._num_parts == self._part

        suffix = file.suffix.lower()
        if suffix == ".parquet":
            return _parquet_rows(file, start, is_wanted, self.problems)
        if suffix == ".tar":
            return _shard_rows(file, start, is_wanted, self.problems, self._with_images)
        return _jsonl_rows(file, start, is_wanted, self.problems)


def _jsonl_rows(
    file: Path, start: Position, is_wanted: _Wanted, problems: Problems
) -> Iterator[_Row]:
    for line in read_lines(file, problems, offset=start.offset, number=start.row):
        record = None
        if line.text.strip() and is_wanted(line.number - 1):
            try:
                record = _checked(json.loads(line.text), file, line.number, problems)
            except (ValueError, RecursionError) as error:
                problems.add("malformed", file, line.number, f"is no record: {error}")
        yield _Row(record, line.end, line.number)


def _shard_rows(
    file: Path, start: Position, is_wanted: _Wanted, problems: Problems, with_images: bool
) -> Iterator[_Row]:
    number = start.row
    samples = read_samples(file, problems, offset=start.offset, with_images=with_images)
    for sample in samples:
        record = sample_record(file, sample, problems) if is_wanted(number) else None
        number += 1
        yield _Row(record, sample.end, number)


def sample_record(shard: Path, sample: Sample, problems: Problems) -> Record | None:
    """The record of a sample that `write_shards` or img2dataset wrote; None if it is none."""
    if sample.image is None:
        problems.add("missing_image", shard, None, f"sample {sample.key} has no picture")
        return None
    try:
        row = json.loads(sample.text("json") or "{}")
        if not isinstance(row, dict):
            raise ValueError(f"a JSON object expected, found {type(row).__name__}")
        if "captions" not in row:  # img2dataset: the text, or a column of the metadata
            caption = sample.text("txt")
            caption = row.get("caption") if caption is None else caption
            row = {"captions": [caption] if caption else []}
        row["image"] = f"{shard}/{sample.key}.{sample.image}"
        row.setdefault("source", shard.parent.name)
        record = _checked(row, shard, None, problems)
    except (ValueError, RecursionError) as error:
        problems.add("malformed", shard, None, f"sample {sample.key} is no record: {error}")
        return None
    return replace(record, content=sample.files.get(sample.image))


def _parquet_rows(
    file: Path, start: Position, is_wanted: _Wanted, problems: Problems
) -> Iterator[_Row]:
    arrow, parquet = _import_parquet()
    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            names = [name for name in _FIELDS if name in table.schema_arrow.names]
            for group in range(table.num_row_groups):
                if number + table.metadata.row_group(group).num_rows <= start.row:
                    number += table.metadata.row_group(group).num_rows
                    continue
                for batch in table.iter_batches(_BATCH, row_groups=[group], columns=names):
                    for row in batch.to_pylist():
                        number += 1
                        if number <= start.row:
                            continue
                        record = None
                        if is_wanted(number - 1):
                            record = _parquet_record(row, file, number, problems)
                        yield _Row(record, 0, number)
    except (OSError, arrow.ArrowException) as error:
        problems.add("unreadable", file, None, f"cannot be read: {f'{error}'.splitlines()[0]}")


def _parquet_record(row: Any, file: Path, number: int, problems: Problems) -> Record | None:
    try:
        return _checked(row, file, number, problems)
    except ValueError as error:
        problems.add("malformed", file, number, f"is no record: {error}")
        return None


_FIELDS = ("image", "captions", "tags", "parsed_tags", "source")


def _checked(row: object, file: Path, line: int | None, problems: Problems) -> Record:
    record = from_plain(row)

    def clean(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(clean_text(text, file, line, problems) for text in texts)

    return replace(
        record,
        captions=clean(record.captions),
        tags=clean(record.tags),
        parsed_tags=tuple(clean(tags) for tags in record.parsed_tags),
    )


def write_jsonl(path: Path, records: Iterable[Record]) -> int:
    """Write records, one a line; returns how many.

    Raises:
        OutputError: the file cannot be written
    """
    num = 0
    with atomic_write(path) as file:
        for record in records:
            text = json.dumps(to_plain(record), ensure_ascii=False)
            file.write(text.encode("utf-8", "backslashreplace") + b"\n")
            num += 1
    return num


def write_parquet(path: Path, records: Iterable[Record]) -> int:
    """Write records, one a row, without pictures; returns how many.

    Raises:
        OutputError: the file cannot be written
        MissingExtraError: pyarrow is not installed
    """
    arrow, parquet = _import_parquet()
    texts = arrow.list_(arrow.string())
    schema = arrow.schema(
        [
            ("image", arrow.string()),
            ("captions", texts),
            ("tags", texts),
            ("parsed_tags", arrow.list_(texts)),
            ("source", arrow.string()),
        ]
    )
    num, rows = 0, []
    with atomic_write(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for record in records:
            rows.append(_writable(to_plain(record)))
            num += 1
            if len(rows) == _ROW_GROUP:
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                rows = []
        writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    return num


def _writable(value: Any) -> Any:  # Any: JSON
    """Names of files may hold bytes that are no text; Parquet refuses them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list):
        return [_writable(one) for one in value]
    return {name: _writable(one) for name, one in value.items()}


def _import_parquet() -> tuple[Any, Any]:  # Any: pyarrow has no types
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    return pyarrow, pyarrow.parquet
