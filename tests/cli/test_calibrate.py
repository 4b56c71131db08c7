"""``anytag calibrate`` with a tiny real model directory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import anytag.inference.tagger as real_tagger
from anytag.inference.tagger import Tagger
from anytag.labels.labelset import LabelSet


@pytest.fixture
def calibrate(cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seeing_model: Path) -> Any:
    """The command with the real `Tagger`, in a folder with photos, labels and a model."""
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "anytag.inference.tagger", real_tagger)
    monkeypatch.delitem(sys.modules, "anytag.cli.calibrate_run", raising=False)
    shutil.copytree(seeing_model, tmp_path / "model")
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    tagger = Tagger.from_pretrained(seeing_model)
    for number in range(24):
        noise = random.integers(0, 256, (4, 4, 3), np.uint8)
        path = tmp_path / "photos" / f"{number}.png"
        Image.fromarray(noise).resize((64, 64)).save(path)
    paths = sorted((tmp_path / "photos").iterdir())
    scores = np.stack([one.scores for one in tagger([str(p) for p in paths])])  # type: ignore[misc]
    middle = np.median(scores, axis=0)
    lines = []
    for path, row in zip(paths, scores, strict=True):
        # "puppy" is a synonym of the model's dog; it does not know "zyzzyva"
        tags = [n for n, i in (("cat", 0), ("puppy", 1), ("beach", 4)) if row[i] > middle[i]]
        lines.append(json.dumps({"image": path.name, "tags": [*tags, "zyzzyva"]}))
    (tmp_path / "data.jsonl").write_text("\n".join(lines))

    def run(*arguments: str) -> Any:
        return cli("calibrate", *arguments, "--data", "data.jsonl", "--images", "photos")

    return run


def test_a_copy_with_thresholds(calibrate: Any, tmp_path: Path) -> None:
    before = (tmp_path / "model" / "labels.json").read_bytes()
    done = calibrate("model", "--best-f1", "-o", "copy")
    assert done.code == 0, done.err
    assert [line.split("  ")[0] for line in done.out.splitlines()] == [
        "thresholds", "before", "after, same photos", "after, held out"
    ]  # fmt: skip
    assert "not the model's: zyzzyva" in done.err
    assert "2 tags of the model are not in the data and keep their threshold" in done.err
    old = LabelSet.load(tmp_path / "model" / "labels.json")
    new = LabelSet.load(tmp_path / "copy" / "labels.json")
    changed = [a.name for a, b in zip(old, new, strict=True) if a.threshold != b.threshold]
    assert changed == ["cat", "dog", "beach"]
    assert (tmp_path / "model" / "labels.json").read_bytes() == before
    about = json.loads((tmp_path / "copy" / "calibration" / "calibration.json").read_text())
    assert about["figures"]["after"]["F1"] > about["figures"]["before"]["F1"]
    tagger = Tagger.from_pretrained(tmp_path / "copy")
    assert tagger.labels == new
    assert calibrate("model", "--target-precision", "0.9", "-o", "copy").code == 0  # again, there


def test_in_place(calibrate: Any, tmp_path: Path) -> None:
    done = calibrate("model", "--target-precision", "0.8", "--in-place", "-q")
    assert (done.code, done.err) == (0, "")
    folder = tmp_path / "model" / "calibration"
    assert {file.name for file in folder.iterdir()} == {
        "calibration.json", "report.html", "scores", "tags.csv", "thresholds.csv"
    }  # fmt: skip
    assert json.loads((folder / "calibration.json").read_text())["aim"] == "precision 0.8"
    text = (folder / "thresholds.csv").read_text()
    assert text.startswith("tag,threshold\ncat,")


def test_weak_labels_are_said(calibrate: Any, tmp_path: Path) -> None:
    done = calibrate("model", "--best-f1", "--weak", "-o", "copy")
    assert done.code == 0, done.err
    assert "every precision is a lower bound" in done.err
    about = json.loads((tmp_path / "copy" / "calibration" / "calibration.json").read_text())
    assert about["weak_labels"] is True
    assert "lower bound" in (tmp_path / "copy" / "calibration" / "report.html").read_text()


def test_photos_that_cannot_be_read(calibrate: Any, tmp_path: Path) -> None:
    (tmp_path / "photos" / "3.png").write_bytes(b"no image")
    done = calibrate("model", "--best-f1", "-o", "copy")
    assert done.code == 1
    assert "1 photos failed and are left out; the first is 3.png" in done.err
    about = json.loads((tmp_path / "copy" / "calibration" / "calibration.json").read_text())
    assert about["photos"] == 23


WRONG = [
    (["model", "-o", "x"], "say what for"),
    (["model", "-o", "x", "--best-f1", "--target-precision", "0.9"], "say what for"),
    (["model", "-o", "x", "--target-precision", "1.5"], "expected a fraction in (0, 1]"),
    (["model", "--best-f1"], "say where to"),
    (["model", "--best-f1", "-o", "x", "--in-place"], "say where to"),
    (["nano", "--best-f1", "--in-place"], "nano is part of the package; make a copy"),
    (["org/name", "--best-f1", "--in-place"], "org/name is no folder of yours"),
    (["model", "--best-f1", "-o", "model"], "-o is the model itself"),
    (["model", "--best-f1", "-o", "data.jsonl"], "is a file; expected a folder"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_usage(calibrate: Any, arguments: list[str], message: str) -> None:
    done = calibrate(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_data_that_does_not_fit(calibrate: Any, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"image": "0.png", "tags": ["zyzzyva"]}\n')
    done = calibrate("model", "--best-f1", "-o", "x")
    assert done.code == 1
    assert "none of its 1 tags is a tag of model; it has zyzzyva" in done.err
    (tmp_path / "data.jsonl").write_text('{"image": "0.png", "tags": ["cat"]}\n')
    done = calibrate("model", "--best-f1", "-o", "x")
    assert (done.code, "fewer than two photos" in done.err) == (1, True)
    assert not (tmp_path / "x" / "config.json").exists()


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; import anytag.cli.eval, anytag.cli.calibrate;"
        "print([n for n in ('numpy', 'torch', 'PIL') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
