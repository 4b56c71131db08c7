"""Whole runs: learning, exact resume after a kill, several processes, broken data, divergence."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from anytag import Tagger
from anytag.checkpoints.directory import find_model
from anytag.errors import ModelError, TrainingError, UsageError
from anytag.training.config import SourceConfig, TrainConfig
from anytag.training.config_file import changed
from anytag.training.journal import read_journal
from anytag.training.presets import finetune
from anytag.training.run import train
from anytag.training.session import open_pictures
from anytag.training.validation import Validation

COLOURS = {"tomato": (220, 30, 30), "lawn": (30, 200, 40), "sky": (40, 60, 220)}
#: quick, and the same on one process and on several
SMALL = [
    "model.image_size=64",
    "model.dropout=0",
    "data.num_workers=0",
    "data.cached_views=null",
    "data.val_every=4",
    "run.batch_size=8",
    "run.epochs=2",
    "run.tensorboard=false",
    "run.log_every=1",
    "run.device=cpu",
    "optim.warmup_steps=2",
]


class Quiet:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.views: list[tuple[int, int]] = []
        self.maps: list[float | None] = []
        self.notes: list[str] = []

    def noted(self, text: str) -> None:
        self.notes.append(text)

    def caching(self, done: int, total: int, size: int) -> None:
        self.views.append((done, total))

    def started(self, step: int, total: int) -> None:
        self.first, self.total = step, total

    def stepped(self, step: int, epoch: int, losses: dict[str, float]) -> None:
        self.steps.append(step)

    def validated(self, step: int, validation: Validation, is_best: bool) -> None:
        self.maps.append(validation.mean)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """48 pictures of one plain colour with noise, and a CSV of their tags and captions."""
    generator = np.random.default_rng(0)
    rows = [("image", "tags", "caption")]
    for number in range(48):
        name, colour = list(COLOURS.items())[number % 3]
        pixels = np.clip(generator.normal(colour, 25, (40, 48, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append((f"{number}.png", name, f"a picture full of {name} {number % 5}"))
    path = tmp_path / "colours.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def config(data: Path, output: Path, *changes: str) -> TrainConfig:
    return changed(finetune([str(data)], str(output)), [*SMALL, *changes])


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of the last state, and their moving average."""
    (state,) = sorted(folder.glob("state/step-*"))[-1:]
    weights = load_file(state / "weights.safetensors")
    if (state / "average.safetensors").is_file():
        average = load_file(state / "average.safetensors")
        weights |= {f"average.{key}": value for key, value in average.items()}
    return weights


def losses(folder: Path) -> list[float]:
    return [line["total"] for line in read_journal(folder) if line["kind"] == "train"]


def test_own_tags_are_learned(data: Path, tmp_path: Path) -> None:
    changes = ["run.epochs=20", "optim.lr=1e-3", "loss.gamma_neg=0", "loss.clip=0"]
    done = train(config(data, tmp_path / "run", *changes), Quiet())
    assert done.progress.best_map is not None
    assert done.progress.best_map > 0.75  # a guess would give a third
    tagger = Tagger.from_pretrained(done.model)
    assert sorted(tagger.labels.names) == ["lawn", "sky", "tomato"]
    # the saved model is the one that was measured
    saved = np.load(tmp_path / "run" / "validation.npz")
    _, pictures = open_pictures(config(data, tmp_path / "run", *changes), tmp_path / "run")
    assert pictures is not None
    names = [pictures.record(number)[1].image for number in saved["positions"]]
    found = np.stack([result.scores for result in tagger(names)])
    assert np.allclose(found, saved["scores"], atol=2e-3)
    assert tagger.with_tags(["a forklift"]).score(np.zeros((1, 64, 64, 3), np.uint8)).shape == (
        1,
        1,
    )


@pytest.mark.slow
def test_a_tagger_teaches_pictures_that_nobody_has_tagged(data: Path, tmp_path: Path) -> None:
    """Its scores are all that is known, and two pictures have none."""
    photos = sorted(tmp_path.glob("*.png"), key=lambda path: int(path.stem))
    truth = np.eye(3, dtype=np.float32)[np.arange(48) % 3]
    np.savez(
        tmp_path / "scores.npz",
        scores=0.05 + 0.9 * truth[2:],
        images=np.array([path.name for path in photos[2:]]),
        classes=np.array(list(COLOURS)),
    )
    (tmp_path / "tags.txt").write_text("\n".join(COLOURS))
    changes = ["run.epochs=20", "optim.lr=1e-3", "loss.gamma_neg=1", "loss.gamma_pos=1"]
    changes += ["loss.clip=0", "loss.num_asked_tags=2", "loss.asked_by=picture"]
    plain = config(data, tmp_path / "run", *changes, f"data.labels={tmp_path / 'tags.txt'}")
    source = SourceConfig(path=str(tmp_path), kind="folder", scores=str(tmp_path / "scores.npz"))
    told = Quiet()
    done = train(replace(plain, data=replace(plain.data, train=(source,))), told)
    assert told.notes[:1] == [
        f"{tmp_path / 'scores.npz'}: no scores for 2 of 48 pictures; they are learned from their "
        "own tags alone"
    ]
    assert done.progress.best_map is not None
    assert done.progress.best_map > 0.75  # a guess would give a third
    tagger = Tagger.from_pretrained(done.model)
    found = np.stack([result.scores for result in tagger(photos) if result.scores is not None])
    assert (found.argmax(1) == truth.argmax(1)).mean() > 0.6


def test_a_run_is_not_begun_twice(data: Path, tmp_path: Path) -> None:
    train(config(data, tmp_path / "run", "run.max_steps=2"), Quiet())
    with pytest.raises(UsageError, match="--resume"):
        train(config(data, tmp_path / "run", "run.max_steps=2"), Quiet())
    with pytest.raises(TrainingError, match="another configuration"):
        train(config(data, tmp_path / "run", "run.max_steps=2", "optim.lr=1"), Quiet(), resume=True)


@pytest.mark.parametrize(
    "choice",
    [
        "optim.ema_decay=null",
        "optim.ema_decay=0.9",
        "data.cached_views=2",
    ],
)
def test_resumed_equals_uninterrupted(data: Path, tmp_path: Path, choice: str) -> None:
    changes = ["run.epochs=3", "run.save_every=3", choice, "model.dropout=0.1"]
    train(config(data, tmp_path / "whole", *changes), Quiet())

    class Stop(Quiet):
        def stepped(self, step: int, epoch: int, losses: dict[str, float]) -> None:
            if step == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(data, tmp_path / "cut", *changes), Stop())
    told = Quiet()
    train(config(data, tmp_path / "cut", *changes), told, resume=True)
    assert told.first == 3  # the last state before the interruption
    whole, cut = final_weights(tmp_path / "whole"), final_weights(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")


def command(*arguments: str, processes: int = 1) -> list[str]:
    start = [sys.executable]
    if processes > 1:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        start += ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        start += [f"--master_port={port}"]
    return [*start, "-m", "anytag", "train", *arguments]


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def options(data: Path, output: Path, *changes: str) -> list[str]:
    return ["--preset", "finetune", "--data", str(data), "-o", str(output), *SMALL, *changes]


def test_killed_and_resumed_equals_uninterrupted(
    data: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    changes = ["run.epochs=4", "run.save_every=2", "model.dropout=0.1"]
    whole = options(data, tmp_path / "whole", *changes)
    subprocess.run(command(*whole), env=environment, check=True, capture_output=True)
    cut = tmp_path / "cut"
    process = subprocess.Popen(
        command(*options(data, cut, *changes)),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(cut.glob("state/step-*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    resumed = command("--resume", "-o", str(cut))
    subprocess.run(resumed, env=environment, check=True, capture_output=True)
    one, other = final_weights(tmp_path / "whole"), final_weights(cut)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert losses(tmp_path / "whole") == losses(cut)
    report = (cut / "report.html").read_text(encoding="utf-8")
    assert "tomato" in report


@pytest.mark.parametrize(
    ("shard", "views"),
    [
        ("none", "null"),
        pytest.param("none", "8", marks=pytest.mark.slow),
        pytest.param("full", "8", marks=pytest.mark.slow),
    ],
)
def test_two_processes_equal_one(
    data: Path, tmp_path: Path, environment: dict[str, str], shard: str, views: str
) -> None:
    # Captions too: their token means and the ratio of losses are taken over both processes. Small
    # steps, as AdamW makes a whole step of a rounding error where a gradient is near zero.
    changes = ["loss.captioning=true", "data.labels=model", "run.max_steps=4", "optim.lr=1e-5"]
    changes += [f"data.cached_views={views}", "model.num_trainable_blocks=2"]
    single = options(data, tmp_path / "one", *changes)
    subprocess.run(command(*single), env=environment, check=True, capture_output=True)
    double = options(data, tmp_path / "two", *changes, f"run.shard={shard}")
    done = subprocess.run(command(*double, processes=2), env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 4
    assert np.allclose(one, two, rtol=1e-5)
    first, second = final_weights(tmp_path / "one"), final_weights(tmp_path / "two")
    assert all(torch.allclose(first[k], second[k], atol=1e-5) for k in first)


def test_broken_pictures_are_counted(data: Path, tmp_path: Path) -> None:
    (tmp_path / "5.png").write_bytes(b"no picture")
    (tmp_path / "9.png").unlink()
    done = train(config(data, tmp_path / "run", "data.val_every=1000"), Quiet())
    assert done.progress.num_skipped > 0
    assert (done.model / "model.safetensors").is_file()


def test_divergence_stops_with_a_diagnosis(data: Path, tmp_path: Path) -> None:
    changes = ["optim.lr=1e30", "optim.clip_norm=null", "run.save_every=1"]
    with pytest.raises(TrainingError, match=r"step \d+: .*total.*is nan.*optim\.lr") as caught:
        train(config(data, tmp_path / "run", *changes, "optim.ema_decay=null"), Quiet())
    assert ".png" in str(caught.value)
    assert "state/step-" in str(caught.value)


@pytest.mark.parametrize("start", ["nano", "silent_nano"])
def test_captions_are_learned_with_tags(
    start: str, data: Path, tmp_path: Path, silent_nano: Path
) -> None:
    """By the start's captioner, or by a new one with word pieces of its own."""
    model = find_model("nano") if start == "nano" else silent_nano
    changes = [f"model.start={model}", "loss.captioning=true", "run.epochs=1"]
    done = train(config(data, tmp_path / "run", *changes), Quiet())
    line: dict[str, Any] = next(x for x in read_journal(tmp_path / "run") if x["kind"] == "train")
    # tagging is rescaled to the captions' loss, so that the sum is twice that
    assert line["total"] == pytest.approx(2 * line["captioning"], rel=1e-5)
    tagger = Tagger.from_pretrained(done.model)
    assert isinstance(tagger.caption(Image.new("RGB", (64, 64), COLOURS["tomato"])), str)
    words = (done.model / "vocab.txt").read_bytes()
    assert (words == (find_model("nano") / "vocab.txt").read_bytes()) == (start == "nano")


def test_a_captioner_that_is_not_trained_is_left_out(data: Path, tmp_path: Path) -> None:
    """It would read image tokens that it has never seen."""
    told = Quiet()
    done = train(config(data, tmp_path / "run", "run.max_steps=2"), told)
    assert any("the captioner of nano is left out" in note for note in told.notes)
    tagger = Tagger.from_pretrained(done.model)
    assert not tagger.writes_captions
    assert not (done.model / "vocab.txt").exists()
    assert "It writes no captions." in (done.model / "README.md").read_text(encoding="utf-8")
    names = load_file(done.model / "model.safetensors")
    assert [name for name in names if name.startswith("captioner")] == []
    with pytest.raises(ModelError, match=r"run writes no captions.*loss\.captioning"):
        tagger.caption(Image.new("RGB", (64, 64)))


def test_metrics_are_json_lines(data: Path, tmp_path: Path) -> None:
    train(config(data, tmp_path / "run", "run.max_steps=3"), Quiet())
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 3]
