"""``anytag info``."""

from __future__ import annotations

from typing import Any

import anytag


def test_info(cli: Any) -> None:
    done = cli("info")
    rows = dict(line.split(None, 1) for line in done.out.splitlines())
    assert (rows["model"], rows["anytag"]) == ("nano-fake", anytag.__version__)
    assert (rows["languages"], rows["captions"]) == ("en, de", "no")
    assert {"torch", "device", "tags", "pyarrow"} <= rows.keys()


def test_labels(cli: Any) -> None:
    assert cli("info", "--labels").out.splitlines() == [
        "0\tred\t0.5\tattribute",
        "1\tgreen\t0.5\t",
        "2\tblue\t0.9\t",
    ]


def test_the_real_model(cli: Any, real_model: None) -> None:
    done = cli.real("info")
    assert done.code == 0
    rows = dict(line.split(None, 1) for line in done.out.splitlines())
    assert rows["model"].startswith("nano-")
    assert rows["captions"] == "yes"
