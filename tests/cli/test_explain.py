"""``anytag explain`` with a tiny real model directory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import anytag.inference.tagger as real_tagger
from anytag.cli.explain_run import FileNames
from anytag.data.images import open_image
from anytag.inference.explain import Explainer
from anytag.inference.tagger import Tagger


@pytest.fixture
def explain(cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> Any:
    """The command with the real `Tagger`, in a folder with two photos."""
    monkeypatch.setitem(sys.modules, "anytag.inference.tagger", real_tagger)
    monkeypatch.delitem(sys.modules, "anytag.cli.explain_run", raising=False)
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        noise = Image.fromarray(random.integers(0, 256, (4, 6, 3), np.uint8))
        noise.resize((120, 80)).save(tmp_path / "photos" / f"{name}.png")

    def run(*arguments: str) -> Any:
        return cli("explain", *arguments, "--model", str(tiny_model))

    return run


def test_boxes_and_pictures(explain: Any, tmp_path: Path, tiny_model: Path) -> None:
    done = explain("photos/a.png", "--tag", "dog", "--tag", "red panda", "-o", "out/explained")
    assert (done.code, done.err) == (0, "")
    tagger = Tagger.from_pretrained(tiny_model)
    expected = Explainer(tagger, ["dog", "red panda"])(tmp_path / "photos" / "a.png")
    assert done.out.splitlines() == [
        f"photos/a.png\t{one.tag}\t{one.score:.2f}\t{','.join(map(str, one.pixel_box))}"
        for one in expected
    ]
    files = sorted((tmp_path / "out" / "explained").iterdir())
    assert [file.name for file in files] == ["a.dog.png", "a.red-panda.png"]
    assert all(open_image(file).size == (120, 80) for file in files)


def test_records_of_the_best_tags(explain: Any, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    done = explain("photos", "--top-k", "2", "--format", "jsonl", "--method", "gradient")
    assert done.code == 1
    assert "broken.jpg" in done.err
    records = [json.loads(line) for line in done.out.splitlines()]
    tagger = Tagger.from_pretrained(tiny_model)
    wanted = [
        (f"photos/{name}.png", tag.name)
        for name in ("a", "b")
        for tag in tagger(tmp_path / "photos" / f"{name}.png").tags[:2]
    ]
    assert [(one["path"], one["tag"]) for one in records] == wanted
    for one in records:
        assert (one["width"], one["height"], one["method"]) == (120, 80, "gradient")
        left, top, right, bottom = one["box"]
        assert 0 <= left < right <= 120
        assert 0 <= top < bottom <= 80
        assert one["file"] is None


def test_a_folder_that_cannot_be_made(explain: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = explain("photos/a.png", "--tag", "dog", "-o", "file")
    assert done.code == 1
    assert done.err.startswith("anytag: -o file: cannot be made")


def test_file_names_are_given_once() -> None:
    names = FileNames()
    assert [
        names.give("x/photo.jpg", "dog"),
        names.give("y/Photo.png", "dog"),
        names.give("photo.jpg", "dog.2"),
        names.give("photo.jpg", "a/b: c"),
    ] == ["photo.dog.png", "Photo.dog.2.png", "photo.dog.2.2.png", "photo.a-b-c.png"]
