"""``anytag data``: what a data set holds, and other forms of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anytag.errors import UsageError

if TYPE_CHECKING:
    from anytag.data.problems import Problems
    from anytag.data.records import Record
    from anytag.data.sources import Source
    from anytag.data.summary import Summary

_SHEET_SIZE = 24
_MAX_TAGS = 20

_Path = Annotated[
    Path, typer.Argument(metavar="PATH", help="A file or folder of a data set.", show_default=False)
]
_Kind = Annotated[
    str, typer.Option("--kind", metavar="KIND", help="The format; see: anytag data formats.")
]
_Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Folder of the pictures, if not near PATH."),
]
_TagList = Annotated[
    Path | None,
    typer.Option("--tags", metavar="FILE", help="The tag list, one a line, of RAM's ids."),
]
_Limit = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N records.")
]


def build_app() -> typer.Typer:
    """The commands below ``anytag data``."""
    app = typer.Typer(no_args_is_help=True, help="Look at data sets, and convert them to records.")
    app.command()(info)
    app.command()(convert)
    app.command()(formats)
    return app


def info(
    path: _Path,
    kind: _Kind = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="A sample as .html or .png."),
    ] = None,
    images: _Images = None,
    tags: _TagList = None,
    limit: _Limit = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Look whether every picture exists.")
    ] = True,
) -> None:
    """Count images, captions and tags of a data set, and what is wrong with it.

    Ends with 1 if there is no record, or a file is unreadable or cut off.

    Examples:

        anytag data info coco/annotations -o coco.html
        anytag data info cc12m.tsv --limit 100000
        anytag data info vg_ram.json --tags ram_tag_list.txt
    """
    from anytag.data.summary import summarize

    if output is not None and output.suffix.lower() not in (".html", ".htm", ".png"):
        raise UsageError(f"{output}: a sheet ends with .html or .png")
    source = _open(path, kind, images, tags)
    summary = summarize(
        _with_progress(source), sample_size=_SHEET_SIZE, check_files=check, max_records=limit
    )
    rows = rows_of(source, summary)
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(f"{name:{width}}  {value}")
    _echo_tags(summary)
    if source.kind == "ram" and source.names is None:
        typer.echo("the tags are ids; give the tag list with --tags", err=True)
    report_problems(source.problems, summary)
    if output is not None:
        _write_sheet(output, source, rows, summary)
    counts = source.problems.counts
    if not summary.num_records or counts["unreadable"] or counts["truncated"]:
        raise typer.Exit(1)


def convert(
    path: _Path,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help=".jsonl, .parquet, or a folder for webdataset shards.",
        ),
    ],
    kind: _Kind = "auto",
    images: _Images = None,
    tags: _TagList = None,
    limit: _Limit = None,
    source_name: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="Name of the source in each record."),
    ] = None,
) -> None:
    """Write a data set as records, which training and the other commands read.

    Examples:

        anytag data convert coco/annotations -o coco.jsonl
        anytag data convert photos/ --kind folder -o shards/
    """
    from dataclasses import replace
    from itertools import islice

    from anytag.data.record_files import write_jsonl, write_parquet
    from anytag.data.shards import write_shards
    from anytag.files import display_path

    suffix = output.suffix.lower()
    if suffix not in ("", ".jsonl", ".ndjson", ".parquet"):
        raise UsageError(f"{display_path(output)}: ends with .jsonl or .parquet, or is a folder")
    source = _open(path, kind, images, tags, with_images=suffix == "")
    records: Iterable[Record] = islice(_with_progress(source), limit)
    if source_name is not None:
        records = (replace(record, source=source_name) for record in records)
    if suffix == "":
        num = write_shards(output, records, source.problems)
    else:
        num = (write_parquet if suffix == ".parquet" else write_jsonl)(output, records)
    typer.echo(f"{num:,} records in {display_path(output)}", err=True)
    report_problems(source.problems)
    counts = source.problems.counts
    if not num or counts["unreadable"] or counts["truncated"]:
        raise typer.Exit(1)


def formats() -> None:
    """List the formats that are read, for --kind."""
    from anytag.data.sources import KINDS

    width = max(map(len, KINDS))
    for name, what in KINDS.items():
        typer.echo(f"{name:{width}}  {what}")


def rows_of(source: Source, summary: Summary) -> dict[str, str]:
    """What is shown of a data set, by name."""
    from anytag.data.sources import KINDS

    rows = {
        "kind": f"{source.kind} ({KINDS[source.kind]})",
        "records": f"{summary.num_records:,}",
        "images": f"{summary.num_images:,}",
        "captions": f"{summary.num_captions:,} ({summary.captions_per_record:.2f} a record)",
        "tags": f"{summary.num_tags:,} ({summary.tags_per_record:.2f} a record)",
    }
    if summary.num_parsed_tags:
        rows["parsed tags"] = f"{summary.num_parsed_tags:,}"
    rows["different tags"] = f"{len(summary.tags):,}{' or more' * summary.is_approximate}"
    if summary.num_records > summary.num_images:
        rows["repeated"] = f"{summary.num_records - summary.num_images:,} records of images before"
    if summary.num_urls:
        rows["URLs"] = f"{summary.num_urls:,} images are URLs, not files"
    if summary.num_without_text:
        rows["without text"] = f"{summary.num_without_text:,} records"
    rows["missing files"] = f"{summary.num_missing:,}"
    for kind, count in sorted(source.problems.counts.items()):
        rows[kind.replace("_", " ")] = f"{count:,}"
    return rows


def report_problems(problems: Problems, summary: Summary | None = None) -> None:
    """The first findings of each kind on standard error, with file and line."""
    from anytag.files import display_path

    for example in problems.examples:
        typer.echo(f"{example.kind}: {example}", err=True)
    for path in summary.missing if summary else ():
        typer.echo(f"missing file: {display_path(path)}", err=True)


def _open(
    path: Path, kind: str, images: Path | None, tags: Path | None, *, with_images: bool = False
) -> Source:
    from anytag.data.sources import open_source
    from anytag.labels.tag_files import read_lines

    names = None if tags is None else read_lines(tags)
    return open_source(path, kind, images=images, names=names, with_images=with_images)


def _with_progress(records: Iterable[Record]) -> Iterator[Record]:
    """The records; how many came is shown where standard error is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from records
        return
    with console.status("reading") as status:
        for number, record in enumerate(records, 1):
            yield record
            if number % 1000 == 0:
                status.update(f"reading: {number:,} records")


def _echo_tags(summary: Summary) -> None:
    if summary.tags:
        typer.echo("\nmost frequent tags, in records")
        for name, count in summary.tags.most_common(_MAX_TAGS):
            typer.echo(f"{count:10,}  {name}")


def _write_sheet(output: Path, source: Source, rows: dict[str, str], summary: Summary) -> None:
    from anytag.cli.data_sheet import html_sheet, picture_sheet
    from anytag.files import atomic_write, display_path

    with atomic_write(output) as file:
        if output.suffix.lower() == ".png":
            picture_sheet(summary.sample).save(file, "PNG")
        else:
            page = html_sheet(str(source.path), rows, summary, source.problems)
            file.write(page.encode("utf-8", "backslashreplace"))
    typer.echo(f"sample: {display_path(output)}", err=True)
