"""Runs whose pictures go once through the frozen part of the backbone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from anytag import Tagger
from anytag.data.images import ImageSource, load_image
from anytag.errors import ConfigError, OutputError
from anytag.training import feature_fill, views
from anytag.training.config import TrainConfig
from anytag.training.config_file import changed
from anytag.training.journal import read_journal
from anytag.training.presets import finetune
from anytag.training.run import train
from anytag.training.run_report import write_report
from anytag.training.validation import Validation

COLOURS = {"tomato": (220, 30, 30), "lawn": (30, 200, 40), "sky": (40, 60, 220)}
SMALL = [
    "model.image_size=64",
    "data.num_workers=0",
    "data.cached_views=2",
    "data.val_every=4",
    "run.batch_size=8",
    "run.epochs=3",
    "run.tensorboard=false",
    "run.log_every=1",
    "run.device=cpu",
    "optim.warmup_steps=2",
]


class Quiet:
    """A listener that keeps what it is told, and may stop the run while the cache is filled."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.cached: list[tuple[int, int, int]] = []
        self._stop_after = stop_after

    def caching(self, done: int, total: int, size: int) -> None:
        self.cached.append((done, total, size))
        if self._stop_after is not None and done >= self._stop_after:
            raise KeyboardInterrupt

    def noted(self, text: str) -> None:
        pass

    def started(self, step: int, total: int) -> None:
        pass

    def stepped(self, step: int, epoch: int, losses: dict[str, float]) -> None:
        pass

    def validated(self, step: int, validation: Validation, is_best: bool) -> None:
        pass


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder for each of three tags with 16 pictures of one plain colour with noise."""
    generator = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(16):
            pixels = np.clip(generator.normal(colour, 25, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Train to a folder of a name, with changes."""

    def start(name: str, *changes: str, listener: Quiet | None = None, resume: bool = False) -> Any:
        config = configure(data, tmp_path / name, *changes)
        return train(config, listener or Quiet(), resume=resume)

    return start


def configure(data: Path, output: Path, *changes: str) -> TrainConfig:
    return changed(finetune([str(data)], str(output)), [*SMALL, *changes])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (state,) = sorted(folder.glob("state/step-*"))[-1:]
    return load_file(state / "weights.safetensors")


def losses(folder: Path) -> list[float]:
    return [line["total"] for line in read_journal(folder) if line["kind"] == "train"]


def test_own_tags_are_learned(run: Any, tmp_path: Path) -> None:
    listener = Quiet()
    quick = ["run.epochs=10", "optim.lr=2e-3", "loss.gamma_neg=0", "loss.clip=0"]
    done = run("run", "model.num_trainable_blocks=2", *quick, listener=listener)
    assert done.progress.best_map > 0.75  # a guess would give a third
    num_views = 2 * done.num_images + (48 - done.num_images)
    row_bytes = 2 * 160 * 2 * 2  # the 15th block's map
    assert listener.cached[0] == (0, num_views, num_views * row_bytes)
    assert listener.cached[-1] == (num_views, num_views, num_views * row_bytes)
    kept = list((tmp_path / "run" / "cache").glob("features-*/*.npy"))
    assert sum(np.load(file, mmap_mode="r").nbytes for file in kept) == num_views * row_bytes
    # what was measured on features is what the saved model says of the pictures
    saved = np.load(tmp_path / "run" / "validation.npz")
    tagger = Tagger.from_pretrained(done.model)
    assert sorted(tagger.labels.names) == ["lawn", "sky", "tomato"]
    report = write_report(done.folder).read_text(encoding="utf-8")
    assert report.count("data:image/jpeg") == len(saved["positions"])


def test_losses_are_those_of_the_uncached_run(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the whole picture as the only view both learn from the same, up to float16."""

    def whole(source: ImageSource, size: int, *_: object) -> npt.NDArray[np.uint8]:
        return load_image(source, size=size).pixels

    for module in (views, feature_fill):
        monkeypatch.setattr(module, "augment", whole)
    changes = ["model.dropout=0", "data.num_workers=0", "model.num_trainable_blocks=1"]
    run("kept", *changes, "data.cached_views=1")
    run("decoded", *changes, "data.cached_views=null")
    assert np.allclose(losses(tmp_path / "kept"), losses(tmp_path / "decoded"), rtol=0.03)
    one, other = (np.load(tmp_path / name / "validation.npz") for name in ("kept", "decoded"))
    assert np.array_equal(one["positions"], other["positions"])
    assert np.array_equal(one["truth"], other["truth"])
    assert np.allclose(one["scores"], other["scores"], atol=0.03)


def test_killed_while_the_cache_is_filled(run: Any, tmp_path: Path) -> None:
    changes = ["data.cached_views=9"]  # two parts
    run("whole", *changes)
    with pytest.raises(KeyboardInterrupt):
        run("cut", *changes, listener=Quiet(stop_after=280))
    left = list((tmp_path / "cut" / "cache").glob("features-*/*"))
    assert [file.name for file in left] == ["00000.npy"]
    (left[0].parent / ".anytag-0.tmp").write_bytes(b"of a process that was killed")
    listener = Quiet()
    run("cut", *changes, listener=listener)
    assert listener.cached[0][0] == 256
    names = sorted(file.name for file in left[0].parent.iterdir())
    assert names == ["00000.npy", "00001.npy"]
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")
    again = Quiet()
    run("cut", *changes, listener=again, resume=True)
    assert again.cached == []


def test_a_cache_of_other_settings_is_removed(run: Any, tmp_path: Path) -> None:
    run("run", "run.epochs=1")
    before = set((tmp_path / "run" / "cache").glob("features-*"))
    shutil.rmtree(tmp_path / "run" / "state")
    run("run", "run.epochs=1", "run.seed=1")
    after = set((tmp_path / "run" / "cache").glob("features-*"))
    assert len(before) == len(after) == 2
    assert len(before & after) == 1  # validation pictures are the same


def test_broken_pictures_are_counted(run: Any, data: Path) -> None:
    (data / "sky" / "5.png").write_bytes(b"no picture")
    cut = data / "lawn" / "9.png"
    cut.write_bytes(cut.read_bytes()[:500])
    kept = run("kept", "data.val_every=1000").progress.num_skipped
    decoded = run("decoded", "data.val_every=1000", "data.cached_views=null").progress.num_skipped
    assert kept == decoded > 0


def test_captions_are_learned(data: Path, tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    rows = [f"{file.relative_to(tmp_path)},a picture of {file.parent.name}"
            for file in sorted(data.glob("*/*.png"))]  # fmt: skip
    table.write_text("\n".join(["image,caption", *rows]) + "\n")
    config = configure(table, tmp_path / "run", "loss.captioning=true", "run.max_steps=3")
    done = train(config, Quiet())
    tagger = Tagger.from_pretrained(done.model)
    assert isinstance(tagger.caption(Image.new("RGB", (64, 64), COLOURS["tomato"])), str)


def test_a_full_disk_is_told_before(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    message = r"cache: the features of \d+ views need 0\.00 GB more, and 0\.00 GB are free there"
    with pytest.raises(OutputError, match=message):
        run("run")
    assert not list((tmp_path / "run").glob("cache/features-*/*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.cached_views=0"], "cached_views must be at least 1"),
        (["model.num_trainable_blocks=null"], "none is frozen; set model.num_trainable_blocks"),
        (["loss.distillation=true", "loss.teacher=model:nano"], "needs the pictures"),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, changes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(tmp_path, tmp_path / "run", *changes)


def test_a_swin_that_is_frozen_in_part(
    run: Any, released_models: dict[str, Path], tmp_path: Path
) -> None:
    start = [f"model.start={released_models['ram']}", "model.image_size=null", "data.labels=model"]
    with pytest.raises(ConfigError, match="Swin is frozen in part"):
        run("run", *start, "model.num_trainable_blocks=1")
    done = run("run", *start, "run.max_steps=2")
    assert (done.model / "model.safetensors").is_file()
