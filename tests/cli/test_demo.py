"""``anytag demo``: the photos are in the installed package, the picture shows results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anytag.cli import demo
from anytag.errors import MissingExtraError
from anytag.inference.results import ItemError, Tag, TagResult


def test_every_photo_ships() -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    photos = demo.sample_photos()
    assert [photo.name for photo in photos if photo.exists()] == list(demo.PHOTOS)


def test_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"anytag\[demo\]"):
        demo.sample_photos()


def test_contact_sheet(tmp_path: Path) -> None:
    """Photos are where the grid says, and a longer bar is a higher score."""
    photo = tmp_path / "blue.png"
    Image.new("RGB", (50, 40), (0, 0, 255)).save(photo)
    tags = tuple(
        Tag(name=f"tag {number}", score=score, threshold=0.5, id=number)
        for number, score in enumerate((0.9, 0.3))
    )
    error = ItemError(type="empty", message="is empty")
    results = [
        TagResult(path=str(photo), sha256=None, width=50, height=40, model="x", tags=tags),
        TagResult(path="b.png", sha256=None, width=None, height=None, model="x", error=error),
    ] * 2
    sheet = demo.contact_sheet(results)
    columns, rows = demo.NUM_COLUMNS, 2
    assert sheet.width % columns == 0
    assert sheet.height % rows == 0
    cell = np.asarray(sheet.crop((0, 0, sheet.width // columns, sheet.height // rows)))
    assert (cell == (0, 0, 255)).all(axis=2).mean() > 0.5
    bars = (cell == (5, 150, 105)).all(axis=2).sum(axis=1)
    lengths = np.unique(bars[bars > 0])
    assert lengths[1] / lengths[0] == pytest.approx(3, rel=0.05)


def test_the_real_model(cli: Any, real_model: None, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    done = cli.real("demo")
    assert (done.code, done.out) == (0, "anytag-demo.png\n")
    with Image.open(tmp_path / "anytag-demo.png") as sheet:
        assert sheet.size[0] > sheet.size[1] // 2


def test_nothing_is_imported_to_find_the_photos() -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    code = "import sys; from anytag.cli.demo import sample_photos; sample_photos();"
    code += "assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
