"""Blocks of captions to bytes of output, in this process or in several, in order.

A worker gets lines as they are in the file and gives back what is to be written, so that the
process that reads and writes has next to nothing to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import TypeAlias

from anytag.cli.parse_output import JsonLines, csv_rows
from anytag.data.caption_blocks import CaptionBlock, captions_of
from anytag.labels.labelset import LabelSet, read_tag_list
from anytag.labels.parse import CaptionParser, PlainTag

#: blocks for each process that are read but not written
_BACKLOG = 3
#: caption -> its tags
Parse: TypeAlias = Callable[[str], Sequence[PlainTag]]


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

    def make(self) -> Parse:
        """The parser.

        Raises:
            LabelError, ModelError: there are no such labels
            MissingExtraError: spaCy is not installed
        """
        labels = self.load_labels()
        if self.parser != "builtin":
            from anytag.labels.spacy_parser import SpacyParser

            return SpacyParser(self.parser.partition(":")[2], labels).parse
        parser = CaptionParser.open() if labels is None else CaptionParser.closed(labels)
        return parser.parse_plain

    def check(self) -> None:
        """Find out what is wrong with it, if anything, with less work than `make`.

        Raises:
            as `make`
        """
        if self.parser == "builtin":
            self.load_labels()
        else:
            self.make()

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
class Output:
    """A block that is done."""

    data: bytes
    num_captions: int
    num_tags: int
    num_recoded: int
    #: errors as they are shown
    errors: tuple[str, ...]


class Worker:
    """Parses and writes down blocks."""

    def __init__(self, spec: ParserSpec) -> None:
        self._parse = spec.make()
        self._encode = csv_rows if spec.form == "csv" else JsonLines()

    def __call__(self, block: CaptionBlock) -> Output:
        parse, encode = self._parse, self._encode
        lines, errors = [], []
        num_tags = num_recoded = 0
        for caption in captions_of(block):
            tags: Sequence[PlainTag] = ()
            if caption.error is None:
                tags = parse(caption.text)
                num_tags += len(tags)
                num_recoded += caption.recoded
            else:
                place = f", row {caption.row}" if caption.row else ""
                errors.append(f"{caption.source}{place}: {caption.error[1]}")
            lines.append(encode(caption, tags))
        data = "".join(lines).encode("utf-8", "backslashreplace")
        return Output(data, len(lines), num_tags, num_recoded, tuple(errors))


def parse_blocks(
    blocks: Iterable[CaptionBlock], spec: ParserSpec, *, processes: int = 1
) -> Iterator[Output]:
    """Output in the order of the captions, with a bounded number of blocks in memory."""
    if processes == 1:
        worker = Worker(spec)
        yield from map(worker, blocks)
        return
    spec.check()
    waiting: deque[AsyncResult[Output]] = deque()
    with get_context("spawn").Pool(processes, _start_worker, (spec,)) as pool:
        for block in blocks:
            waiting.append(pool.apply_async(_work, (block,)))
            if len(waiting) > _BACKLOG * processes:
                yield waiting.popleft().get()
        while waiting:
            yield waiting.popleft().get()


_worker: Worker | None = None


def _start_worker(spec: ParserSpec) -> None:
    import signal

    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    _worker = Worker(spec)


def _work(block: CaptionBlock) -> Output:
    assert _worker is not None
    return _worker(block)
