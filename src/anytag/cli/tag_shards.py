"""What a worker of ``anytag tag --engine ray`` does: the images of a shard -> its part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from anytag.cli.ray_options import SHARD_SIZE
from anytag.cli.tag_model import captioning, load, make_selector, make_tagger
from anytag.cli.tag_options import TagOptions
from anytag.cli.tag_run import NUM_SHOWN_ERRORS
from anytag.data.containers import Member, is_container, open_containers
from anytag.data.discover import InputProblem, Item, UrlItem, find_images, path_from_text, path_text
from anytag.distributed.job import Job, PlannedShard
from anytag.distributed.storage import STORAGE_ERRORS, check_storage, witnesses
from anytag.engine.steps import Counts
from anytag.files import atomic_write
from anytag.inference.results import ItemError, TagResult
from anytag.inference.selection import TagSelector
from anytag.inference.stream import Score, Scored, stream
from anytag.inference.tagger import CPU_CHUNK, Tagger
from anytag.inference.writers import Format, make_writer
from anytag.inference.writers.webdataset import WebdatasetWriter

#: an image that was at work so often when its worker died is left out
_DEATHS = 2


def plan_tagging(options: TagOptions) -> Iterator[PlannedShard]:
    """Shards of the inputs: so many images in order, or one container."""
    size = options.shard_size or SHARD_SIZE
    items = find_images(options.inputs(), recursive=options.recursive)
    waiting: list[Item] = []
    for item in items:
        if is_container(item):
            if waiting:
                yield _planned(waiting)
            yield _planned([item])
            waiting = []
            continue
        waiting.append(item)
        if len(waiting) == size:
            yield _planned(waiting)
            waiting = []
    if waiting:
        yield _planned(waiting)


def _planned(items: list[Item]) -> PlannedShard:
    files = [item for item in items if isinstance(item, Path)]
    row = {
        "items": [_to_plain(item) for item in items],
        "known": [path_text(path) for path in witnesses(files)],
    }
    return row, None if is_container(items[0]) else len(items)


def _to_plain(item: Item) -> Any:
    match item:
        case UrlItem():
            return {"url": item.url}
        case InputProblem():
            return {"path": path_text(item), "kind": item.kind, "message": item.message}
    return path_text(item)


def _from_plain(row: Any) -> Item:
    if isinstance(row, str):
        return path_from_text(row)
    return UrlItem(row["url"]) if "url" in row else InputProblem(**row)


class _Model(NamedTuple):
    tagger: Tagger
    select: TagSelector
    score: Score


class TagShards:
    """A `anytag.distributed.worker.Make`.

    Args:
        options: of the command
        job: its shards
        form: of the parts
    """

    def __init__(self, options: TagOptions, job: Job, form: Format) -> None:
        self._options = options
        self._job = job
        self._form = form
        self._model: _Model | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_model": None}  # each process loads its own

    def __call__(self, shard: int) -> Counts:
        """See `anytag.distributed.worker.Make`."""
        row = self._job.shard(shard)
        return self._write(shard, row, self._scored(open_containers(_items(row))))

    def carefully(self, shard: int) -> Counts:
        """See `anytag.distributed.worker.Careful`."""
        row = self._job.shard(shard)
        # forgotten with the tries when a job is started again
        notes = self._job.step.path(shard, ".at.tries")
        guilty = _guilty(notes)

        def one_by_one() -> Iterator[Scored[Item | Member]]:
            with notes.open("ab", buffering=0) as file:
                file.write(b"\n")
                for number, item in enumerate(open_containers(_items(row))):
                    if number in guilty:
                        message = f"{path_text(item)}: its worker died each time it was at work"
                        yield Scored(
                            item=item, error=ItemError(type="worker_lost", message=message)
                        )
                        continue
                    file.write(b"%d " % number)
                    yield from self._scored([item], at_once=1)
                file.write(b"end")

        counts = self._write(shard, row, one_by_one())
        with suppress(OSError):
            notes.unlink()
        return counts

    def _loaded(self) -> _Model:
        if self._model is None:
            tagger = make_tagger(self._options)
            with_captions = self._options.caption
            score = captioning(self._options, tagger) if with_captions else tagger.score_many
            self._model = _Model(tagger, make_selector(self._options, tagger), score)
        return self._model

    def _scored(
        self, items: Iterable[Item | Member], at_once: int | None = None
    ) -> Iterator[Scored[Item | Member]]:
        model, options = self._loaded(), self._options
        on_cpu = model.tagger.device.type == "cpu"
        return stream(
            items,
            load=partial(load, model.tagger),
            score=model.score,
            batch_size=at_once or options.batch_size,
            workers=at_once or options.workers or num_threads(),
            pad_to=CPU_CHUNK if on_cpu else options.batch_size,
        )

    def _write(
        self, shard: int, row: dict[str, Any], scored: Iterator[Scored[Item | Member]]
    ) -> Counts:
        model = self._loaded()
        counts: Counter[str] = Counter(images=0, failed=0)
        planned = {one["path"] for one in row["items"] if isinstance(one, dict) and "path" in one}
        failed: list[Path] = []
        messages: list[str] = []
        with atomic_write(self._job.part(shard)) as file:
            write, close = self._open_part(shard, file, model.tagger)
            for one in scored:
                result = one.result(path_text(one.item), model.tagger.model_name, model.select)
                write(result, one.item)
                counts["images"] += 1
                if result.error is None:
                    continue
                counts["failed"] += 1
                messages += [result.error.message][: NUM_SHOWN_ERRORS - len(messages)]
                is_file = isinstance(one.item, Path | InputProblem)
                if is_file and result.error.type in STORAGE_ERRORS and result.path not in planned:
                    failed.append(path_from_text(result.path or ""))
            close()
            # before the part gets its name
            check_storage([path_from_text(text) for text in row["known"]], failed)
        self._job.note_errors(shard, messages)
        return counts

    def _open_part(
        self, shard: int, file: Any, tagger: Tagger
    ) -> tuple[Callable[[TagResult, Item | Member], None], Callable[[], None]]:
        if self._form is Format.WEBDATASET:
            tar = WebdatasetWriter(file, f"{shard:05}")
            return tar.write, tar.close
        writer = make_writer(self._form, file, tagger.labels, language=self._options.lang)
        return lambda result, item: writer.write(result), writer.close


def num_threads() -> int:
    """Threads of a worker: the processors that its pool gives it."""
    import torch

    return torch.get_num_threads()


def _items(row: dict[str, Any]) -> list[Item]:
    return [_from_plain(one) for one in row["items"]]


def _guilty(notes: Path) -> set[int]:
    """Images that were the last ones of so many tries that did not end."""
    try:
        tries = [line.split() for line in notes.read_text().splitlines()]
    except FileNotFoundError:
        return set()
    last = Counter(int(numbers[-1]) for numbers in tries if numbers and numbers[-1] != "end")
    return {number for number, deaths in last.items() if deaths >= _DEATHS}
