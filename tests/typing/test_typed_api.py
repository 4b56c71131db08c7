"""The package is typed for its users: strict mypy on a program that imports only ``anytag``."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def check(program: str) -> tuple[int, list[tuple[int, str]]]:
    """Exit code of mypy; line and code of each error in the program."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary",
         "--config-file", str(ROOT / "pyproject.toml"), str(HERE / program)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.findall(rf"{program}:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode, [(int(line), code) for line, code in found]


def test_the_package_says_that_it_is_typed() -> None:
    assert (files("anytag") / "py.typed").is_file()


@pytest.mark.slow
def test_a_right_program_has_no_errors() -> None:
    assert check("user_program.py") == (0, [])


@pytest.mark.slow
def test_mistakes_are_found() -> None:
    text = (HERE / "wrong_program.py").read_text(encoding="utf-8")
    expected = [
        (number, line.rpartition("# ")[2])
        for number, line in enumerate(text.splitlines(), 1)
        if "  # " in line
    ]
    assert len(expected) == 4
    assert check("wrong_program.py") == (1, expected)
