"""COCO JSON with annotations at image level: ``image_id``, ``category_id`` and ``score``.

A tag is about the whole image, so that there is no ``bbox``. Category ids are the label ids.
Images that failed are listed under ``errors``.
"""

from __future__ import annotations

import tempfile

from anytag.inference.results import TagResult
from anytag.inference.writers import Sink
from anytag.inference.writers.jsonl import encode
from anytag.labels.labelset import LabelSet

#: bytes of annotations that are kept in memory before a temporary file takes them
_SPOOL_BYTES = 1 << 24


class CocoWriter:
    """Images go out at once; annotations wait in a spool, as they have their own list."""

    def __init__(self, sink: Sink, labels: LabelSet, *, language: str | None = None) -> None:
        self._sink = sink
        self._annotations = _List()
        self._errors = _List()
        self._num_images = 0
        categories = [
            {
                "id": label.id,
                "name": label.display_name(language),
                "supercategory": label.kind or "",
            }
            for label in labels
        ]
        sink.write(b'{"categories": ' + encode(categories) + b',\n"images": [')

    def write(self, result: TagResult) -> None:
        if result.error is not None:
            error = result.error
            self._errors.add(
                {"file_name": result.path, "type": error.type, "message": error.message}
            )
            return
        self._num_images += 1
        image = {
            "id": self._num_images,
            "file_name": result.path,
            "width": result.width,
            "height": result.height,
        }
        self._sink.write((b",\n" if self._num_images > 1 else b"\n") + encode(image))
        for tag in result.record()["tags"]:
            self._annotations.add(
                {
                    "id": self._annotations.length + 1,
                    "image_id": self._num_images,
                    "category_id": tag["id"],
                    "score": tag["score"],
                }
            )

    def close(self) -> None:
        self._sink.write(b'],\n"annotations": [')
        self._annotations.copy_to(self._sink)
        self._sink.write(b'],\n"errors": [')
        self._errors.copy_to(self._sink)
        self._sink.write(b"]}\n")
        self._sink.flush()


class _List:
    """Elements of a JSON array, on disk once they are many."""

    def __init__(self) -> None:
        self.length = 0
        # Closed in copy_to.
        self._spool = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115

    def add(self, value: object) -> None:
        self._spool.write((b",\n" if self.length else b"\n") + encode(value))
        self.length += 1

    def copy_to(self, sink: Sink) -> None:
        with self._spool:
            self._spool.seek(0)
            while block := self._spool.read(1 << 16):
                sink.write(block)
