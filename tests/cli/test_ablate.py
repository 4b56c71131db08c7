"""``anytag ablate`` and ``anytag engine rounds``: options, exit codes, killed processes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn")
pytest.importorskip("accelerate")
pytest.importorskip("matplotlib")
pytest.importorskip("yaml")
CAPTIONS = ["a puppy on the beach", "no dog", "two cats", "a cat and a dog"]
TAGS = [["cat"], ["dog", "cat"], ["beach"]]
DATA = ["--train", "t.jsonl", "--heldout", "h.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ablate", "table6", *DATA, "-o", "o"], "expected table4 or table5"),
        (["ablate", "table5", "--train", "t.jsonl", "-o", "o"], "give --train DATASET, --heldout"),
        (["ablate", "table4", *DATA, "-o", "o", "--finetune", "f"], "--finetune belongs to table5"),
        (["ablate", "table5", *DATA, "-o", "o", "run.epoch=2"], "did you mean 'epochs'"),
        (["ablate", "table5", *DATA, "-o", "o", "cases=[magic]"], "'magic' is none of parsing"),
        (["ablate", "table5", *DATA, "-o", "o", "--heldout", "x/h.csv"], "two data sets have the"),
        (["ablate", "table5", *DATA, "-o", "o"], "h.jsonl does not exist"),
        (["engine", "rounds", "--data", "t.jsonl"], "give -o DIR"),
        (
            ["engine", "rounds", "--data", "t", "-o", "o", "--train", "no"],
            "no preset 'no': finetune",
        ),
        (
            ["engine", "rounds", "--data", "t", "-o", "o", "train.run.epoch=1"],
            "did you mean 'epochs",
        ),
        (["engine", "rounds", "--data", "t", "-o", "o", "--train", "no.yaml"], "cannot be read"),
    ],
)
def test_wrong_usage(cli: Any, arguments: list[str], message: str) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert re.search(message, done.err), done.err


def write_data(path: Path, num: int, *, captions: bool) -> Path:
    draw = random.Random(num)
    rows = []
    for number in range(num):
        image = path.with_name(f"{path.stem}{number:03}.png")
        blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(np.kron(blocks, np.ones((10, 10, 1), np.uint8))).save(image)
        said = {"captions": draw.sample(CAPTIONS, 2)} if captions else {"tags": TAGS[number % 3]}
        rows.append({"image": str(image), **said})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Command:
    """Real processes of one command."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self._folder, self._arguments = folder, arguments

    def start(self, output: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "anytag", *self._arguments, "-o", output]
        return subprocess.Popen(
            command, cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip

    def finish(self, output: str) -> str:
        out, err = (process := self.start(output)).communicate(timeout=1800)
        assert process.returncode == 0, err.decode()
        return out.decode()

    def kill(self, output: str, signs: str) -> None:
        """Kill when there are more files like these than before, a little later."""
        folder = self._folder / output
        before = len(list(folder.glob(signs)))
        process = self.start(output)
        while process.poll() is None and len(list(folder.glob(signs))) <= before:
            time.sleep(0.01)
        time.sleep(random.random() / 5)  # on a fast machine little more is left to do
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_killed_ablation_comes_to_the_same(tmp_path: Path, seeing_model: Path) -> None:
    write_data(tmp_path / "photos.jsonl", 26, captions=True)
    write_data(tmp_path / "labelled.jsonl", 6, captions=False)
    command = Command(
        tmp_path,
        [
            "ablate", "table5", "--train", "photos.jsonl", "--heldout", "labelled.jsonl",
            "--seeds", "1", "--epochs", "1", "cases=[parsing, generation]",
            "model.network=null", f"model.start={seeing_model}", "model.image_size=null",
            "run.batch_size=8", "run.device=cpu", "run.save_every=1", "generate.threshold=0.3",
            "loss.captioning=false",
        ],
    )  # fmt: skip
    table = command.finish("whole")
    assert "parsing + generation" in table
    for signs in ("seed0/parsing/run/state/*", "seed0/engine/3*/*", "seed0/gen*/run/state/*"):
        command.kill("killed", signs)
    assert not (tmp_path / "killed" / "ablation.json").exists()
    assert command.finish("killed") == table
    for name in ("ablation.json", "report.html"):
        whole, killed = (tmp_path / one / name for one in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes()


@pytest.mark.slow
def test_table4(tmp_path: Path, seeing_model: Path) -> None:
    write_data(tmp_path / "photos.jsonl", 24, captions=True)
    write_data(tmp_path / "labelled.jsonl", 6, captions=False)
    command = Command(
        tmp_path,
        [
            "ablate", "table4", "--train", "photos.jsonl", "--heldout", "labelled.jsonl",
            "--seeds", "1", "--epochs", "1", "cases=[tagging, both]", "model.network=null",
            f"model.start={seeing_model}", "model.image_size=null", "run.batch_size=8",
            "run.device=cpu", "run.log_every=1", f"loss.teacher=model:{seeing_model}",
        ],
    )  # fmt: skip
    lines = command.finish("out").splitlines()
    assert [re.split("  +", line)[0] for line in lines] == [
        "case", "tagging", "tagging + captioning + distillation",
    ]  # fmt: skip
    journal = tmp_path / "out" / "seed0" / "both" / "run" / "metrics.jsonl"
    step = next(
        row for row in map(json.loads, journal.read_text().splitlines()) if row["kind"] == "train"
    )
    assert {"tagging", "captioning", "distillation"} <= step.keys()
    html = (tmp_path / "out" / "report.html").read_text()
    assert "arXiv 2306.03514, table 4" in html


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_killed_rounds_come_to_the_same(tmp_path: Path, seeing_model: Path) -> None:
    write_data(tmp_path / "photos.jsonl", 26, captions=True)
    write_data(tmp_path / "labelled.jsonl", 6, captions=False)
    command = Command(
        tmp_path,
        [
            "engine", "rounds", "--data", "photos.jsonl", "--heldout", "labelled.jsonl",
            "--model", str(seeing_model), "generate.threshold=0.3", "steps=[generate]",
            f"train.model.start={seeing_model}", "train.data.labels=model", "train.run.epochs=1",
            "train.run.batch_size=8", "train.run.save_every=1", "train.run.device=cpu",
        ],
    )  # fmt: skip
    table = command.finish("whole")
    assert [line.split()[0] for line in table.splitlines()] == ["round", "0", "1", "2"]
    for signs in ("round1/engine/3-merge/*", "round1/training/state/*", "round2/engine/2*/*"):
        command.kill("killed", signs)
    assert command.finish("killed") == table
    for name in ("rounds.json", "round2/training/model/model.safetensors"):
        whole, killed = (tmp_path / one / name for one in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes()
