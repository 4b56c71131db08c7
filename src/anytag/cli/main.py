"""The ``anytag`` command: registers the commands, and turns errors into one line and an exit code.

0: all done. 1: some inputs failed, each is reported; or nothing could be done for the reason given.
2: wrong usage. 130: interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import anytag
from anytag.errors import AnytagError, ConfigError, UsageError


def build_app() -> typer.Typer:
    """The command line; nothing heavy is imported before a command runs."""
    from anytag.cli import (
        ablate,
        bench,
        calibrate,
        caption,
        convert,
        data,
        demo,
        describe,
        engine,
        eval,
        explain,
        export,
        info,
        labels,
        parse,
        serve,
        tag,
        train,
        untag,
    )

    app = typer.Typer(
        name="anytag",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(help="Tag photos with any tags, offline.")(_common)
    app.command()(tag.tag)
    app.command()(untag.untag)
    app.command()(demo.demo)
    app.command()(describe.describe)
    app.command()(info.info)
    app.add_typer(data.build_app(), name="data")
    app.add_typer(engine.build_app(), name="engine")
    app.command()(caption.caption)
    app.command()(explain.explain)
    app.command()(convert.convert)
    app.command()(export.export)
    app.command()(bench.bench)
    app.command()(serve.serve)
    app.command()(parse.parse)
    app.command(name="eval")(eval.evaluate)
    app.command()(calibrate.calibrate)
    app.add_typer(labels.build_app(), name="labels")
    app.command()(train.train)
    app.command()(ablate.ablate)
    return app


def main() -> None:
    """Entry point; always ends with `SystemExit`."""
    try:
        build_app()()
    except AnytagError as error:
        fail(str(error))
        sys.exit(2 if isinstance(error, UsageError | ConfigError) else 1)


def fail(message: str) -> None:
    """One red line on standard error (without colour if it is no terminal)."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    console.print(Text(f"anytag: {message}", style="red"), soft_wrap=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anytag {anytag.__version__}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options of ``anytag`` itself."""
