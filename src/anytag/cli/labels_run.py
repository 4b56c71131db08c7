"""The work of ``anytag labels``: count in processes, join labels with embeddings, write files."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from anytag.cli.labels_count import count_batches
from anytag.data.captions import Caption, read_captions
from anytag.errors import LabelError, OutputError, UsageError
from anytag.files import atomic_write, display_path
from anytag.labels.build import Sources, build_table
from anytag.labels.category_lists import read_category_list
from anytag.labels.counts import TagCounts
from anytag.labels.labelset import LabelSet, fold_name, read_tag_list
from anytag.labels.review import apply_table
from anytag.labels.review_page import review_page
from anytag.labels.synonym_tables import Curated, read_curated
from anytag.labels.synonyms import Vectors
from anytag.labels.table import Row, from_csv, read_table, to_csv
from anytag.labels.table_rows import Base

if TYPE_CHECKING:
    from anytag.data.sources import Source

_MAX_SHOWN = 10
#: findings of a data set that mean lost captions; pictures are not needed
_SERIOUS = ("malformed", "truncated", "unreadable")


@dataclass(frozen=True, kw_only=True)
class Options:
    """See ``anytag labels build``."""

    lists: Mapping[str, Path] = field(default_factory=dict)
    translations: Mapping[str, Path] = field(default_factory=dict)
    top: int = 10_000
    min_count: int = 5
    blocklist: Path | None = None
    base: Sequence[Path] = ()
    curated: Path | None = None
    column: str | None = None
    processes: int = 1


def run_build(inputs: Sequence[Path], output: Path, options: Options) -> int:
    """Write table.csv, review.html, labels.json and counts.tsv.

    Returns:
        the exit code: 1 if a row could not be used, else 0

    Raises:
        LabelError, UsageError: a file is wrong; found before anything is counted
    """
    # small files first: what is wrong with them shall not be found after an hour of counting
    sources = _read_sources(options)
    ready = [path for path in inputs if _is_counts(path)]
    readers = [_reader(path, options.column) for path in inputs if path not in ready]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {display_path(output)}: {error.strerror}") from error
    counts = TagCounts()
    for path in ready:
        counts.add(_read_counts(path))
    began = time.perf_counter()
    problems = _Problems()
    with _shown(counts):
        for part in count_batches(problems.drop(readers), processes=options.processes):
            counts.add(part)
    seconds = time.perf_counter() - began
    _say(f"{counts.num_captions:,} captions in {seconds:.1f} s, {len(counts.names):,} names")
    if counts.floor:
        _say(f"rare names were pruned; counts may be too low by up to {counts.floor:,}")
    began = time.perf_counter()
    made = replace(sources, counts=counts)
    rows = build_table(made, top=options.top, min_count=options.min_count)
    if not any(row.keep for row in rows):
        raise LabelError(
            f"no name is in {options.min_count} captions; give more captions, a lower --min-count, "
            "or a --list"
        )
    _write(output, rows, counts)
    _say(f"{_summary(rows)} in {time.perf_counter() - began:.1f} s")
    _say(f"review {display_path(output / 'review.html')} or table.csv, then: anytag labels merge")
    return 1 if problems.count else 0


def run_merge(
    table: Path, output: Path, *, base: Path | None = None, tag_list: Path | None = None
) -> None:
    """Write the label set of an edited table.

    Raises:
        LabelError: the table or the base is wrong
    """
    known = None if base is None else LabelSet.load(base)
    applied = apply_table(read_table(table), source=display_path(table), base=known)
    with atomic_write(output, text=True) as file:
        file.write(applied.labels.to_json())
    if tag_list is not None:
        with atomic_write(tag_list, text=True) as file:
            file.write("".join(f"{name}\n" for name in applied.labels.names))
    for line in applied.report():
        _say(line)


def _read_sources(options: Options) -> Sources:
    """Everything but the counts."""
    return Sources(
        counts=TagCounts(),
        lists={name: read_category_list(path) for name, path in options.lists.items()},
        translations={
            language: read_translations(path) for language, path in options.translations.items()
        },
        blocklist=read_tag_list(options.blocklist) if options.blocklist else (),
        base=_read_base(options.base),
        curated=read_curated(options.curated) if options.curated else Curated(),
        embed=_embedder(),
    )


def _read_base(paths: Sequence[Path]) -> Base:
    """Of a label set, of a table, or of both: ids of the one, what was dropped of the other."""
    label_files = [path for path in paths if path.suffix.lower() == ".json"]
    tables = [path for path in paths if path not in label_files]
    if len(label_files) > 1 or len(tables) > 1:
        raise UsageError("--base takes one labels.json and one table")
    rows = read_table(tables[0]) if tables else []
    if label_files:
        return Base.from_labels(LabelSet.load(label_files[0]), rows)
    return Base.from_rows(rows, display_path(tables[0])) if rows else Base()


def read_translations(path: Path) -> dict[str, str]:
    """Folded name -> translation, from two columns; the first of a name counts.

    Raises:
        LabelError: the file cannot be read, or a row has not two cells
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{display_path(path)}: cannot be read as text ({error})") from error
    delimiter = "\t" if "\t" in text.split("\n", 1)[0] else ","
    found: dict[str, str] = {}
    for row, values in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), 1):
        if not any(values):
            continue
        if len(values) != 2:
            raise LabelError(
                f"{display_path(path)}, row {row}: {len(values)} columns, expected two: name and "
                "translation"
            )
        found.setdefault(fold_name(values[0]), values[1].strip())
    return found


def _is_counts(path: Path) -> bool:
    return path.name == "counts.tsv" or path.name.endswith(".counts.tsv")


def _read_counts(path: Path) -> TagCounts:
    try:
        return TagCounts.from_text(path.read_text(encoding="utf-8"), display_path(path))
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{display_path(path)}: cannot be read as text ({error})") from error


def _reader(path: Path, column: str | None) -> Iterator[Caption]:
    if not path.exists():
        raise UsageError(f"{display_path(path)} does not exist")
    if path.is_dir() or path.suffix.lower() == ".json":
        from anytag.data.sources import open_source

        return _of_data_set(open_source(path))
    return read_captions(path, column=column)


def _of_data_set(source: Source) -> Iterator[Caption]:
    """Captions of its records, then what was wrong, a few of each kind."""
    for row, record in enumerate(source, 1):
        for text in record.captions:
            yield Caption(source=str(source.path), row=row, text=text)
    for problem in source.problems.examples:
        if problem.kind in _SERIOUS:
            found = (problem.kind, problem.message)
            yield Caption(source=problem.path, row=problem.line or 0, error=found)


@dataclass
class _Problems:
    """Rows without a caption: counted, the first ones shown."""

    count: int = 0

    def drop(self, readers: Iterable[Iterator[Caption]]) -> Iterator[Caption]:
        for reader in readers:
            for caption in reader:
                if caption.error is None:
                    yield caption
                    continue
                self.count += 1
                if self.count <= _MAX_SHOWN:
                    place = f", row {caption.row}" if caption.row else ""
                    _say(f"anytag: {display_path(caption.source)}{place}: {caption.error[1]}")
        if self.count:
            _say(f"rows without a caption: {self.count:,}")


def _embedder() -> Callable[[Sequence[str]], Vectors]:
    """nano's text encoder."""
    from anytag.inference.static_text import StaticTextEncoder

    folder = Path(str(files("anytag") / "assets" / "nano" / "text_encoder"))
    return StaticTextEncoder.load(folder).encode


def _write(output: Path, rows: list[Row], counts: TagCounts) -> None:
    table = to_csv(rows)
    name = display_path(output / "table.csv")
    labels = apply_table(from_csv(table, name), source=name).labels
    contents = {
        "table.csv": table,
        "review.html": review_page(rows, title="Label system: review"),
        "labels.json": labels.to_json(),
        "counts.tsv": counts.to_text(),
    }
    for file_name, text in contents.items():
        with atomic_write(output / file_name, text=True) as file:
            file.write(text)


def _summary(rows: Sequence[Row]) -> str:
    kept = [row for row in rows if row.keep]
    labels = sum(not row.merge_into for row in kept)
    suggested = sum(bool(row.suggest) for row in kept)
    return (
        f"{len(kept):,} names in {labels:,} labels, {len(rows) - len(kept):,} not kept, "
        f"{suggested:,} suggestions"
    )


@contextmanager
def _shown(counts: TagCounts) -> Iterator[None]:
    """How far counting is, where standard error is a terminal."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    began, before = time.perf_counter(), counts.num_captions

    def line() -> Text:
        rate = (counts.num_captions - before) / max(time.perf_counter() - began, 1e-9)
        return Text(f"counting: {counts.num_captions:,} captions, {rate:,.0f}/s")

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with Live(console=console, get_renderable=line, refresh_per_second=4, transient=True):
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr)
