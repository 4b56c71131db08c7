"""``anytag train``: train or fine-tune a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anytag.training.config import TrainConfig

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONFIG.yaml] [KEY=VALUE]...",
        help="A configuration, and changes to it or to a preset.",
        show_default=False,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(help="finetune, nano, ram_4m, ram_14m, ram_coco or tag2text.", show_default=False),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="Training data of a preset; can be repeated. For ram_4m, ram_14m and tag2text the "
        "folder of all data sets.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="DIR", help="Where to.", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost; train nothing.")]
Cluster = Annotated[
    str, typer.Option(metavar="NxDEVICE", help="For --dry-run: A100, H100, RTX4090, ...")
]


def train(
    arguments: Arguments = None,
    preset: Preset = None,
    data: Data = None,
    output: Output = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    cluster: Cluster = "8xA100",
) -> None:
    """Train a model on pictures with tags or captions, or fine-tune one to your own tags.

    Data are CSV files (image,tags), a folder for each tag, COCO or VOC labels, captions, or any
    data set that `anytag data info` knows. The model is written to DIR/model whenever validation
    finds it better; DIR/report.html shows how it went.

    Several processes: torchrun --nproc_per_node 8 -m anytag train CONFIG.yaml

    Examples:

        anytag train --preset finetune --data pets.csv -o runs/pets

        anytag train --preset finetune --data photos-by-tag -o runs/mine run.epochs=40

        anytag train --resume -o runs/pets

        anytag train config.yaml optim.lr=1e-5 --dry-run --cluster 8xH100
    """
    config = _configuration(arguments or [], preset, data or [], output, resume)
    if dry_run:
        _show_estimate(config, cluster)
        return
    from anytag.cli.train_run import run_training

    run_training(config, resume=resume)


def _configuration(
    arguments: list[str], preset: str | None, data: list[str], output: str | None, resume: bool
) -> TrainConfig:
    from dataclasses import replace

    from anytag.errors import UsageError
    from anytag.training.config_file import changed, read_config
    from anytag.training.presets import PRESETS

    changes = [one for one in arguments if "=" in one]
    files = [one for one in arguments if "=" not in one]
    if output is not None and not files and preset is None and resume:
        files = [str(Path(output) / "config.yaml")]
    if len(files) + (preset is not None) != 1:
        raise UsageError("give a CONFIG.yaml or a --preset (or --resume -o DIR of a run)")
    if files:
        if data:
            raise UsageError("--data goes with --preset; a CONFIG.yaml names its own data")
        if output is not None:
            changes.append(f"output={output}")
        return read_config(Path(files[0]), changes)
    if preset not in PRESETS:
        raise UsageError(f"no preset {preset!r}: expected one of {', '.join(PRESETS)}")
    if not data or output is None:
        raise UsageError("--preset needs --data PATH and -o DIR")
    return replace(changed(PRESETS[preset](data, output), changes), output=output)


def _show_estimate(config: TrainConfig, cluster: str) -> None:
    from anytag.training.estimate import estimate_run

    typer.echo(estimate_run(config, cluster).text())
