"""The bar on standard error."""

from __future__ import annotations

import pytest

from anytag.cli.progress import progress_bar


def test_failures_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(shown=True, count=None) as advance:
        for failed in (False, True, True):
            advance(failed=failed)
    captured = capsys.readouterr()
    assert "3/?" in captured.err
    assert "2 failed" in captured.err
    assert captured.out == ""


def test_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(shown=False, count=lambda: 1 // 0) as advance:
        advance(failed=True)
    assert capsys.readouterr() == ("", "")
