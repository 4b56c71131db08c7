"""Pictures within files: the samples of a webdataset shard, the rows of a Parquet table.

A picture in ``00000.tar`` is called ``00000.tar/000000012.jpg``, one in a table
``photos.parquet/7`` by its row, from 0. A table may also hold paths or URLs; those are pictures by
themselves.

Nothing here is fatal: what is damaged is an `InputProblem` in its place, after the pictures that
could be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anytag.data.discover import InputProblem, Item, UrlItem
from anytag.data.problems import Problems
from anytag.data.records import is_url
from anytag.data.shards import read_samples
from anytag.errors import MissingExtraError

SUFFIXES = (".tar", ".parquet")
#: columns with pictures or with their names, by precedence
_IN_ROWS = ("image", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content")
_NAMES = ("path", "image_path", "file_name", "filename", "file", "url", "image_url")
IMAGE_COLUMNS = (*_IN_ROWS, *_NAMES)
#: rows of a table that are held at a time
_ROWS = 64


@dataclass(frozen=True, slots=True)
class Member:
    """A picture that came out of a file."""

    #: its name, see above
    name: str
    content: bytes = field(repr=False)

    def __fspath__(self) -> str:
        return self.name


def is_container(item: Item) -> bool:
    """Whether an input is a file of pictures, by its name.

    >>> is_container(Path("shards/00000.tar"))
    True
    """
    return isinstance(item, Path) and item.suffix.lower() in SUFFIXES


def open_containers(items: Iterable[Item]) -> Iterator[Item | Member]:
    """The items, with the pictures of each container in its place; one is held in memory."""
    for item in items:
        if isinstance(item, Path) and is_container(item):
            read = _table if item.suffix.lower() == ".parquet" else _shard
            yield from read(item)
        else:
            yield item


def _shard(path: Path) -> Iterator[Item | Member]:
    problems = Problems()
    for sample in read_samples(path, problems):
        content = None if sample.image is None else sample.files.get(sample.image)
        name = f"{path}/{sample.key}"
        if content is not None:
            yield Member(f"{name}.{sample.image}", content)
        elif sample.image is None:
            yield InputProblem(name, "no_images", f"the sample {name} has no picture")
        else:
            name = f"{name}.{sample.image}"
            yield InputProblem(name, "too_large", f"{name} is too large")
    for problem in problems.examples:
        # that the file cannot be read at all may be its storage's fault; that it is damaged not
        kind = {"malformed": "damaged"}.get(problem.kind, problem.kind)
        yield InputProblem(str(path), kind, str(problem))


def _table(path: Path) -> Iterator[Item | Member]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            column = _column(table.schema_arrow)
            if column is None:
                names = ", ".join(table.schema_arrow.names[:10])
                message = f"{path} has no column of pictures; it has {names}"
                yield InputProblem(str(path), "no_images", message)
                return
            for batch in table.iter_batches(batch_size=_ROWS, columns=[column]):
                for value in batch.column(0).to_pylist():
                    yield _row(value, path, number)
                    number += 1
    except OSError as error:  # pyarrow's own are among these too; then without an errno
        kind = "damaged" if error.errno is None else "unreadable"
        why = error.strerror or " ".join(str(error).split())
        yield InputProblem(str(path), kind, f"{path}: cannot be read after {number} rows: {why}")
    except ArrowException as error:
        why = " ".join(str(error).split())
        yield InputProblem(str(path), "damaged", f"{path}: damaged after {number} rows: {why}")


def _column(schema: Any) -> str | None:
    """The column that is used."""
    names = {name.lower(): name for name in reversed(schema.names)}
    return next((names[name] for name in IMAGE_COLUMNS if name in names), None)


def _row(value: object, path: Path, number: int) -> Item | Member:
    if isinstance(value, dict):  # as Hugging Face's data sets have it
        value = value.get("bytes") or value.get("path")
    name = f"{path}/{number}"
    if isinstance(value, bytes):
        return Member(name, value)
    if isinstance(value, str) and value:
        return UrlItem(value) if is_url(value) else Path(value)
    return InputProblem(name, "no_images", f"{path}: row {number} has no picture")
