"""The entry point: version, help, light imports, errors as one line."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

import anytag
from anytag.cli import main as cli_main
from anytag.errors import AnytagError, ConfigError, LabelError, UsageError

COMMANDS = ["tag", "untag", "demo", "info", "caption", "convert", "eval", "calibrate", "export"]
COMMANDS += ["explain", "bench", "serve"]


def test_version(cli: Any) -> None:
    assert cli("--version").out == f"anytag {anytag.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples(cli: Any, command: str) -> None:
    done = cli(command, "--help")
    assert done.code == 0
    assert re.search(rf"Examples:\s+anytag {command}", done.out)


def test_commands_are_listed(cli: Any) -> None:
    out = cli("--help").out
    assert all(re.search(rf"\b{command}\b", out) for command in COMMANDS)


@pytest.mark.parametrize("arguments", [["tagg"], ["tag", "--colour"], ["tag", "x", "--top-k", "0"]])
def test_wrong_usage(cli: Any, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_nothing_heavy_is_imported_for_the_help() -> None:
    code = (
        "import sys; from anytag.cli.main import build_app; build_app();"
        "print([n for n in ('numpy', 'torch', 'PIL', 'rich.progress') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("why"), 2),
        (ConfigError("why"), 2),
        (LabelError("why"), 1),
        (AnytagError("why"), 1),
    ],
)
def test_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Any, code: int
) -> None:
    def app() -> None:
        raise error

    monkeypatch.setattr(cli_main, "build_app", lambda: app)
    with pytest.raises(SystemExit) as ended:
        cli_main.main()
    assert ended.value.code == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "anytag: why\n")


def test_long_messages_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    cli_main.fail("[x] " * 100)
    assert capsys.readouterr().err.count("\n") == 1
