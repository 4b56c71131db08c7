"""``anytag bench`` with a tiny real model directory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import anytag.inference.tagger as real_tagger


@pytest.fixture
def bench(cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> Any:
    """The command with the real `Tagger`, in a folder with photos, one of them broken."""
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "anytag.inference.tagger", real_tagger)
    monkeypatch.delitem(sys.modules, "anytag.cli.bench_run", raising=False)
    (tmp_path / "photos").mkdir()
    for number in range(5):
        Image.new("RGB", (90, 60), (50 * number, 99, 9)).save(tmp_path / f"photos/{number}.png")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")

    def run(*arguments: str) -> Any:
        return cli("bench", "--model", str(tiny_model), "--device", "cpu", *arguments)

    return run


def test_figures_of_own_photos(bench: Any, tmp_path: Path) -> None:
    done = bench("--images", "photos", "--rounds", "2", "--tags-up-to", "150", "-o", "out")
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert (found["kind"], found["model"], found["tags"]) == ("bench", "tiny-1", 5)
    assert (found["backend"], found["device"], found["dtype"]) == ("torch", "cpu", "float32")
    assert found["images"] == {"number": 5, "made": False}
    names = ["read", "preprocess", "encoder", "decoder", "selection"]
    assert [one["name"] for one in found["stages"]] == names
    assert len(found["stream"]["rates"]) == 2
    assert [one["tags"] for one in found["by_number_of_tags"]] == [100, 150]
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line.strip()}
    for one in [*found["stages"], found["total"]]:
        assert rows[one["name"]][:2] == [f"{one['p50']:.2f}", f"{one['p99']:.2f}"]
    work = found["work"]
    for one in found["stages"][2:4]:  # encoder and decoder
        counted = work["gmac"][one["name"]]
        expected = counted["total"] * one["rate"] / work["ceiling"]["gmac_per_s"]
        assert counted["share_of_ceiling"] == pytest.approx(expected)
        assert rows[one["name"]][4:] == [f"{counted['total']:.2f}", f"{expected:.0%}"]
    assert rows["read"][4:] == []
    head = work["gmac"]["labels"]["total"] + work["gmac"]["decoder"]["total"]
    assert f"head: {head:.2f} GMAC" in done.out
    page = (tmp_path / "out" / "bench.html").read_text()
    assert page.count("<svg") == 2
    assert "tiny-1" in page


def test_made_pictures_and_no_files(bench: Any, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    done = bench("--num-images", "2", "--rounds", "1", "--batch-size", "2", "--workers", "1")
    assert done.code == 0, done.err
    assert "2 made pictures of 1600 x 1200" in done.out
    assert sorted(tmp_path.iterdir()) == before


def test_wrong_usage(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        (["--images", "nowhere"], "--images nowhere: is no folder"),
        (["--images", "empty"], "--images empty: no image in it"),
        (["-o", "photos/0.png"], "-o photos/0.png: is a file; expected a folder"),
    ):
        done = bench(*arguments)
        assert (done.code, done.err) == (2, f"anytag: {message}\n")
