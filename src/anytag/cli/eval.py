"""``anytag eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytag.cli import options as opt
from anytag.cli.interrupts import interrupts_told

_SET = "Test set"
_SYSTEMS = "Systems"

SetName = Annotated[
    str | None,
    typer.Option(
        "--set",
        metavar="NAME",
        help="openimages-common, openimages-rare, coco-80, coco-133, ade20k, ade20k-clean, hico, "
        "imagenet-multi. Alone: where its files come from, and what others have published.",
        rich_help_panel=_SET,
    ),
]
AnnotationsPath = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="FILE",
        help="The set's annotations, or your own CSV or JSONL.",
        rich_help_panel=_SET,
    ),
]
Kind = Annotated[
    str,
    typer.Option(
        metavar="K",
        help="Format: names, numbers, csv, jsonl, coco, ade20k-150, openimages, classes, "
        "folder-tags, records; recognised if not given.",
        rich_help_panel=_SET,
    ),
]
ClassesFile = Annotated[
    Path | None,
    typer.Option(
        "--tags",
        metavar="FILE",
        help="The classes, one a line, where they are not in the annotations or beside them.",
        rich_help_panel=_SET,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder of the photos.", rich_help_panel=_SET),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="[NAME=]M",
        help="nano, a model directory, a hub id; clip:SOURCE, siglip:SOURCE or "
        "open_clip:NAME/PRETRAINED for zero-shot; blip:SOURCE for image-text matching. Again for "
        "each model.",
        rich_help_panel=_SYSTEMS,
    ),
]
ScoreFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--scores",
        metavar="NAME=FILE",
        help="Scores of any other system: .npz, .npy, .csv, .parquet, .jsonl, or a folder of "
        "answers of a cloud service. Again for each system.",
        rich_help_panel=_SYSTEMS,
    ),
]
Rule = Annotated[
    str,
    typer.Option(
        "--threshold",
        metavar="RULE",
        help="One for all classes: best-f1, precision=P, like=NAME (the precision of that system), "
        "or a number.",
        rich_help_panel=_SYSTEMS,
    ),
]
Prompt = Annotated[
    str,
    typer.Option(
        help="Sentence around a tag, for clip, siglip, open_clip and blip.",
        rich_help_panel=_SYSTEMS,
    ),
]
Descriptions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Descriptions of the classes, of 'anytag describe', for RAM++.",
        rich_help_panel=_SYSTEMS,
    ),
]
OutDir = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Write results.json, per_class.csv and report.html; keeps scores, so that the same "
        "command goes on where it was stopped.",
    ),
]


def evaluate(
    set_name: SetName = None,
    annotations: AnnotationsPath = None,
    kind: Kind = "auto",
    tags: ClassesFile = None,
    images: Images = None,
    model: Models = None,
    scores: ScoreFiles = None,
    threshold: Rule = "best-f1",
    prompt: Prompt = "a photo of a {}.",
    descriptions: Descriptions = None,
    out: OutDir = None,
    quiet: opt.Quiet = False,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    batch_size: opt.BatchSize = 32,
    workers: opt.Workers = None,
    engine: opt.Engine = opt.RunOn.LOCAL,
    ray_address: opt.RayAddress = None,
    ray_workers: opt.RayWorkers = None,
) -> None:
    """Measure models on a test set, on the same list of tags, beside what others have published.

    Examples:

        anytag eval --annotations mine.csv --images photos -o report
        anytag eval --set coco-80
        anytag eval --set coco-80 --annotations instances_val2017.json --images val2017 -o coco
        anytag eval --annotations mine.csv --images photos --model nano --model clip:clip-vit-b16
        anytag eval --set openimages-common --annotations openimages_common_214_ram_annots.txt
            --scores mine=scores.npz --threshold precision=0.8
    """
    given = dict(locals())
    from anytag.cli.eval_options import EvalOptions

    options = EvalOptions(**given)
    with interrupts_told():
        from anytag.cli.eval_run import run

        code = run(options)
    raise typer.Exit(code)
