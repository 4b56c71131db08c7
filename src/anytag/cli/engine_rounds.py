"""``anytag engine rounds``: the engine, training, the engine with the new model, and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONFIG.yaml] [KEY=VALUE]...",
        help="The engine's configuration, and changes to it; train.KEY=VALUE changes the training.",
        show_default=False,
    ),
]
_Rounds = Annotated[int, typer.Option("--rounds", min=1, help="How many.")]
_Train = Annotated[
    str, typer.Option("--train", metavar="PRESET|FILE", help="Training of every round.")
]
_Heldout = Annotated[
    list[str] | None,
    typer.Option(
        "--heldout",
        metavar="DATASET",
        help="Photos with human tags; every round's model is measured on them.",
        show_default=False,
    ),
]
_Data = Annotated[
    list[Path] | None,
    typer.Option("--data", metavar="PATH", help="A data set; see: anytag data formats."),
]
_Out = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of all that is made.")
]
_Model = Annotated[
    str | None, typer.Option("--model", help="Labels in the first round: nano, a model directory.")
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def rounds(
    arguments: _Arguments = None,
    num_rounds: _Rounds = 2,
    training: _Train = "finetune",
    heldout: _Heldout = None,
    data: _Data = None,
    output: _Out = None,
    model: _Model = None,
    quiet: _Quiet = False,
) -> None:
    """Label with a model, train on the result, label with the new model, and so on.

    Every round starts from what people gave, and trains as `anytag train` would. Run again after
    an interruption, it goes on where it was; a larger --rounds goes on from the last one.

    Examples:

        anytag engine rounds --data photos.csv -o rounds --rounds 3 --heldout checked.csv

        anytag engine rounds engine.yaml --train train.yaml train.run.epochs=5 clean.rules=[unseen]
    """
    from anytag.cli.engine import _values
    from anytag.cli.engine_rounds_run import make_rounds, run_all

    changes = list(arguments or [])
    mine = [one.removeprefix("train.") for one in changes if one.startswith("train.")]
    rest = [one for one in changes if not one.startswith("train.")]
    values = _values(rest, data, None, output, model, None)
    config = make_rounds(values, num_rounds, training, mine, heldout or [])
    run_all(config, quiet=quiet)
