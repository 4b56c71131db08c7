"""``anytag explain``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from anytag.cli import options as opt


class Method(str, Enum):
    """How places are weighed."""

    OCCLUSION = "occlusion"
    GRADIENT = "gradient"
    RELEVANCE = "relevance"
    ATTENTION = "attention"


class ExplainFormat(str, Enum):
    """What is printed."""

    TEXT = "text"
    JSONL = "jsonl"


Images = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Images, folders, quoted globs, URLs.")
]
TagNames = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME", help="Explain this tag; else the best that it finds."),
]
TopK = Annotated[int, typer.Option(min=1, help="Without --tag: so many tags of an image.")]
HowTo = Annotated[
    Method, typer.Option("--method", help="Compared in docs/explain.md; attention is the fastest.")
]
OutputFormat = Annotated[
    ExplainFormat, typer.Option("--format", help="path, tag, score, box in pixels; or JSON.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Write a PNG for each image and tag."),
]


def explain(
    images: Images,
    tag: TagNames = None,
    top_k: TopK = 3,
    method: HowTo = Method.OCCLUSION,
    form: OutputFormat = ExplainFormat.TEXT,
    output: Output = None,
    recursive: opt.Recursive = False,
    model: opt.Model = "nano",
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
) -> None:
    """Show where in a photo the model sees a tag: a box, and a heatmap over the photo.

    Examples:

        anytag explain photo.jpg --tag dog --tag ball -o explained

        anytag explain photos --format jsonl > boxes.jsonl
    """
    from anytag.cli.explain_run import ExplainRun, run

    num_failed = run(
        ExplainRun(
            images=images,
            tags=tag or [],
            top_k=top_k,
            method=method.value,
            as_json=form is ExplainFormat.JSONL,
            output=output,
            recursive=recursive,
            model=model,
            device=device,
            dtype=dtype,
        )
    )
    if num_failed:
        raise typer.Exit(1)
