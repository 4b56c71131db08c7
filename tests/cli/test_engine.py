"""``anytag engine``: options, configuration files, exit codes, a run with the embedded model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from anytag.cli.engine import _run, _values
from anytag.cli.engine_run import make_config
from anytag.errors import UsageError

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("yaml")


def write_data(folder: Path, num: int = 4) -> Path:
    rows = []
    for number in range(num):
        image = folder / f"{number}.png"
        Image.new("RGB", (40, 30), (60 * number, 90, 200)).save(image)
        rows.append({"image": str(image), "tags": ["dog", "own thing"]})
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def values(*arguments: str, **options: Any) -> dict[str, Any]:
    known = dict.fromkeys(("data", "images", "output", "model", "device"))
    return _values(list(arguments), **{**known, **options})


def test_options_stand_above_the_file_and_changes_above_both(tmp_path: Path) -> None:
    path = tmp_path / "engine.yaml"
    path.write_text(
        "output: one\ndata: [{path: a.jsonl}]\nmodel: other\nclean: {outlier_share: 0.2}\n"
    )
    made = make_config(
        values(str(path), "clean.num_categories=7", "shard_size=5", output=Path("two"))
    )
    assert (made.output, made.model, made.shard_size) == ("two", "other", 5)
    assert (made.clean.outlier_share, made.clean.num_categories) == (0.2, 7)
    assert made.data[0].path == "a.jsonl"
    made = make_config(values(data=[Path("b"), Path("c")], output=Path("d"), images=Path("i")))
    assert [(one.path, one.images) for one in made.data] == [("b", "i"), ("c", "i")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "no data set"),
        (["run", "--data", "x.jsonl"], "give -o DIR"),
        (["run", "missing.yaml"], "missing.yaml: cannot be read"),
        (["run", "--data", "x.jsonl", "-o", "out"], "x.jsonl does not exist"),
        (["run", "--data", "x", "-o", "o", "clean.rules=[magic]"], "'magic' is none of outlier"),
        (["run", "--data", "x", "-o", "o", "clean.outlier=0.1"], "did you mean 'outlier_share'"),
        (["run", "--data", "x", "-o", "o", "ground.detector=yolo"], "detector must be"),
        (["run", "--data", "x", "-o", "o", "clean.outlier_share=2"], r"must lie in \[0, 1\)"),
        (["run", "--data", "x", "-o", "o", "shard_size=0"], "at least 1"),
        (["run", "--images", "x", "-o", "o"], "--images belongs to --data"),
    ],
)
def test_wrong_usage(cli: Any, arguments: list[str], message: str) -> None:
    done = cli("engine", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert re.search(message, done.err), done.err


def test_a_file_that_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(UsageError, match="expected keys and values"):
        values(str(tmp_path / "list.yaml"))
    with pytest.raises(UsageError, match="no YAML"):
        values(str(tmp_path / "broken.yaml"))


@pytest.mark.parametrize("command", ["run", "generate", "clean"])
def test_help_has_examples(cli: Any, command: str) -> None:
    done = cli("engine", command, "--help")
    assert done.code == 0
    assert f"anytag engine {command}" in done.out.split("Examples:")[1]


def read_rows(folder: Path) -> list[dict[str, Any]]:
    texts = [file.read_text() for file in sorted(folder.glob("*.jsonl"))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def test_a_run(cli: Any, tmp_path: Path, tiny_model: Path) -> None:
    data = write_data(tmp_path)
    arguments = ["--data", str(data), "--model", str(tiny_model), "-o", "out", "shard_size=2"]
    done = cli.real("engine", "run", *arguments)
    assert done.code == 0, done.err
    assert done.out.strip() == str(Path("out") / "records")
    rows = read_rows(tmp_path / "out" / "records")
    assert [row["given"]["tags"] for row in rows] == [["dog", "own thing"]] * 4
    assert all("own thing" in row["tags"] for row in rows)
    assert "tags of the model" in done.err
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts["records"]["records"] == 4


def test_pictures_that_cannot_be_read_and_other_settings(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path)
    (tmp_path / "1.png").write_bytes(b"no picture")
    plain = values(data=[data], output=tmp_path / "out", model=str(tiny_model))
    with pytest.raises(typer.Exit) as ended:
        _run({**plain, "steps": ["generate"]}, redo=False, quiet=True)
    assert ended.value.exit_code == 1
    assert capsys.readouterr() == (f"{tmp_path / 'out' / '3-merge'}\n", "")
    with pytest.raises(UsageError, match="--redo"):
        _run({**plain, "steps": ["clean"]}, redo=False, quiet=True)
