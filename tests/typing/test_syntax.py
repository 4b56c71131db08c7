"""The sources are written in the syntax of the oldest Python that is stated."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def oldest() -> tuple[int, int]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^requires-python = ">=(\d+)\.(\d+)"$', text, re.MULTILINE)
    assert found is not None
    return int(found[1]), int(found[2])


def test_sources_have_the_oldest_syntax() -> None:
    files = [
        path for folder in ("src", "tools", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    assert len(files) > 200
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=oldest())


def test_newer_syntax_would_be_noticed() -> None:
    with pytest.raises(SyntaxError):
        ast.parse("try:\n    f()\nexcept* ValueError:\n    pass\n", feature_version=(3, 10))
