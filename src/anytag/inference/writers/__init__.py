"""Results -> files: one module a format, each a `Writer` over a byte sink.

Scores are written with four digits in every format, so that a file is the same whether it was
written at once or put together from the journal of an interrupted run (`output`).
"""

from __future__ import annotations

from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from anytag.errors import MissingExtraError

if TYPE_CHECKING:  # `Format` is part of the command line's help, which must not wait for numpy
    from anytag.inference.results import TagResult
    from anytag.labels.labelset import LabelSet


class Sink(Protocol):
    """Where bytes go: a file, or standard output."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> None: ...


class Writer(Protocol):
    """One output format."""

    def write(self, result: TagResult) -> None:
        """Add one image, or the reason why it has no tags."""

    def close(self) -> None:
        """Complete the output; the sink stays open."""


class Format(str, Enum):
    """What the results can be written as."""

    TABLE = "table"
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    COCO = "coco"
    #: sidecars beside the images (`sidecars`), not a file of its own
    XMP = "xmp"
    #: shards with the images (`webdataset`), not a file of its own
    WEBDATASET = "webdataset"

    @classmethod
    def of_file(cls, path: Path) -> Format:
        """The format that a file name ends with; JSONL where it says nothing."""
        known = {".json": cls.JSON, ".csv": cls.CSV, ".parquet": cls.PARQUET, ".txt": cls.TABLE}
        return known.get(path.suffix.lower(), cls.JSONL)

    def check_installed(self) -> None:
        """Find out before the work what is missing after it.

        Raises:
            MissingExtraError: an optional package is needed
        """
        if self is Format.PARQUET and find_spec("pyarrow") is None:
            raise MissingExtraError("pyarrow", "parquet")


def make_writer(
    form: Format, sink: Sink, labels: LabelSet, *, language: str | None = None
) -> Writer:
    """A writer of this format.

    Args:
        form: the format
        sink: gets the bytes; flushed after every image where the format allows it
        labels: become the categories of a COCO file
        language: of the categories' names
    """
    if form is Format.JSONL:
        from anytag.inference.writers.jsonl import JsonlWriter

        return JsonlWriter(sink)
    if form is Format.JSON:
        from anytag.inference.writers.jsonl import JsonWriter

        return JsonWriter(sink)
    if form is Format.CSV:
        from anytag.inference.writers.csv import CsvWriter

        return CsvWriter(sink)
    if form is Format.PARQUET:
        from anytag.inference.writers.parquet import ParquetWriter

        return ParquetWriter(sink)
    if form is Format.COCO:
        from anytag.inference.writers.coco import CocoWriter

        return CocoWriter(sink, labels, language=language)
    from anytag.inference.writers.table import PlainWriter

    return PlainWriter(sink)
