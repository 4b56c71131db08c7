"""``anytag engine audit``: probable missing and wrong labels of a set, and the corrected set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytag.errors import UsageError


def audit(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="A labelled set; see: anytag data formats.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of all that is made."),
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="Format of DATASET.")] = "auto",
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Folder of its pictures, if not near it."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="nano, a model directory, or a hub id.")
    ] = "nano",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    limit: Annotated[
        int,
        typer.Option("--limit", min=1, help="Labels on the page; the table holds all."),
    ] = 300,
    least: Annotated[
        float, typer.Option("--least", metavar="P", help="Least confidence that is listed.")
    ] = 0.2,
    detector: Annotated[
        str,
        typer.Option(
            "--detector",
            help="Where missing tags are: windows, attention, grounding-dino:MODEL, none.",
        ),
    ] = "windows",
    apply: Annotated[
        Path | None,
        typer.Option(
            "--apply", metavar="CSV", help="Write the corrected set: rows with decision yes."
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="With --apply: hard links, no copies, of pictures.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no counts.")] = False,
) -> None:
    """List labels that are probably missing or wrong; correct the set.

    DIR/audit.html shows them with pictures, to be accepted or rejected by the keyboard. It saves
    decisions.csv, with which --apply writes the corrected set in its own format. The originals are
    never written to. Run again after an interruption, the audit goes on where it was.

    Examples:

        anytag engine audit coco/annotations/instances_val2017.json -o audit
        anytag engine audit photos.csv --images photos --least 0.5 -o audit
        anytag engine audit photos.csv --images photos --apply decisions.csv -o corrected
    """
    if output is None:
        raise UsageError("give -o DIR")
    if link and apply is None:
        raise UsageError("--link belongs to --apply")
    from anytag.cli.engine_audit_run import run_apply, run_audit_command

    if apply is not None:
        run_apply(dataset, kind, images, apply, output, link=link, quiet=quiet)
        return
    code = run_audit_command(
        dataset,
        kind,
        images,
        output,
        model=model,
        device=device,
        limit=limit,
        least=least,
        detector=detector,
        quiet=quiet,
    )
    raise typer.Exit(code)
