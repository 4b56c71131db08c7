"""``anytag parse`` in shards: the bytes of one process."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.cli import parse_ray, parse_run, parse_shards
from anytag.cli.parse_batches import ParserSpec
from anytag.data import captions
from anytag.data.caption_blocks import captions_of
from anytag.data.captions import line_ranges, read_blocks, read_captions, read_range
from anytag.distributed.pool import here
from anytag.errors import UsageError

from .conftest import Flaky

LINES = ["two dogs on a beach", "", "a caf\u00e9 at night", "no cat here", "x" * 300] * 30


def write_inputs(folder: Path) -> list[str]:
    """One file of each kind, and one that is not there."""
    folder.joinpath("a.txt").write_text("\n".join(LINES), encoding="utf-8")
    rows = [json.dumps({"image": f"{n}.jpg", "caption": one}) for n, one in enumerate(LINES)]
    folder.joinpath("b.jsonl").write_text("\r\n".join([*rows, "{broken"]), encoding="utf-8")
    folder.joinpath("c.tsv").write_text("image\tcaption\n1.jpg\ta red car\n2.jpg\t\n")
    folder.joinpath("wide.txt").write_text("a dog\na tree\n", encoding="utf-16")
    with tarfile.open(folder / "d.tar", "w") as tar:
        member = tarfile.TarInfo("1.txt")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"a cat"))
    names = ("a.txt", "b.jsonl", "c.tsv", "wide.txt", "d.tar", "gone.txt")
    return [str(folder / name) for name in names]


def run(inputs: list[str], out: Path, form: str, **changes: Any) -> int:
    spec = ParserSpec(form=form)
    wanted = {"column": None, "mode": "new", "quiet": True, "pool": here} | changes
    return parse_ray.run(inputs, spec, out=out, **wanted)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "_LOOK", 700)
    plan = partial(parse_shards.plan_parsing, shard_bytes=1000)
    monkeypatch.setattr(parse_ray, "plan_parsing", plan)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_bytes_of_one_process(
    tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs = write_inputs(tmp_path)
    assert parse_run.run(inputs, ParserSpec(form=form), out=tmp_path / "one", quiet=True) == 1
    told = capfd.readouterr().err
    assert run(inputs, tmp_path / "ray", form) == 1
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "one").read_bytes()
    assert capfd.readouterr().err == told
    one, ray = (json.loads((tmp_path / f"{name}.run.json").read_text()) for name in ("one", "ray"))
    assert ray["progress"] == one["progress"]


def test_a_killed_driver_is_followed_by_another(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    parse_run.run(inputs, ParserSpec(), out=tmp_path / "one", quiet=True)
    with pytest.raises(SystemExit):
        run(inputs, tmp_path / "ray", "jsonl", pool=Flaky(4))
    with pytest.raises(UsageError, match="form"):
        run(inputs, tmp_path / "ray", "csv", mode="resume")
    run(inputs, tmp_path / "ray", "jsonl", mode="resume")
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "one").read_bytes()


def test_an_unknown_format_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="captions are read from"):
        run([str(tmp_path / "a.doc")], tmp_path / "out", "jsonl")


@settings(max_examples=60)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=40).map("\n".join),
    st.integers(1, 60),
)
def test_ranges_cover_the_lines_once(text: str, size: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.txt"
        path.write_bytes(text.encode())
        ranges = list(line_ranges(path, size))
        found = [
            caption
            for one in ranges
            for block in (read_blocks(path) if one is None else read_range(path, one))
            for caption in captions_of(block)
        ]
        assert found == list(read_captions(path))
        whole = [one for one in ranges if one is not None]
        assert sum(one.size for one in whole) == (path.stat().st_size if whole else 0)
