"""Several rounds with a tiny network: what each labels and learns, resuming, the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from anytag.config import from_plain
from anytag.engine.config import EngineConfig
from anytag.engine.rounds import RoundsConfig, RoundsWatch, rounds_rows, run_rounds
from anytag.errors import ConfigError, UsageError
from anytag.training.config import SourceConfig
from anytag.training.config_file import changed
from anytag.training.presets import finetune

from .conftest import Listener

pytest.importorskip("sklearn")
pytest.importorskip("accelerate")
pytest.importorskip("matplotlib")
SMALL = [
    "model.dropout=0", "data.labels=model", "data.num_workers=0", "run.epochs=1",
    "run.batch_size=4", "run.save_every=1", "run.tensorboard=false", "run.device=cpu",
    "optim.lr=1e-2",
]  # fmt: skip


class Told(Listener):
    """A `RoundsWatch` that keeps what it is told, and may stop a run."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__(stop_after)
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.watch = RoundsWatch(
            engine=lambda name, done, total: None,
            training=self,
            begins=self.begun.append,
            ends=lambda figures: self.ended.append(figures["round"]),
        )


@pytest.fixture
def config(tmp_path: Path, make_data: Callable[..., Path], seeing_model: Path) -> RoundsConfig:
    engine = {
        "output": str(tmp_path / "out"),
        "data": [{"path": str(make_data(16, broken=False))}],
        "model": str(seeing_model),
        "generate": {"threshold": 0.3},
        "clean": {"num_background": 10},
    }
    training = changed(finetune(["-"], ""), [*SMALL, f"model.start={seeing_model}"])
    return RoundsConfig(
        engine=from_plain(EngineConfig, engine),
        training=training,
        num_rounds=2,
        heldout=(SourceConfig(path=str(make_data(9, "heldout", broken=False))),),
    )


def labelled_by(folder: Path) -> str:
    settings = json.loads((folder / "engine/2-generate/settings.json").read_text())
    return str(settings["settings"]["model"])


def test_each_round_labels_with_the_model_before(config: RoundsConfig, seeing_model: Path) -> None:
    told = Told()
    found = run_rounds(config, told.watch)
    assert (told.begun, told.ended) == ([1, 2], [0, 1, 2])
    folder = Path(config.engine.output)
    assert labelled_by(folder / "round1") == "tiny-1"
    card = json.loads((folder / "round1/training/model/config.json").read_text())
    assert labelled_by(folder / "round2") == card["version"]

    # each begins with what people gave, and trains from the same start
    assert found[1]["given"] == found[2]["given"]
    assert found[1]["records"] == 16
    for number in (1, 2):
        one = found[number]
        assert one["tags"] == one["given"] + one["added"] - one["removed"]
        made = yaml.safe_load((folder / f"round{number}/training/config.yaml").read_text())
        assert made["data"]["train"][0]["path"] == str(folder / f"round{number}/engine/records")
        assert made["model"]["start"] == str(seeing_model)
    maps = [one["heldout"]["records"]["map"] for one in found]
    assert maps[0] != maps[1]
    for one in found:
        low, high = one["heldout"]["records"]["interval"]
        assert low <= one["heldout"]["records"]["map"] <= high
    header, rows = rounds_rows(found)
    assert header == ["round", "given", "added", "removed", "tags", "records mAP"]
    assert rows[0][:5] == ["0", "", "", "", ""]
    assert rows[2][0] == "2"
    assert "held-out mAP" in (folder / "report.html").read_text()


def test_interrupted_and_run_again(config: RoundsConfig, tmp_path: Path) -> None:
    config = replace(config, engine=replace(config.engine, steps=("generate",)))
    whole = replace(config, engine=replace(config.engine, output=str(tmp_path / "whole")))
    expected = run_rounds(whole, Told().watch)
    for stop_after in (2, 3):  # in each training
        with pytest.raises(KeyboardInterrupt):
            run_rounds(config, Told(stop_after).watch)
    assert run_rounds(config, Told().watch) == expected
    for name in ("rounds.json", "round2/training/model/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_one_round_more(config: RoundsConfig) -> None:
    engine = replace(config.engine, steps=("generate",))
    short = replace(config, engine=engine, num_rounds=1, heldout=())
    first = run_rounds(short, Told().watch)
    told = Told()
    found = run_rounds(replace(short, num_rounds=2), told.watch)
    assert told.begun == [2]
    assert found[:2] == first
    with pytest.raises(UsageError, match="made with another training"):
        run_rounds(replace(short, training=changed(short.training, ["optim.lr=1"])), Told().watch)
    with pytest.raises(ConfigError, match="at least 1"):
        replace(short, num_rounds=0)
