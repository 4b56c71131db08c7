"""Parquet: one row an image, with the columns of the JSONL record; tags are a list of structs."""

from __future__ import annotations

from typing import Any

from anytag.errors import MissingExtraError
from anytag.inference.results import TagResult
from anytag.inference.writers import Sink

#: images in one row group: what is held in memory
ROW_GROUP = 4096


class ParquetWriter:
    """Needs ``pip install 'anytag[parquet]'``.

    Raises:
        MissingExtraError: pyarrow is not installed
    """

    def __init__(self, sink: Sink) -> None:
        try:
            import pyarrow as arrow
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise MissingExtraError("pyarrow", "parquet") from error
        text, number = arrow.string(), arrow.float32()
        tag = [("name", text), ("score", number), ("threshold", number)]
        tag += [("id", arrow.int32()), ("kind", text)]
        columns = [("path", text), ("sha256", text)]
        columns += [("width", arrow.int32()), ("height", arrow.int32()), ("model", text)]
        columns += [("tags", arrow.list_(arrow.struct(tag))), ("caption", text)]
        columns += [("error", arrow.struct([("type", text), ("message", text)]))]
        self._arrow = arrow
        self._schema = arrow.schema(columns)
        self._file = parquet.ParquetWriter(sink, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, result: TagResult) -> None:
        self._rows.append(result.record())
        if len(self._rows) >= ROW_GROUP:
            self._write_rows()

    def close(self) -> None:
        self._write_rows()
        self._file.close()

    def _write_rows(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []
