"""``anytag labels``: from captions to a label system, with a person's review in between."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytag.cli.interrupts import interrupts_told
from anytag.errors import UsageError

_Captions = Annotated[
    list[Path],
    typer.Argument(
        metavar="CAPTIONS",
        help="What anytag parse reads; a folder or .json that anytag data reads; or counts.tsv "
        "of an earlier build.",
        show_default=False,
    ),
]
_Lists = Annotated[
    list[str] | None,
    typer.Option(
        "--list",
        metavar="NAME=FILE",
        help="A category list: text, a name a line; CSV with a column of names; COCO's JSON. "
        "Can be repeated.",
    ),
]
_Translations = Annotated[
    list[str] | None,
    typer.Option(
        "--translations",
        metavar="LANG=FILE",
        help="CSV or TSV of two columns: name, translation. Can be repeated.",
    ),
]
_Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="Folder for the table and the page."),
]
_Top = Annotated[int, typer.Option("--top", min=0, help="Take the N most frequent parsed tags.")]
_MinCount = Annotated[
    int, typer.Option("--min-count", min=1, help="Captions that a parsed tag must be in.")
]
_Blocklist = Annotated[
    Path | None,
    typer.Option("--blocklist", metavar="FILE", help="Names that are not kept, one a line."),
]
_Base = Annotated[
    list[Path] | None,
    typer.Option(
        "--base",
        metavar="FILE",
        help="labels.json of before, whose ids and groups stay; the reviewed table.csv, which "
        "also knows what was dropped; or both.",
    ),
]
_Curated = Annotated[
    Path | None,
    typer.Option(
        "--curated",
        metavar="FILE",
        help="Merges and vetoes of your own: add|veto, name, name, reason, with tabs.",
    ),
]
_Column = Annotated[
    str | None,
    typer.Option("--column", help="Column or key of the caption, if it has an unusual name."),
]
_Processes = Annotated[int, typer.Option("--processes", min=1, help="Worker processes.")]
_Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the table in DIR, edits and all.")
]


def build_app() -> typer.Typer:
    """The commands below ``anytag labels``."""
    app = typer.Typer(
        no_args_is_help=True, help="Make a label system from captions and category lists."
    )
    app.command()(build)
    app.command()(merge)
    return app


def build(
    captions: _Captions,
    output: _Output,
    lists: _Lists = None,
    top: _Top = 10_000,
    min_count: _MinCount = 5,
    blocklist: _Blocklist = None,
    translations: _Translations = None,
    base: _Base = None,
    curated: _Curated = None,
    column: _Column = None,
    processes: _Processes = 1,
    overwrite: _Overwrite = False,
) -> None:
    """Count the tags of captions, add category lists, group synonyms; write a table to review.

    DIR gets table.csv, which a person edits or leaves; review.html, the same as a page that saves
    the CSV; labels.json, the table as it is; and counts.tsv.

    Examples:

        anytag labels build captions.txt -o labels/
        anytag labels build cc3m/*.tsv --min-count 200 --processes 8 -o labels/
        anytag labels build captions.jsonl --list coco=coco.json -o labels/
        anytag labels build labels/counts.tsv more.txt --base labels.json -o new/
    """
    from anytag.cli.labels_run import Options, run_build
    from anytag.files import display_path

    if output.exists() and not output.is_dir():
        raise UsageError(f"-o {display_path(output)}: is not a folder")
    if (output / "table.csv").exists() and not overwrite:
        raise UsageError(
            f"{display_path(output / 'table.csv')} exists and may hold edits; name another folder, "
            "or use --overwrite"
        )
    options = Options(
        lists=_named("--list", "NAME=FILE", lists),
        translations=_named("--translations", "LANG=FILE", translations),
        top=top,
        min_count=min_count,
        blocklist=blocklist,
        base=base or (),
        curated=curated,
        column=column,
        processes=processes,
    )
    with interrupts_told():
        raise typer.Exit(run_build(captions, output, options))


def merge(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="The edited table.csv.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="LABELS", help="The labels.json to write.")
    ],
    base: Annotated[
        Path | None,
        typer.Option(
            "--base",
            metavar="FILE",
            help="labels.json whose ids stay; a label no longer wanted is muted.",
        ),
    ] = None,
    tag_list: Annotated[
        Path | None,
        typer.Option("--tag-list", metavar="FILE", help="Also write the names, one a line."),
    ] = None,
) -> None:
    """Apply an edited table: write the label set, and say what was changed.

    Examples:

        anytag labels merge labels/table.csv -o labels.json
        anytag labels merge labels2/table.csv --base labels.json -o labels2.json
    """
    from anytag.cli.labels_run import run_merge

    run_merge(table, output, base=base, tag_list=tag_list)


def _named(option: str, form: str, values: list[str] | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for value in values or ():
        name, mark, path = value.partition("=")
        if not (name and mark and path):
            raise UsageError(f"{option} {value}: expected {form}")
        if name in found:
            raise UsageError(f"{option}: {name} is given twice")
        found[name] = Path(path)
    return found
