"""What ``anytag ablate`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from anytag.cli.interrupts import interrupts_told
from anytag.cli.steps_bar import StepsBar, steps_bar
from anytag.config import from_plain, to_plain
from anytag.engine.ablation import AblationConfig, Case, Watch, chosen_cases, run_ablation
from anytag.engine.ablation_report import ablation_page, explain, summarize, text_rows
from anytag.engine.ablation_tables import table4_cases, table5_cases
from anytag.engine.steps import write_json
from anytag.errors import ConfigError, MissingExtraError, UsageError
from anytag.evaluation.comparison_files import text_table
from anytag.files import display_path
from anytag.training.config import SourceConfig
from anytag.training.config_file import change

_CASES = {"table4": table4_cases, "table5": table5_cases}


def make_config(
    table: str,
    changes: Sequence[str],
    *,
    train: Sequence[str],
    heldout: Sequence[str],
    finetune: Sequence[str],
    weights: Path | None,
    seeds: int,
    epochs: int,
    output: Path,
) -> AblationConfig:
    """The configuration of the options and changes.

    Raises:
        UsageError: a key or value is wrong; the message names it
    """

    def sources(paths: Sequence[str]) -> tuple[SourceConfig, ...]:
        return tuple(SourceConfig(path=path) for path in paths)

    try:
        plain = to_plain(
            AblationConfig(
                output=str(output),
                table=table,
                train=sources(train),
                heldout=sources(heldout),
                seeds=seeds,
            )
        )
        plain["model"]["backbone_weights"] = None if weights is None else str(weights)
        plain["run"]["epochs"] = epochs
        plain["loss"]["captioning"] = table == "table5"
        plain["finetune"]["data"] = to_plain(sources(finetune))
        return from_plain(AblationConfig, change(plain, changes), "config")
    except ConfigError as error:
        raise UsageError(str(error)) from error


def run_tables(config: AblationConfig, *, quiet: bool) -> None:
    """Train and measure; the table goes to standard output, figures and page into the folder."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "eval")  # now, and not after an hour
    try:
        cases = chosen_cases(config, _CASES[config.table](config))
    except ConfigError as error:
        raise UsageError(str(error)) from error
    folder = Path(config.output)
    told = interrupts_told("run the same command again to go on")
    with told, steps_bar(shown=not quiet) as bar:
        outcome = run_ablation(config, cases, _watch(bar, quiet))
    figures = summarize(outcome)
    write_json(folder / "ablation.json", figures)
    ablation_page(figures, outcome.heldout).write(folder / "report.html")
    typer.echo(text_table(*text_rows(figures)))
    if not quiet:
        typer.echo(f"\n{explain(figures)}", err=True)
        typer.echo(f"report: {display_path(folder / 'report.html')}", err=True)


def _watch(bar: StepsBar, quiet: bool) -> Watch:
    def ends(seed: int, case: Case, result: dict[str, Any], seconds: float | None) -> None:
        if quiet:
            return
        measured = ", ".join(f"{name} {value:.1f}" for name, value in result["map"].items())
        how = "done before" if seconds is None else f"{seconds:,.0f} s"
        bar.say(f"seed {seed}, {case.title}: mAP {measured} ({how})")

    return Watch(
        training=bar,
        engine=bar.engine,
        begins=lambda seed, case: bar.begin(f"seed {seed}, {case.title}"),
        ends=ends,
    )
