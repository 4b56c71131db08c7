"""``anytag ablate``: tables 4 and 5 of RAM, on one's own photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytag.errors import UsageError

_Table = Annotated[str, typer.Argument(metavar="TABLE", help="table4 or table5.")]
_Changes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Other settings; see docs/ablations.md.", show_default=False
    ),
]
_Train = Annotated[
    list[str] | None,
    typer.Option("--train", metavar="DATASET", help="Photos with captions.", show_default=False),
]
_Heldout = Annotated[
    list[str] | None,
    typer.Option(
        "--heldout", metavar="DATASET", help="Other photos, with human tags.", show_default=False
    ),
]
_Finetune = Annotated[
    list[str] | None,
    typer.Option(
        "--finetune",
        metavar="DATASET",
        help="table5: photos with better labels, for the last step; each is a row.",
        show_default=False,
    ),
]
_Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", metavar="FILE", help="Backbone of ImageNet (timm's mobilenetv2_100)."
    ),
]
_Seeds = Annotated[int, typer.Option("--seeds", min=1, help="How often each case is trained.")]
_Epochs = Annotated[int, typer.Option("--epochs", min=1, help="Of each training.")]
_Out = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Where to.", show_default=False),
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def ablate(
    table: _Table,
    changes: _Changes = None,
    train: _Train = None,
    heldout: _Heldout = None,
    finetune: _Finetune = None,
    weights: _Weights = None,
    seeds: _Seeds = 3,
    epochs: _Epochs = 4,
    output: _Out = None,
    quiet: _Quiet = False,
) -> None:
    """Train networks of nano's kind with one thing changed, and compare them on held-out photos.

    table4: tagging alone, with captioning, with distillation, with both.
    table5: tags parsed from captions, then the data engine's generation and cleaning with the
    model trained on these, then fine-tuning.

    Every --option for data can be repeated. Run again after an interruption, it goes on where it
    was; a larger --seeds adds to what is there.

    Examples:

        anytag ablate table5 --train captions.jsonl --heldout labels.jsonl
            --finetune better.jsonl --weights mobilenet.safetensors -o ablation/table5

        anytag ablate table4 --train captions.jsonl --heldout coco/annotations -o ablation/table4
            --epochs 2 model.image_size=128 run.precision=bfloat16
    """
    from anytag.cli.ablate_run import make_config, run_tables

    if table not in ("table4", "table5"):
        raise UsageError(f"no {table!r}: expected table4 or table5")
    if not train or not heldout or output is None:
        raise UsageError("give --train DATASET, --heldout DATASET and -o DIR")
    if finetune and table != "table5":
        raise UsageError("--finetune belongs to table5")
    config = make_config(
        table,
        changes or [],
        train=train,
        heldout=heldout,
        finetune=finetune or [],
        weights=weights,
        seeds=seeds,
        epochs=epochs,
        output=output,
    )
    run_tables(config, quiet=quiet)
