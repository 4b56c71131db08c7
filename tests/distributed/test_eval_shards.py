"""``anytag eval`` in shards: the scores of one process, bit by bit."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anytag.cli import eval_run, eval_shards
from anytag.cli.eval_options import EvalOptions
from anytag.cli.options import RunOn
from anytag.distributed.pool import here

from .conftest import Flaky


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path) -> EvalOptions:
    pytest.importorskip("matplotlib")
    random = np.random.default_rng(0)
    rows = ["image,tags"]
    for number in range(13):
        pixels = random.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'cat' if number % 2 else 'dog|red panda'}")
    (tmp_path / "4.png").write_bytes(b"broken")
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    return EvalOptions(
        set_name=None, annotations=tmp_path / "truth.csv", kind="auto", tags=None,
        images=tmp_path, model=[f"tiny={tiny_model}"], scores=None, threshold="best-f1",
        prompt="a photo of a {}.", descriptions=None, out=tmp_path / "one", quiet=True,
        device="cpu", dtype="auto", batch_size=4, workers=1,
    )  # fmt: skip


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Evaluate with a pool, in shards of three photos."""
    plan = partial(eval_shards.plan_scoring, size=3)
    monkeypatch.setattr(eval_shards, "plan_scoring", plan)

    class Opened:
        def __init__(self, pool: Any) -> None:
            self.pool = pool

        def __enter__(self) -> Any:
            return self.pool

        def __exit__(self, *_: object) -> None:
            return None

    def run(options: EvalOptions, pool: Any) -> int:
        monkeypatch.setattr(eval_run, "make_pool", lambda *_: Opened(pool))
        return eval_run.run(replace(options, engine=RunOn.RAY))

    return run


def stored(folder: Path) -> bytes:
    return (folder / "scores" / "tiny.scores").read_bytes()


def test_the_scores_of_one_process(options: EvalOptions, tmp_path: Path, use: Any) -> None:
    assert eval_run.run(options) == 1
    assert use(replace(options, out=tmp_path / "ray"), here) == 1
    assert stored(tmp_path / "ray") == stored(tmp_path / "one")
    one, ray = (json.loads((tmp_path / n / "results.json").read_text()) for n in ("one", "ray"))
    assert ray == one
    assert not (tmp_path / "ray" / "scores" / "ray.job").exists()


def test_what_was_scored_is_not_scored_again(
    options: EvalOptions, tmp_path: Path, use: Any
) -> None:
    options = replace(options, out=tmp_path / "ray")
    with pytest.raises(SystemExit, match="killed"):
        use(options, Flaky(2))
    shards: list[int] = []

    def watched(step: Any, make: Any, given: Any) -> Any:
        shards.extend(given)
        return here(step, make, given)

    assert use(options, watched) == 1
    # 13 photos in shards of 3; two shards were done, and the broken photo is tried again
    assert len(shards) == 3
    eval_run.run(replace(options, out=tmp_path / "one"))
    assert stored(tmp_path / "ray") == stored(tmp_path / "one")


def test_a_folder_is_needed(options: EvalOptions) -> None:
    from anytag.errors import UsageError

    with pytest.raises(UsageError, match="-o DIR"):
        replace(options, engine=RunOn.RAY, out=None)
