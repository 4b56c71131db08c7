"""Batches of captions to bytes of output, in this process or in several, in order."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import Protocol

from anytag.data.caption_rows import Caption
from anytag.labels.labelset import LabelSet, read_tag_list
from anytag.labels.parse import CaptionParser, ParsedTag

#: a batch ends at this many captions or characters
_BATCH_CAPTIONS = 2000
_BATCH_CHARACTERS = 1 << 20
CSV_COLUMNS = [
    "source",
    "row",
    "image",
    "caption",
    "tag",
    "kind",
    "start",
    "end",
    "negated",
    "quantity",
    "id",
    "error",
    "message",
]


class Parser(Protocol):
    """`CaptionParser` or `SpacyParser`."""

    def parse(self, caption: str) -> list[ParsedTag]:
        """The tags of a caption."""


@dataclass(frozen=True, kw_only=True)
class ParserSpec:
    """What a worker needs to make its own parser: names, no objects."""

    #: "builtin" or "spacy:PIPELINE"
    parser: str = "builtin"
    #: file of a label set; None takes those of the model
    labels: str | None = None
    #: None with ``labels`` None is open mode
    model: str | None = None
    #: "jsonl" or "csv"
    form: str = "jsonl"

    def make(self) -> Parser:
        """The parser.

        Raises:
            LabelError, ModelError: there are no such labels
            MissingExtraError: spaCy is not installed
        """
        labels = self.load_labels()
        if self.parser != "builtin":
            from anytag.labels.spacy_parser import SpacyParser

            return SpacyParser(self.parser.partition(":")[2], labels)
        return CaptionParser.open() if labels is None else CaptionParser.closed(labels)

    def load_labels(self) -> LabelSet | None:
        """The label set of closed mode."""
        if self.labels is not None:
            path = Path(self.labels)
            if path.suffix.lower() == ".json":
                return LabelSet.load(path)
            return LabelSet.from_names(read_tag_list(path))
        if self.model is None:
            return None
        if self.model == "nano":  # torch need not be imported for a list of names
            return LabelSet.load(Path(str(files("anytag") / "assets" / "nano" / "labels.json")))
        from anytag.checkpoints.directory import find_model

        return LabelSet.load(find_model(self.model) / "labels.json")


@dataclass(frozen=True, slots=True)
class Block:
    """A batch that is done."""

    data: bytes
    num_captions: int
    num_tags: int
    num_recoded: int
    #: errors as they are shown
    errors: tuple[str, ...]


class Worker:
    """Parses and writes down batches."""

    def __init__(self, spec: ParserSpec) -> None:
        self._parser = spec.make()
        self._encode = _csv_rows if spec.form == "csv" else _json_line

    def __call__(self, batch: Sequence[Caption]) -> Block:
        parse, encode = self._parser.parse, self._encode
        lines, errors = [], []
        num_tags = num_recoded = 0
        for caption in batch:
            tags: list[ParsedTag] = []
            if caption.error is None:
                tags = parse(caption.text)
                num_tags += len(tags)
                num_recoded += caption.recoded
            else:
                place = f", row {caption.row}" if caption.row else ""
                errors.append(f"{caption.source}{place}: {caption.error[1]}")
            lines.append(encode(caption, tags))
        data = "".join(lines).encode("utf-8", "backslashreplace")
        return Block(data, len(batch), num_tags, num_recoded, tuple(errors))


_text = json.encoder.encode_basestring  # as json.dumps does it


def _json_line(caption: Caption, tags: list[ParsedTag]) -> str:
    """One record; put together by hand, as `json.dumps` takes longer than parsing."""
    parts = []
    for name, kind, start, end, negated, quantity, id_ in tags:
        parts.append(
            f'{{"name": {_text(name)}, "kind": "{kind}", "span": [{start}, {end}], '
            f'"negated": {"true" if negated else "false"}, '
            f'"quantity": {"null" if quantity is None else quantity}'
            + ("}" if id_ is None else f', "id": {id_}}}')
        )
    image = "null" if caption.image is None else _text(caption.image)
    error = "null"
    if caption.error is not None:
        kind, message = caption.error
        error = f'{{"type": {_text(kind)}, "message": {_text(message)}}}'
    return (
        f'{{"source": {_text(caption.source)}, "row": {caption.row}, "image": {image}, '
        f'"caption": {_text(caption.text)}, "tags": [{", ".join(parts)}], "error": {error}}}\n'
    )


def _csv_rows(caption: Caption, tags: list[ParsedTag]) -> str:
    """One row a tag; a caption without tags, or an error, has one row too."""
    place = (caption.source, caption.row, caption.image, caption.text)
    rows: list[tuple[object, ...]] = [
        (*place, name, kind, start, end, "true" if negated else "false", quantity, id_, "", "")
        for name, kind, start, end, negated, quantity, id_ in tags
    ]
    text = io.StringIO()
    if not rows:
        rows = [(*place, *[""] * 7, *(caption.error or ("", "")))]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def batches(captions: Iterable[Caption]) -> Iterator[list[Caption]]:
    """Captions in batches of bounded count and length."""
    batch: list[Caption] = []
    size = 0
    for caption in captions:
        batch.append(caption)
        size += len(caption.text)
        if len(batch) >= _BATCH_CAPTIONS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def parse_blocks(
    captions: Iterable[Caption], spec: ParserSpec, *, processes: int = 1
) -> Iterator[Block]:
    """Output in the order of the captions, with a bounded number of batches in memory."""
    if processes == 1:
        worker = Worker(spec)
        yield from map(worker, batches(captions))
        return
    spec.make()  # what is wrong with the spec is wrong here, with a clear error
    waiting: deque[AsyncResult[Block]] = deque()
    with get_context("spawn").Pool(processes, _start_worker, (spec,)) as pool:
        for batch in batches(captions):
            waiting.append(pool.apply_async(_work, (batch,)))
            if len(waiting) > 3 * processes:
                yield waiting.popleft().get()
        while waiting:
            yield waiting.popleft().get()


_worker: Worker | None = None


def _start_worker(spec: ParserSpec) -> None:
    import signal

    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    _worker = Worker(spec)


def _work(batch: list[Caption]) -> Block:
    assert _worker is not None
    return _worker(batch)
