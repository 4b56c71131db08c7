"""``anytag engine audit``: options, exit codes, an audit and a correction with a small model."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


def write_data(folder: Path, num: int = 24) -> Path:
    """Pictures of plain colours, whose tag names the colour; two of them are wrong."""
    (folder / "photos").mkdir()
    lines = ["image,tags"]
    for number in range(num):
        name = f"{number:02}.png"
        colour = ["red", "blue"][number % 2]
        Image.new("RGB", (40, 30), colour).save(folder / "photos" / name)
        tag = colour if number > 1 else ["blue", "red"][number]
        lines.append(f"{name},{tag}")
    path = folder / "made.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.csv"], "give -o DIR"),
        (["x.csv", "-o", "out"], "x.csv does not exist"),
        (["x.csv", "-o", "out", "--link"], "--link belongs to --apply"),
        (["x.csv", "-o", "out", "--least", "0"], "least confidence"),
        (["x.csv", "-o", "out", "--detector", "yolo"], "or none"),
        (["x.csv", "-o", "out", "--limit", "0"], "--limit"),
        (["x.csv", "-o", "out", "--apply", "y.csv"], "x.csv does not exist"),
        (["x.csv", "-o", "out", "--kind", "mine"], "no kind of data"),
    ],
)
def test_wrong_usage(cli: Any, arguments: list[str], message: str) -> None:
    done = cli("engine", "audit", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert message in " ".join(done.err.split()), done.err


def test_help_has_examples_and_is_listed(cli: Any) -> None:
    done = cli("engine", "audit", "--help")
    assert done.code == 0
    assert "anytag engine audit coco" in done.out.split("Examples:")[1]
    assert "audit" in cli("engine", "--help").out


def test_an_audit_and_its_corrections(cli: Any, tmp_path: Path, tiny_model: Path) -> None:
    data = write_data(tmp_path)
    before = data.read_bytes()
    (tmp_path / "photos" / "05.png").write_bytes(b"no picture")
    arguments = [str(data), "--images", str(tmp_path / "photos")]
    done = cli.real(
        "engine", "audit", *arguments, "--model", str(tiny_model), "--least", "0.0001", "-o", "out"
    )
    assert done.code == 1, done.err  # one picture cannot be read
    assert done.out.strip() == str(Path("out") / "audit.csv")
    assert "05.png" in done.err
    assert "pictures that cannot be read, left out: 1" in done.err
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["counts"]["pictures"] == 24
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "Audit of made.csv" in page
    table = (tmp_path / "out" / "audit.csv").read_text()
    assert next(csv.reader(io.StringIO(table)))[:3] == ["image", "tag", "kind"]
    rows = [
        [str(tmp_path / "photos" / "00.png"), "blue", "wrong", "yes"],
        [str(tmp_path / "photos" / "00.png"), "red", "missing", "yes"],
        [str(tmp_path / "photos" / "02.png"), "red", "wrong", "no"],
    ]
    (tmp_path / "decisions.csv").write_text(
        "image,tag,kind,decision\n" + "".join(",".join(row) + "\n" for row in rows)
    )
    done = cli("engine", "audit", *arguments, "--apply", "decisions.csv", "-o", "corrected")
    assert (done.code, done.out.strip()) == (0, "corrected")
    assert "1 labels added, 1 removed" in done.err
    after = (tmp_path / "corrected" / "made.csv").read_bytes()
    assert after == before.replace(b"00.png,blue", b"00.png,red")
    assert data.read_bytes() == before
    with (tmp_path / "decisions.csv").open("a") as file:
        file.write("elsewhere.png,red,wrong,yes\n")
    done = cli("engine", "audit", *arguments, "--apply", "decisions.csv", "-o", "again")
    assert (done.code, done.out) == (2, "")
    assert "decisions.csv, line 5: the set has no picture elsewhere.png" in done.err
