"""``anytag parse``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from anytag.cli import options as opt
from anytag.cli.interrupts import interrupts_told
from anytag.cli.ray_options import check_ray
from anytag.errors import UsageError


class ParseMode(str, Enum):
    """Which tags."""

    CLOSED = "closed"
    OPEN = "open"


class ParseFormat(str, Enum):
    """What the tags can be written as."""

    JSONL = "jsonl"
    CSV = "csv"


_Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help=".txt, .jsonl, .csv, .tsv, .parquet, webdataset .tar; also .gz; - reads lines from "
        "standard input.",
        show_default=False,
    ),
]
_Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", help="labels.json, or a list of tags, one a line."),
]
_Model = Annotated[
    str | None,
    typer.Option("--model", help="Take the labels of nano, a model directory, or a hub id."),
]
_Mode = Annotated[
    ParseMode | None,
    typer.Option(
        "--mode",
        help="Find the tags of a label set (closed), or discover tags (open). Closed if labels or "
        "a model are given.",
    ),
]
_Parser = Annotated[
    str, typer.Option("--parser", metavar="builtin|spacy:MODEL", help="What reads the captions.")
]
_Column = Annotated[
    str | None,
    typer.Option("--column", help="Column or key of the caption, if it has an unusual name."),
]
_Format = Annotated[
    ParseFormat | None,
    typer.Option("--format", help="Follows the ending of OUT if not given, else jsonl."),
]
_Out = Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT", help="Write a file.")]
_Processes = Annotated[int, typer.Option("--processes", min=1, help="Worker processes.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on with OUT; nothing is done twice.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No summary.")]


def parse(
    inputs: _Inputs,
    labels: _Labels = None,
    model: _Model = None,
    mode: _Mode = None,
    parser: _Parser = "builtin",
    column: _Column = None,
    form: _Format = None,
    out: _Out = None,
    processes: _Processes = 1,
    resume: _Resume = False,
    overwrite: _Overwrite = False,
    quiet: _Quiet = False,
    engine: opt.Engine = opt.RunOn.LOCAL,
    ray_address: opt.RayAddress = None,
    ray_workers: opt.RayWorkers = None,
) -> None:
    """Captions to tags: objects, scenes, attributes, actions.

    Examples:

        anytag parse captions.txt
        anytag parse captions.jsonl --model nano -o tags.jsonl
        anytag parse shards/*.tar --processes 8 -o tags.jsonl --resume
        anytag parse train.tsv --labels tags.txt --format csv > tags.csv
        echo "two dogs without a leash" | anytag parse -
        anytag parse captions.txt --parser spacy:en_core_web_sm
        anytag parse captions.jsonl --engine ray -o tags.jsonl --resume
    """
    check_ray(engine, ray_address, ray_workers)
    if engine is opt.RunOn.RAY and (out is None or "-" in inputs):
        raise UsageError("--engine ray reads files, not standard input, and needs -o OUT")
    _check(inputs, labels, model, mode, parser, out, resume, overwrite)
    from anytag.cli.parse_batches import ParserSpec
    from anytag.cli.parse_run import run

    is_closed = mode is ParseMode.CLOSED or labels is not None or model is not None
    if form is None:
        is_csv = out is not None and out.suffix.lower() == ".csv"
        form = ParseFormat.CSV if is_csv else ParseFormat.JSONL
    spec = ParserSpec(
        parser=parser,
        labels=None if not is_closed else str(labels) if labels is not None else None,
        model=None if not is_closed or labels is not None else model or "nano",
        form=form.value,
    )
    with interrupts_told():
        if engine is opt.RunOn.RAY:
            from anytag.cli.parse_ray import run as run_on_ray

            assert out is not None
            code = run_on_ray(
                inputs,
                spec,
                column=column,
                out=out,
                mode="resume" if resume else "overwrite" if overwrite else "new",
                quiet=quiet,
                address=ray_address,
                workers=ray_workers,
            )
        else:
            code = run(
                inputs,
                spec,
                column=column,
                out=out,
                processes=processes,
                resume=resume,
                overwrite=overwrite,
                quiet=quiet,
            )
    raise typer.Exit(code)


def _check(
    inputs: list[str],
    labels: Path | None,
    model: str | None,
    mode: ParseMode | None,
    parser: str,
    out: Path | None,
    resume: bool,
    overwrite: bool,
) -> None:
    wrong = {
        "--labels and --model exclude each other": labels is not None and model is not None,
        "--mode open takes neither --labels nor --model": mode is ParseMode.OPEN
        and (labels is not None or model is not None),
        "--resume and --overwrite exclude each other": resume and overwrite,
        "--resume needs the file of the interrupted run: -o OUT": resume and out is None,
        "standard input can be read only once": inputs.count("-") > 1,
        f"-o {out}: is a folder": out is not None and out.is_dir(),
        f"-o {out}: its folder does not exist": out is not None and not out.parent.is_dir(),
        f"--parser {parser}: expected builtin, or spacy: and a pipeline": parser != "builtin"
        and not (parser.startswith("spacy:") and parser != "spacy:"),
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(message)
