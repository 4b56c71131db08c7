"""examples/anytag.service: systemd reads it, and it leaves the server time and no rights."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from anytag.cli.serve import serve
from anytag.serve import connections, server

UNIT = Path(__file__).parents[2] / "examples" / "anytag.service"
#: tenths; systemd calls services below 50 "OK", and those below 20 have hardly any rights left
_MOST_EXPOSED = 20


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser["Service"]


def test_its_command_is_one_of_ours_and_has_time_to_stop(
    service: configparser.SectionProxy,
) -> None:
    program, command, *arguments = shlex.split(service["ExecStart"])
    assert (program.endswith("/bin/anytag"), command) == (True, "serve")
    app = typer.Typer(add_completion=False)
    app.command()(serve)
    options = get_command(app).make_context(command, arguments).params
    assert f"{options['api_keys']}" == "%d/keys"
    longest = options["drain"] + connections._LAST_S + options["timeout"] + server._GRACE_S
    assert int(service["TimeoutStopSec"]) > longest


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("it comes with systemd")
    copy = tmp_path / UNIT.name
    program = shutil.which("true")
    copy.write_text(UNIT.read_text("utf-8").replace("/opt/anytag/bin/anytag", f"{program}"))
    done = subprocess.run(
        [analyze, "verify", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    version = subprocess.run([analyze, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.split()[1]) < 250:
        pytest.skip("`security --offline` came with systemd 250")
    command = [analyze, "security", "--offline=true", f"--threshold={_MOST_EXPOSED}", copy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
