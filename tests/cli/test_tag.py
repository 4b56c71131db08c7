"""``anytag tag``: what it prints where, its exit codes, its options."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from anytag.cli.main import build_app
from anytag.data.discover import path_from_text

MakePhotos = Callable[..., Path]

OPTIONS = """
    --always --backend --batch-size --caption --caption-txt --device --dry-run --dtype --embed
    --engine --exclude --extend-tags --format --from-file --lang --model --output --overwrite
    --quiet --ray-address --ray-workers --recursive --resume --shard-size --tag --tags --threshold
    --thresholds --top-k --workers --xmp-naming
"""


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    """red.png, green.png, and gray.png, in the folder where the command line runs."""
    Image.new("RGB", (30, 20), (250, 10, 10)).save(tmp_path / "red.png")
    Image.new("RGB", (30, 20), (10, 250, 10)).save(tmp_path / "green.png")
    Image.new("RGB", (30, 20), (90, 80, 70)).save(tmp_path / "gray.png")
    return tmp_path


def test_the_options_are_these() -> None:
    """A new one needs a user who needs it; and it belongs into the documentation."""
    command: Any = typer.main.get_command(build_app())
    (options,) = [
        [max(parameter.opts, key=len) for parameter in sub.params if parameter.opts[0][0] == "-"]
        for name, sub in command.commands.items()
        if name == "tag"
    ]
    assert sorted(options) == OPTIONS.split()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["red.png"], ["red.png: red"]),
        (["green.png", "red.png"], ["green.png: green", "red.png: red"]),
        (["."], ["gray.png: ", "green.png: green", "red.png: red"]),
        (["*.png", "--exclude", "Verdant"], ["gray.png: ", "green.png: ", "red.png: red"]),
        (["red.png", "--exclude", "red,green"], ["red.png: "]),
        (["red.png", "--exclude", "names.txt"], ["red.png: "]),
        (["gray.png", "--top-k", "2"], ["gray.png: red, green"]),
        (["gray.png", "--threshold", "0.3"], ["gray.png: red, green"]),
        (["gray.png", "--threshold", "auto", "--top-k", "2"], ["gray.png: "]),
        (["red.png", "--always", "blue, green"], ["red.png: blue, green, red"]),
        (["red.png", "--lang", "de"], ["red.png: rot"]),
        (["red.png", "--thresholds", "limits.csv"], ["red.png: "]),
        (["red.png", "--tag", "rose", "--tag", "leaf"], ["red.png: rose"]),
        (["red.png", "--tags", "names.txt"], ["red.png: Red"]),
        (["red.png", "--extend-tags", "mine.txt"], ["red.png: red, rose"]),
    ],
)
def test_tags(cli: Any, colors: Path, arguments: list[str], expected: list[str]) -> None:
    (colors / "names.txt").write_text("Red\n")
    (colors / "mine.txt").write_text("rose\n")
    (colors / "limits.csv").write_text("tag,threshold\nred,0.99\n")
    done = cli("tag", *arguments, "--format", "jsonl")
    records = [json.loads(line) for line in done.out.splitlines()]
    found = [f"{one['path']}: {', '.join(tag['name'] for tag in one['tags'])}" for one in records]
    assert (found, done.code) == (expected, 0)


@pytest.mark.parametrize("stdin", [b"red.png\ngreen.png\n", b"red.png\0green.png"])
@pytest.mark.parametrize("how", [["-"], ["--from-file", "-"], ["--from-file", "list.txt"]])
def test_lists(cli: Any, colors: Path, stdin: bytes, how: list[str]) -> None:
    (colors / "list.txt").write_bytes(stdin)
    done = cli("tag", *how, stdin=stdin)
    assert [line.split("\t")[0] for line in done.out.splitlines()] == ["red.png", "green.png"]


def test_results_and_reports_do_not_mix(cli: Any, colors: Path) -> None:
    (colors / "bad.png").touch()
    done = cli("tag", ".", "gone.jpg")
    assert done.code == 1
    assert done.out.splitlines() == [
        "bad.png\terror: bad.png is empty (zero bytes)",
        "gray.png\t",
        "green.png\tgreen 0.98",
        "red.png\tred 0.98",
        "gone.jpg\terror: gone.jpg does not exist",
    ]
    assert done.err.splitlines() == [
        "3 tagged, 2 failed",
        "  bad.png is empty (zero bytes)",
        "  gone.jpg does not exist",
    ]


def test_quiet(cli: Any, colors: Path) -> None:
    (colors / "bad.png").touch()
    done = cli("tag", ".", "-q", "--exclude", "unknown")
    assert (done.err, done.code) == ("", 1)


def test_the_first_errors_are_shown_and_all_are_counted(cli: Any, tmp_path: Path) -> None:
    done = cli("tag", *(f"gone{number}.jpg" for number in range(9)))
    assert done.err.splitlines()[0] == "0 tagged, 9 failed"
    assert done.err.splitlines()[-1] == "  and 6 more"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no input"),
        (["-", "--from-file", "-"], "only once"),
        (["x.png", "--resume"], "-o OUT"),
        (["x.png", "--resume", "--overwrite", "-o", "o"], "exclude each other"),
        (["x.png", "--threshold", "2"], "[0, 1]"),
        (["x.png", "--threshold", "high"], "auto or a number"),
        (["x.png", "--threshold", "0.1", "--thresholds", "t"], "exclude each other"),
        (["x.png", "--thresholds", "gone.csv"], "gone.csv"),
        (["x.png", "--tags", "gone.txt"], "gone.txt"),
        (["x.png", "--lang", "fr"], "en, de"),
        (["x.png", "--always", "zebra"], "zebra"),
        (["x.png", "--dry-run"], "--format xmp"),
        (["x.png", "--format", "parquet"], "-o OUT"),
        (["x.png", "-o", "."], "is a folder"),
        (["x.png", "-o", "gone/o.csv"], "its folder does not exist"),
        (["--from-file", "gone.txt"], "gone.txt"),
    ],
)
def test_wrong_usage(cli: Any, colors: Path, arguments: list[str], message: str) -> None:
    """One line that says what is wrong, exit code 2, nothing on standard output."""
    done = cli("tag", *arguments)
    (line,) = [line for line in done.err.splitlines() if line.startswith("anytag:")]
    assert message in line
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("name", ["o.jsonl", "o.json", "o.csv", "o.parquet", "o.txt"])
def test_the_ending_says_the_format(cli: Any, colors: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    done = cli("tag", ".", "-o", name)
    assert (done.code, done.out, done.err) == (0, "", "3 tagged, 0 failed\n")
    content = (colors / name).read_bytes()
    if name == "o.csv":
        rows = csv.DictReader(io.StringIO(content.decode()))
        assert {row["tag"] for row in rows} == {"red", "green", ""}
    assert cli("tag", ".", "-o", name).code == 2
    assert (colors / name).read_bytes() == content
    assert cli("tag", ".", "-o", name, "--overwrite").code == 0


def test_captions(cli: Any, colors: Path) -> None:
    (colors / "gray.txt").write_text("by hand")
    Image.new("RGB", (3, 2)).save(colors / "red.webp")
    done = cli("tag", ".", "--caption-txt", "--top-k", "2")
    assert (colors / "red.txt").read_text() == "red, green\n"
    assert (colors / "gray.txt").read_text() == "by hand"
    assert done.code == 1
    assert "gray.txt exists" in done.err
    assert "red.txt is already the caption of red.png" in done.err


def test_xmp(cli: Any, colors: Path) -> None:
    planned = cli("tag", ".", "--format", "xmp", "--dry-run")
    assert "red.xmp\n  + dc:subject red\n" in planned.out
    assert "would be tagged" in planned.err
    assert not (colors / "red.xmp").exists()
    done = cli("tag", ".", "--format", "xmp", "--xmp-naming", "full", "-o", "log.jsonl")
    assert (done.code, done.out) == (0, "")
    assert "<rdf:li>red</rdf:li>" in (colors / "red.png.xmp").read_text()
    assert len((colors / "log.jsonl").read_text().splitlines()) == 3


@pytest.mark.skipif(os.sep != "/", reason="names are bytes on POSIX only")
def test_names_that_are_no_text(cli: Any, tmp_path: Path) -> None:
    names = [os.fsdecode(raw) for raw in (b"caf\xe9.png", b"\xff.png", b"g\xf6ne.png")]
    Image.new("RGB", (3, 2)).save(tmp_path / names[0])
    (tmp_path / names[1]).touch()
    for arguments in (["."], names):
        for form in ("table", "jsonl", "json", "csv", "coco"):
            assert cli("tag", *arguments, "--format", form).code == 1
    for line in cli("tag", ".", "--format", "jsonl").out.splitlines():
        record = json.loads(line)
        assert record["path"] in ("caf\\xe9.png", "\\xff.png")
        assert (tmp_path / path_from_text(record["path"])).exists()


def test_a_reader_that_goes_away(cli: Any, make_photos: MakePhotos) -> None:
    make_photos(200)
    process = cli.start("tag", "photos", "-r", "--format", "jsonl", "--batch-size", "1")
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) != 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("out", [[], ["-o", "/dev/full"]])
def test_a_full_device(cli: Any, colors: Path, out: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        process = cli.start("tag", ".", *out, stdout=full, stderr=subprocess.PIPE)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.decode().splitlines()[-1].endswith("No space left on device")


def test_a_real_network(cli: Any, tiny_model: Path, colors: Path) -> None:
    done = cli.real("tag", ".", "gone.jpg", "--format", "jsonl", "--top-k", "2", "--tag", "zebra",
                    "--tag", "forklift", "--tag", "sky", "--model", str(tiny_model))  # fmt: skip
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [len(record["tags"]) for record in records] == [2, 2, 2, 0]
    assert done.code == 1


def test_the_embedded_model(cli: Any, real_model: None, colors: Path) -> None:
    done = cli.real("tag", ".", "--format", "jsonl", "--top-k", "5")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [len(record["tags"]) for record in records] == [5, 5, 5]
    assert done.code == 0
