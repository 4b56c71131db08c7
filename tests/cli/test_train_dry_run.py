"""``anytag train --dry-run``: says what a run would cost, and leaves nothing behind."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """20 pictures with two tags."""
    path = tmp_path / "my.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "tags"])
        for number in range(20):
            Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
            table.writerow([f"{number}.png", "round" if number % 2 else "square"])
    return path


def anytag(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anytag", "train", *arguments, "--dry-run"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env=_offline(),
    )  # fmt: skip


def _offline() -> dict[str, str]:
    import os

    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def test_estimate_of_a_fine_tuning(data: Path) -> None:
    before = set(data.parent.iterdir())
    changes = ("model.image_size=64", "run.batch_size=4", "run.epochs=3")
    done = anytag(
        data.parent, "--preset", "finetune", "--data", "my.csv", "-o", "runs/mine",
        "--cluster", "2x0.3", *changes,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "nano at 64 pixels, 2 tags" in done.stdout
    assert "Time on 2 x 0.3 TFLOP/s" in done.stdout
    assert "steps in all" in done.stdout
    assert "Assumed" not in done.stdout
    assert set(data.parent.iterdir()) == before


def test_unknown_devices_are_wrong_usage(data: Path) -> None:
    done = anytag(
        data.parent, "--preset", "finetune", "--data", "my.csv", "-o", "runs/mine",
        "--cluster", "8xB9000",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert "no device 'b9000'; known are A100" in done.stderr


def test_a_mistyped_key_is_wrong_usage(data: Path) -> None:
    done = anytag(
        data.parent, "--preset", "finetune", "--data", "my.csv", "-o", "runs/mine", "run.epoch=1"
    )
    assert done.returncode == 2
    assert "unknown key 'epoch'; did you mean 'epochs'?" in done.stderr


@pytest.mark.slow
def test_ram_14m_needs_neither_data_nor_weights(tmp_path: Path) -> None:
    done = anytag(tmp_path, "--preset", "ram_14m", "--data", "/no/data", "-o", "runs/ram")
    assert done.returncode == 0, done.stderr
    assert "a new ram_swin_large at 224 pixels, 4,585 tags" in done.stdout
    assert "8 x A100, 312 TFLOP/s each in bfloat16" in done.stdout
    assert "14,048,937 training pictures" in done.stdout
    assert "4,585 tags, as in RAM's list" in done.stdout
    assert list(tmp_path.iterdir()) == []
