"""docs/serve.md, against the server that it is about."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.serve.servers import Running
from typer.main import get_command

from anytag.cli.serve import serve
from anytag.inference.scorer import CPU_CHUNK
from anytag.serve import connections, linger, models, server
from anytag.serve.config import ServeConfig

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
#: defaults that say what is done where nothing is said
_IN_WORDS = {
    "--max-batch": f"{CPU_CHUNK} on a CPU, else {models._GPU_BATCH}",
    "--decoders": "one for each processor",
    "--model": "nano",
    "--api-keys": "none",
    "--cors-origin": "none",
}


def defaults() -> dict[str, Any]:
    """Of the command, by option."""
    app = typer.Typer(add_completion=False)
    app.command()(serve)
    parameters = get_command(app).params
    return {one.opts[0]: one.default for one in parameters if one.name != "help"}


def documented() -> dict[str, str]:
    """The second column of the tables, by option."""
    return dict(re.findall(r"^\| `(--[a-z-]+)` \| ([^|]*) \|", PAGE, re.M))


def test_every_option_is_told_and_no_other() -> None:
    assert sorted(documented()) == sorted(defaults())


@pytest.mark.parametrize(("option", "default"), defaults().items())
def test_defaults(option: str, default: Any) -> None:
    told = documented()[option]
    if default is None:
        assert told == _IN_WORDS[option]
    elif isinstance(default, bool):
        assert told == ("on" if default else "off")
    elif isinstance(default, int | float):
        first = told.split()[0].replace(",", "")
        assert float(first) == default
    else:
        assert told == getattr(default, "value", default)


def test_numbers_that_no_option_sets() -> None:
    text = " ".join(PAGE.split())
    config = ServeConfig()
    assert f"of {config.max_tag_length} characters each" in text
    assert f"at most {models._MAX_DECODERS} unless you say more" in text
    assert f"idle for {server._KEEP_ALIVE_S} seconds between two requests" in text
    assert (linger._LONGEST_S, "hears up to two seconds more" in text) == (2, True)
    assert (connections._LAST_S, "have a second to begin" in text) == (1, True)
    assert (server._GRACE_S, "`--timeout` and five seconds later" in text) == (5, True)
    assert f"({models.NUM_RECENT} of them, each model)" in text


def test_the_example_in_python(
    shared: Running, data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (block,) = [one for one in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "urllib" in one]
    (tmp_path / "photo.jpg").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    exec(block.replace("http://127.0.0.1:8000", shared.url), {})  # the documentation's own
    expected = shared.tag(data, top_k=2).json()["tags"]
    assert capsys.readouterr().out == f"{[(tag['name'], tag['score']) for tag in expected]}\n"
