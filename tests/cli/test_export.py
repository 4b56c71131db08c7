"""``anytag export``: a directory, a report, and what is refused before anything is computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anytag import Tagger
from anytag.checkpoints.find import read_card
from anytag.cli.export_run import report
from anytag.errors import ModelError
from anytag.inference.export_card import CARD, ExportCard, Parity

# OpenVINO and ONNX Runtime beside torch in one long process: kept out of the default run
pytestmark = pytest.mark.slow

OPTIONS = """
    --data --images --int8 --max-changed --num-photos --output --overwrite --photos --quiet --to
"""


def test_options_are_these() -> None:
    import typer

    from anytag.cli.main import build_app

    command = typer.main.get_command(build_app()).commands["export"]  # type: ignore[attr-defined]
    found = sorted(name for one in command.params for name in one.opts if name.startswith("--"))
    assert found == OPTIONS.split()


def write_photos(folder: Path, count: int) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((90, 70)).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")


def test_export_compare_and_tag(cli: Any, seeing_model: Path, tmp_path: Path) -> None:
    shutil.copytree(seeing_model, tmp_path / "tiny")
    write_photos(tmp_path / "photos", 6)
    rows = [
        {"image": f"{number}.png", "tags": ["cat"] if number % 2 else ["dog", "red panda"]}
        for number in range(6)
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    labelled = ["--data", "labels.jsonl", "--images", "photos"]
    done = cli("export", "tiny", "--to", "onnx", "--photos", "photos", *labelled, "-o", "out")
    assert done.code == 0, done.err
    assert done.out == "out\n"
    lines = done.err.splitlines()
    assert lines[0].startswith("not used: photos/broken.jpg")
    assert lines[1].startswith("tiny-1 for onnx: 5 tags, 64 x 64 pixels, ")
    assert lines[2].startswith("compared with torch on 6 photos: logits differ by up to ")
    card = read_card(tmp_path / "out" / CARD, ExportCard)
    assert card.parity is not None
    assert lines[3] == f"0 of {card.parity.num_given} tags changed, on 0 of 6 photos"
    assert card.parity.map_torch == pytest.approx(card.parity.map_exported, abs=1e-6)
    assert 0 < card.parity.map_torch <= 1
    original = Tagger.from_pretrained("tiny", device="cpu")
    exported = Tagger.from_pretrained("out")
    for number in range(6):
        photo = tmp_path / "photos" / f"{number}.png"
        assert exported(photo).scores == pytest.approx(original(photo).scores, abs=1e-5)
    assert cli("export", "tiny", "--to", "onnx", "-o", "out").code == 1
    assert cli("export", "out", "--to", "openvino", "-o", "again").code == 1  # torch is needed


def test_captions_are_not_exported(cli: Any, real_model: None, tmp_path: Path) -> None:
    done = cli("export", "nano", "--to", "onnx", "-o", "out")
    assert done.code == 0, done.err
    assert "writes captions, its export does not" in done.err
    exported = Tagger.from_pretrained("out")
    assert not exported.writes_captions
    with pytest.raises(ModelError, match="use the model that it was exported from"):
        exported.caption(Image.new("RGB", (90, 70)))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "onnx", "--int8", "-o", "out"], 2, "--int8 is calibrated on photos"),
        (["--to", "onnx", "--photos", "none", "-o", "out"], 2, "--photos none: is no folder"),
        (["--to", "onnx", "--images", ".", "-o", "out"], 2, "--images is the folder of the photos"),
        (["--to", "tensorrt", "-o", "out"], 2, "tensorrt"),
        (["--to", "onnx", "-o", "mine"], 1, "mine: exists and is no earlier export"),
        (["--to", "onnx", "--photos", "mine", "-o", "out"], 2, "no photo that can be read"),
        (["--to", "onnx", "--data", "none.csv", "-o", "out"], 1, "none.csv does not exist"),
    ],
)
def test_refusals(
    arguments: list[str], code: int, message: str, cli: Any, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("not to be lost")
    done = cli("export", str(tiny_model), *arguments)
    assert done.code == code
    assert message in " ".join(done.err.split())
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "mine" / "diary.txt").exists()


def test_torch_is_needed_here(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anytag.inference.backends.torch_installed", lambda: False)
    done = cli("export", "nano", "--to", "onnx", "-o", "out")
    assert done.code == 2
    assert "exporting needs torch, which is not installed" in done.err


def test_report_has_the_change_of_map(tmp_path: Path) -> None:
    parity = Parity(
        images="photos",
        num_images=1000,
        num_tags=4585,
        max_logit_difference=0.51234,
        max_score_difference=0.04321,
        num_given=12345,
        num_tags_changed=1234,
        num_images_changed=567,
        map_torch=0.8061,
        map_exported=0.8049,
    )
    card = ExportCard(
        format=1,
        name="ram",
        version="ram-1+int8",
        backend="openvino",
        family="ram",
        int8=True,
        image_size=384,
        text_width=512,
        token_width=512,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        open_threshold=0.5,
        text_encoder=None,
        exact_pixels=True,
        parity=parity,
    )
    (tmp_path / "model.bin").write_bytes(bytes(1_250_000))
    assert report(card, tmp_path) == [
        "ram-1+int8 for openvino: 4,585 tags, 384 x 384 pixels, 1.2 MB",
        "compared with torch on 1,000 photos: logits differ by up to 0.51, probabilities by 0.043",
        "1,234 of 12,345 tags changed, on 567 of 1,000 photos",
        "mAP 80.61 in torch, 80.49 exported (-0.12)",
    ]
