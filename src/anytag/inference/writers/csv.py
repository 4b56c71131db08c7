"""CSV: one row for each tag of each image.

An image without tags and an image that failed have one row, with empty tag columns, so that every
input is in the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from anytag.inference.results import TagResult
from anytag.inference.writers import Sink

COLUMNS = ("path", "tag", "score", "threshold", "id", "kind", "error", "message")


class CsvWriter:
    """Comma separated, UTF-8, with a header."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rows([COLUMNS])

    def write(self, result: TagResult) -> None:
        if result.error is not None:
            error = result.error
            self._rows([(result.path, "", "", "", "", "", error.type, error.message)])
        elif not result.tags:
            self._rows([(result.path, "", "", "", "", "", "", "")])
        else:
            self._rows(
                [
                    (
                        result.path,
                        tag.name,
                        f"{tag.score:.4f}",
                        f"{tag.threshold:.4f}",
                        tag.id,
                        tag.kind,
                        "",
                        "",
                    )
                    for tag in result.tags
                ]
            )

    def close(self) -> None:
        """Nothing is left to do."""

    def _rows(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._sink.write(text.getvalue().encode("utf-8", "backslashreplace"))
        self._sink.flush()
