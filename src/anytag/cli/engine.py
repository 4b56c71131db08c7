"""``anytag engine``: add missing tags to a data set, and remove wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anytag.cli import options as opt
from anytag.cli.engine_audit import audit
from anytag.cli.engine_rounds import rounds
from anytag.cli.ray_options import check_ray, make_pool
from anytag.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from anytag.distributed.pool import Pool
    from anytag.engine.config import EngineConfig
    from anytag.engine.pipeline import EngineResult

_Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONFIG.yaml] [KEY=VALUE]...",
        help="A configuration, and changes to it; see docs/engine.md.",
        show_default=False,
    ),
]
_Data = Annotated[
    list[Path] | None,
    typer.Option("--data", metavar="PATH", help="A data set; see: anytag data formats."),
]
_Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Folder of its pictures, if not near PATH."),
]
_Out = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of all that is made.")
]
_Model = Annotated[
    str | None, typer.Option("--model", help="nano, a model directory, or a hub id.")
]
_Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
_Redo = Annotated[
    bool, typer.Option("--redo", help="Make steps anew that were made with other settings.")
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")]


def build_app() -> typer.Typer:
    """The commands below ``anytag engine``."""
    app = typer.Typer(
        no_args_is_help=True, help="Add missing tags to data sets, remove wrong ones."
    )
    app.command()(run)
    app.command()(generate)
    app.command()(clean)
    app.command()(rounds)
    app.command()(audit)
    return app


def run(
    arguments: _Arguments = None,
    data: _Data = None,
    images: _Images = None,
    output: _Out = None,
    model: _Model = None,
    device: _Device = None,
    redo: _Redo = False,
    quiet: _Quiet = False,
    engine: opt.Engine = opt.RunOn.LOCAL,
    ray_address: opt.RayAddress = None,
    ray_workers: opt.RayWorkers = None,
) -> None:
    """Generate, merge, clean and write: training data with the provenance of every tag.

    Run again after an interruption, it goes on where it was.

    Examples:

        anytag engine run --data coco/annotations -o engine/round1
        anytag engine run engine.yaml --model runs/round1/model -o engine/round2
        anytag engine run --data photos.csv -o out generate.vocabulary=data
        anytag engine run --data coco/annotations -o out "clean.rules=[outlier, crop]"
            ground.detector=grounding-dino:IDEA-Research/grounding-dino-tiny
        anytag engine run engine.yaml --engine ray --ray-workers 8
    """
    check_ray(engine, ray_address, ray_workers)
    values = _values(arguments, data, images, output, model, device)
    pool = None
    if engine is opt.RunOn.RAY:
        pool = make_pool(ray_address, ray_workers, values.get("device", "auto"))
    _run(values, redo=redo, quiet=quiet, pool=pool)


def generate(
    arguments: _Arguments = None,
    data: _Data = None,
    images: _Images = None,
    output: _Out = None,
    model: _Model = None,
    device: _Device = None,
    redo: _Redo = False,
    quiet: _Quiet = False,
) -> None:
    """Only add: tags and captions of the model beside the given ones.

    ``anytag engine run`` with the same settings goes on from there.

    Examples:

        anytag engine generate --data coco/annotations -o engine/round1
    """
    values = _values(arguments, data, images, output, model, device)
    _run({**values, "steps": ["generate"]}, redo=redo, quiet=quiet)


def clean(
    arguments: _Arguments = None,
    data: _Data = None,
    images: _Images = None,
    output: _Out = None,
    model: _Model = None,
    device: _Device = None,
    redo: _Redo = False,
    quiet: _Quiet = False,
) -> None:
    """Only remove: the given tags that do not fit their pictures.

    Examples:

        anytag engine clean --data photos.csv -o cleaned
    """
    values = _values(arguments, data, images, output, model, device)
    _run({**values, "steps": ["clean"]}, redo=redo, quiet=quiet)


def _values(
    arguments: list[str] | None,
    data: list[Path] | None,
    images: Path | None,
    output: Path | None,
    model: str | None,
    device: str | None,
) -> dict[str, Any]:
    """Plain values of the configuration: the file's, then the options', then the changes."""
    from anytag.cli.engine_run import apply_changes, read_values

    changes = list(arguments or [])
    values = read_values(Path(changes.pop(0))) if changes and "=" not in changes[0] else {}
    if images is not None and not data:
        raise UsageError("--images belongs to --data")
    if data:
        folder = None if images is None else str(images)
        values["data"] = [{"path": str(path), "images": folder} for path in data]
    options = {"output": output, "model": model, "device": device}
    values |= {name: str(value) for name, value in options.items() if value is not None}
    values = apply_changes(values, changes)
    wrong = {"data": "no data set: give --data PATH, or data in CONFIG", "output": "give -o DIR"}
    for name, message in wrong.items():
        if name not in values:
            raise UsageError(message)
    return values


def _run(
    values: dict[str, Any],
    *,
    redo: bool,
    quiet: bool,
    pool: AbstractContextManager[Pool] | None = None,
) -> None:
    from anytag.cli.engine_run import make_config, run_engine

    made: EngineConfig = make_config(values)
    result: EngineResult = run_engine(made, redo=redo, quiet=quiet, pool=pool)
    typer.echo(result.records)
    if any(one["unreadable pictures"] for one in result.counts.values()):
        raise typer.Exit(1)
