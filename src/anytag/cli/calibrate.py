"""``anytag calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytag.cli import options as opt
from anytag.cli.interrupts import interrupts_told

_DATA = "Photos with labels"

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="nano, a model directory, or a hub id.")
]
Data = Annotated[
    Path,
    typer.Option(
        "--data", metavar="FILE", help="Any file that 'anytag eval' reads.", rich_help_panel=_DATA
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        metavar="K", help="Format, as in 'anytag eval'; recognised.", rich_help_panel=_DATA
    ),
]
ClassesFile = Annotated[
    Path | None,
    typer.Option(
        "--tags",
        metavar="FILE",
        help="The tags that were looked for, one a line; else those that come.",
        rich_help_panel=_DATA,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder of the photos.", rich_help_panel=_DATA),
]
Weak = Annotated[
    bool,
    typer.Option(
        "--weak",
        help="The labels name some of what a photo shows, not all: precision is then a lower "
        "bound, and the best F1 is sought without negatives.",
        rich_help_panel=_DATA,
    ),
]
TargetPrecision = Annotated[
    float | None,
    typer.Option(metavar="P", help="The lowest thresholds that give this precision, in (0, 1]."),
]
BestF1 = Annotated[bool, typer.Option("--best-f1", help="The thresholds of the best F1.")]
OutDir = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="A copy of the model, with the thresholds."),
]
InPlace = Annotated[
    bool, typer.Option("--in-place", help="Change the thresholds of the model directory itself.")
]


def calibrate(
    model: ModelArgument,
    data: Data,
    kind: Kind = "auto",
    tags: ClassesFile = None,
    images: Images = None,
    weak: Weak = False,
    target_precision: TargetPrecision = None,
    best_f1: BestF1 = False,
    out: OutDir = None,
    in_place: InPlace = False,
    quiet: opt.Quiet = False,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    batch_size: opt.BatchSize = 32,
    workers: opt.Workers = None,
) -> None:
    """Choose each tag's threshold from labelled photos, for a target precision or the best F1.

    Examples:

        anytag calibrate nano --data mine.csv --images photos --target-precision 0.9 -o mine
        anytag calibrate mine --data keywords.jsonl --weak --best-f1 --in-place
        anytag tag photos -r --model mine
    """
    given = dict(locals())
    from anytag.cli.calibrate_run import CalibrateOptions, run

    with interrupts_told():
        code = run(CalibrateOptions(**given))
    raise typer.Exit(code)
