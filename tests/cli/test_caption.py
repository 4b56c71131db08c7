"""``anytag caption`` and ``anytag tag --caption`` with the embedded model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Sky over a lawn."""
    path = tmp_path / "photo.png"
    picture = Image.new("RGB", (90, 60), (90, 150, 220))
    picture.paste((60, 140, 60), (0, 30, 90, 60))
    picture.save(path)
    return path


def test_it_works_out_of_the_box(cli: Any, real_model: None, photo: Path) -> None:
    done = cli.real("caption", "photo.png", "lost.png")
    assert done.code == 1
    path, caption = done.out.rstrip("\n").split("\t")
    assert path == "photo.png"
    assert len(caption.split()) >= 3
    assert "lost.png" in done.err


def test_sentences_beside_tags(cli: Any, real_model: None, photo: Path) -> None:
    done = cli.real("tag", "photo.png", "--caption", "--format", "jsonl")
    assert done.code == 0
    record = json.loads(done.out)
    assert len(record["caption"].split()) >= 3
    assert record["model"].startswith("nano-")
    alone = cli.real("caption", "photo.png", "--format", "jsonl")
    assert json.loads(alone.out)["caption"] == record["caption"]
