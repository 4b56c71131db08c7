"""``anytag untag``: what it prints where, and its exit codes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from anytag.cli.untag import untag
from anytag.inference.results import Tag
from anytag.inference.xmp import write_tags

TAGS = [Tag(name="dog", score=0.9, threshold=0.5, id=1, kind="object", parents=("animal",))]


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(untag)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """a.jpg and sub/b.jpg with sidecars, c.jpg with embedded tags, d.jpg without any."""
    for name in ("a.jpg", "sub/b.jpg", "c.jpg", "d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
        if name != "d.jpg":
            write_tags(path, TAGS, model="nano", embed=name == "c.jpg")
    return tmp_path


def test_folder(photos: Path) -> None:
    result = run(photos)
    assert result.exit_code == 0
    assert result.stdout == (
        f"{photos}/a.xmp: removed dog, animal; file deleted\n{photos}/c.jpg: removed dog, animal\n"
    )
    assert result.stderr == "2 files changed, 0 failed\n"
    assert not (photos / "a.xmp").exists()
    assert (photos / "sub/b.xmp").exists()
    assert run(photos, "-r").stdout == f"{photos}/sub/b.xmp: removed dog, animal; file deleted\n"
    assert run(photos, "-r").stdout == ""


def test_dry_run_and_sidecars_only(photos: Path) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    result = run(photos, "-r", "--dry-run", "--no-embed")
    assert result.stdout.splitlines()[0] == (
        f"{photos}/a.xmp: would remove dog, animal and delete the file, which holds nothing else"
    )
    assert "c.jpg" not in result.stdout
    assert result.stderr == "2 files would be changed, 0 failed\n"
    assert before == {path: path.read_bytes() for path in photos.rglob("*.*")}


def test_failures_are_reported_and_do_not_stop_the_rest(photos: Path) -> None:
    (photos / "a.xmp").write_text("broken")
    result = run(photos / "missing.jpg", photos, "--recursive")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    first, second, last = result.stderr.splitlines()
    assert first.startswith("anytag: ")
    assert f"{photos}/missing.jpg" in first
    assert second.startswith(f"anytag: {photos}/a.xmp: is not valid XML")
    assert last == "2 files changed, 2 failed"


def test_a_sidecar_whose_image_is_gone(photos: Path) -> None:
    (photos / "a.jpg").unlink()
    assert run(photos / "a.xmp").stdout.endswith("file deleted\n")


def test_wrong_usage() -> None:
    assert run().exit_code == 2
    assert run("--format", "x").exit_code == 2


def test_name_that_is_no_text(photos: Path) -> None:
    try:
        path = (photos / "d.jpg").rename(photos / os.fsdecode(b"\xe9.jpg"))
    except OSError:
        pytest.skip("this file system only takes UTF-8 names")
    write_tags(path, TAGS, model="nano")
    assert "removed dog" in run(photos).stdout
