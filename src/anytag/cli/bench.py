"""``anytag bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytag.cli import options as opt

ModelArgument = Annotated[
    str, typer.Option("--model", help="nano, a model directory, a checkpoint, or a hub id.")
]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Your photos; else pictures of 1600 x 1200 are made.",
        show_default=False,
    ),
]
NumImages = Annotated[int, typer.Option(min=1, help="Use so many of them.")]
Rounds = Annotated[int, typer.Option(min=1, help="Passes from files to tags.")]
TagsUpTo = Annotated[
    int | None,
    typer.Option(min=1, help="Also time 100, 1,000, ... tags, up to this many."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Write bench.json and bench.html."),
]


def bench(
    model: ModelArgument = "nano",
    images: Images = None,
    num_images: NumImages = 64,
    rounds: Rounds = 3,
    tags_up_to: TagsUpTo = None,
    output: Output = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    backend: opt.Backend = opt.RunBy.AUTO,
    batch_size: opt.BatchSize = 32,
    workers: opt.Workers = None,
) -> None:
    """Measure how fast a model is on this machine, stage by stage. Let nothing else run.

    Examples:

        anytag bench

        anytag bench --model nano-onnx --images ~/Pictures -o bench

        anytag bench --tags-up-to 100000 -o bench
    """
    from anytag.cli.bench_run import BenchRun, run

    run(
        BenchRun(
            model=model,
            images=images,
            num_images=num_images,
            rounds=rounds,
            tags_up_to=tags_up_to,
            output=output,
            device=device,
            dtype=dtype,
            backend=backend.value,
            batch_size=batch_size,
            workers=workers,
        )
    )
