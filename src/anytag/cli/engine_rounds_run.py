"""What ``anytag engine rounds`` does; apart from its options, as this imports the heavy parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from anytag.cli.engine_run import make_config, read_values
from anytag.cli.interrupts import interrupts_told
from anytag.cli.steps_bar import StepsBar, steps_bar
from anytag.config import from_plain, to_plain
from anytag.engine.rounds import Figures, RoundsConfig, RoundsWatch, rounds_rows, run_rounds
from anytag.errors import ConfigError, MissingExtraError, UsageError
from anytag.evaluation.comparison_files import text_table
from anytag.files import display_path
from anytag.training.config import SourceConfig, TrainConfig
from anytag.training.config_file import change
from anytag.training.presets import PRESETS


def make_rounds(
    values: Mapping[str, Any],
    num_rounds: int,
    training: str,
    changes: Sequence[str],
    heldout: Sequence[str],
) -> RoundsConfig:
    """The configuration of the options.

    Args:
        values: of the engine
        num_rounds: how many
        training: a preset or a YAML file; what it says of training data and output is replaced
        changes: to the training, ``run.epochs=3``
        heldout: data sets

    Raises:
        UsageError: a key or value is wrong; the message names it
    """
    try:
        if training in PRESETS:
            plain = to_plain(PRESETS[training](["the engine's records"], ""))
        elif Path(training).suffix in (".yaml", ".yml"):
            plain = read_values(Path(training))
            plain["output"] = ""
            plain["data"] = {**(plain.get("data") or {}), "train": [{"path": "the engine's"}]}
        else:
            raise UsageError(f"no preset {training!r}: {', '.join(PRESETS)}, or a YAML file")
        return RoundsConfig(
            engine=make_config(values),
            training=from_plain(TrainConfig, change(plain, changes), "train"),
            num_rounds=num_rounds,
            heldout=tuple(SourceConfig(path=path) for path in heldout),
        )
    except ConfigError as error:
        raise UsageError(str(error)) from error


def run_all(config: RoundsConfig, *, quiet: bool) -> None:
    """Run; the table goes to standard output, figures and page into the folder."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "eval")  # now, and not after an hour
    told = interrupts_told("run the same command again to go on")
    with told, steps_bar(shown=not quiet) as bar:
        found = run_rounds(config, _watch(bar, quiet))
    typer.echo(text_table(*rounds_rows(found)))
    if not quiet:
        page = Path(config.engine.output) / "report.html"
        typer.echo(f"report: {display_path(page)}", err=True)


def _watch(bar: StepsBar, quiet: bool) -> RoundsWatch:
    def ends(figures: Figures) -> None:
        if quiet or not figures["heldout"]:
            return
        measured = ", ".join(f"{name} {one['map']:.1f}" for name, one in figures["heldout"].items())
        bar.say(f"round {figures['round']}: mAP {measured}")

    return RoundsWatch(
        engine=bar.engine,
        training=bar,
        begins=lambda number: bar.begin(f"round {number}"),
        ends=ends,
    )
