"""Records: JSONL rows and Parquet rows of pictures that change; all others are kept.

Wrong tags leave "tags" and "parsed_tags" (training takes both), missing ones join "tags". Other
names and columns stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anytag.data.record_files import SUFFIXES
from anytag.data.records import is_url
from anytag.data.text_files import decode
from anytag.engine.corrected_change import Change, copy_file, write_bytes
from anytag.errors import MissingExtraError, UsageError
from anytag.files import atomic_write, display_path


def write_records(
    path: Path, images: Path | None, changes: Mapping[str, Change], output: Path
) -> list[Path]:
    """Write files of records; returns them.

    Raises:
        UsageError: it is a shard, which holds pictures too
        MissingExtraError: pyarrow is not installed
    """
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES[:-1])
    written = []
    for file in files:
        target = output / file.name
        if file.suffix.lower() == ".tar":
            raise UsageError(f"{display_path(file)}: read shards with --kind webdataset")
        if not changes:
            copy_file(file, target)
        elif file.suffix.lower() == ".parquet":
            _write_parquet(file, target, images, changes)
        else:
            lines = file.read_bytes().split(b"\n")
            pieces = [_line(line, images, changes) for line in lines]
            write_bytes(target, b"\n".join(pieces))
        written.append(target)
    return written


def _line(line: bytes, images: Path | None, changes: Mapping[str, Change]) -> bytes:
    end = b"\r" if line.endswith(b"\r") else b""
    try:
        row = json.loads(decode(line.removeprefix(b"\xef\xbb\xbf"))[0])
    except (ValueError, RecursionError):
        return line
    change = changes.get(_image(row, images)) if isinstance(row, dict) else None
    if change is None:
        return line
    text = json.dumps(_changed(row, change), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + end


def _image(row: Mapping[str, Any], images: Path | None) -> str:
    image = row.get("image")
    if not isinstance(image, str):
        return ""
    return image if images is None or is_url(image) else str(images / image)


def _changed(row: dict[str, Any], change: Change) -> dict[str, Any]:
    changed = {**row, "tags": change.apply(row.get("tags") or [])}
    parsed = row.get("parsed_tags")
    if parsed and isinstance(parsed[0], str):
        changed["parsed_tags"] = change.kept(parsed)
    elif parsed:
        changed["parsed_tags"] = [change.kept(tags) for tags in parsed]
    return changed


def _write_parquet(
    file: Path, target: Path, images: Path | None, changes: Mapping[str, Change]
) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    with (
        pyarrow.parquet.ParquetFile(file) as table,
        atomic_write(target) as handle,
        pyarrow.parquet.ParquetWriter(handle, table.schema_arrow) as writer,
    ):
        for group in range(table.num_row_groups):
            changed = []
            for row in table.read_row_group(group).to_pylist():
                change = changes.get(_image(row, images))
                changed.append(row if change is None else _changed(row, change))
            writer.write_table(pyarrow.Table.from_pylist(changed, schema=table.schema_arrow))
