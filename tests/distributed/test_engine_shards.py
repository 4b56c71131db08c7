"""The data engine on a pool whose workers get everything by pickle, as on other machines."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anytag.config import from_plain
from anytag.distributed.engine import engine_runner
from anytag.distributed.worker import ShardWorker
from anytag.engine.config import EngineConfig
from anytag.engine.pipeline import Engine


def elsewhere(step: Any, make: Any, shards: Any) -> Any:
    """A worker that knows nothing but what it is sent; later shards first."""
    step, make = pickle.loads(pickle.dumps((step, make)))
    return map(ShardWorker(step, make, waits=()), reversed(shards))


@pytest.fixture
def config(tmp_path: Path, seeing_model: Path) -> Any:
    random = np.random.default_rng(0)
    rows = ["image,tags"]
    for number in range(14):
        pixels = random.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'cat' if number % 2 else 'dog|beach'}")
    (tmp_path / "5.png").write_bytes(b"broken")
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")

    def make(name: str, **changes: Any) -> EngineConfig:
        plain = {
            "output": str(tmp_path / name), "data": [{"path": str(tmp_path / "truth.csv")}],
            "model": str(seeing_model), "device": "cpu", "shard_size": 4,
            "clean": {"num_background": 5, "min_regions": 4, "rules": ["outlier", "unsure"]},
        }  # fmt: skip
        return from_plain(EngineConfig, plain | changes, "config")

    return make


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".jsonl", ".npy", ".json")
    }


@pytest.mark.parametrize("vocabulary", ["model", "data"])
def test_the_files_of_one_process(config: Any, tmp_path: Path, vocabulary: str) -> None:
    pytest.importorskip("sklearn")
    more = {"generate": {"vocabulary": vocabulary, "batch_size": 4}}
    one = Engine(config("one", **more)).run()
    pooled = Engine(config("pool", **more), run=engine_runner(elsewhere)).run()
    assert pooled.counts == one.counts
    assert files(tmp_path / "pool") == files(tmp_path / "one")


def test_a_run_in_one_process_goes_on_elsewhere(config: Any, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")

    def killed(step: Any, make: Any, shards: Any) -> Any:
        yield from list(elsewhere(step, make, shards))[: 2 if step.name == "4-regions" else 99]
        if step.name == "4-regions":
            (step.folder / "00000.json").unlink()  # of a shard that was at work
            raise SystemExit("killed")

    with pytest.raises(SystemExit):
        Engine(config("pool"), run=engine_runner(killed)).run()
    Engine(config("pool"), run=engine_runner(elsewhere)).run()
    Engine(config("one")).run()
    assert files(tmp_path / "pool") == files(tmp_path / "one")
