"""Ablations: the same training with one thing changed, from several seeds, measured on held-out
photos (RAM, arXiv 2306.03514, tables 4 and 5, at the size that one's data and machine allow).

    DIR/settings.json             what all of it was made with
    DIR/seed0/CASE/run/           the training run (`anytag.training.run`)
    DIR/seed0/CASE/result.json    its figures; a case that has one is done
    DIR/seed0/CASE/scores.npz     its scores of the held-out photos
    DIR/ablation.json, DIR/report.html

Seeds are paired: order, crops and first weights of a seed are the same in all cases. What is
measured is the last step's weights (their moving average, if there is one); nothing is chosen by
looking at a held-out photo.

What is run again goes on where it was: with the last saved state of the case that was interrupted.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.config import to_plain
from anytag.engine.claim import claim, locked
from anytag.engine.config import CleanConfig, GenerateConfig, GroundConfig
from anytag.engine.heldout import HeldOut, open_heldout
from anytag.engine.pipeline import Report
from anytag.engine.steps import SETTINGS, write_json
from anytag.errors import ConfigError
from anytag.files import atomic_write
from anytag.labels.labelset import LabelSet
from anytag.training.config import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    SourceConfig,
    TrainConfig,
)
from anytag.training.run import train
from anytag.training.session import open_pictures
from anytag.training.targets import TargetMaker
from anytag.training.trainer import Listener

#: one training photo in so many is kept apart: the thresholds of the models are set on these
VAL_EVERY = 20
RESULT, SCORES = "result.json", "scores.npz"


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """The last step of table 5."""

    #: data sets of better quality, each by itself; none = no such step
    data: tuple[SourceConfig, ...] = ()
    #: times that every picture is seen
    epochs: int = 1
    #: learning rate
    lr: float = 3e-4


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """What all cases share."""

    #: folder of all that is written
    output: str
    #: "table4" or "table5"
    table: str
    #: photos with captions
    train: tuple[SourceConfig, ...]
    #: photos with human tags, that are in no training set
    heldout: tuple[SourceConfig, ...]
    #: number of seeds: 0, 1, ...
    seeds: int = 3
    #: keys of the cases that are run; none = all
    cases: tuple[str, ...] = ()
    #: table 5: every seed's model labels the photos for its own seed; else the first seed's does
    #: for all, as in the paper, and seeds differ in training alone
    own_baseline: bool = False
    #: labels.json or a tag list; "model" = those of nano
    labels: str = "model"
    model: ModelConfig = field(
        default_factory=lambda: ModelConfig(network="nano", image_size=192, num_trainable_blocks=0)
    )
    loss: LossConfig = field(default_factory=lambda: LossConfig(num_asked_tags=256))
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            lr=1e-3, warmup_steps=50, weight_decay=0.02, clip_norm=2.0, ema_decay=0.995
        )
    )
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    run: RunConfig = field(default_factory=lambda: RunConfig(epochs=4, tensorboard=False))
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    #: of the engine: "auto", "float32", "bfloat16" or "float16"
    engine_dtype: str = "auto"
    generate: GenerateConfig = field(default_factory=lambda: GenerateConfig(captions=None))
    ground: GroundConfig = field(default_factory=GroundConfig)
    clean: CleanConfig = field(default_factory=CleanConfig)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"seeds must be at least 1, found {self.seeds}")
        if not self.train or not self.heldout:
            raise ConfigError("train and heldout need a data set each")
        for kind, sources in (("heldout", self.heldout), ("finetune.data", self.finetune.data)):
            names = [source_name(one) for one in sources]
            if len(set(names)) < len(names):
                raise ConfigError(f"{kind}: two data sets have the name {names[0]}")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told how it goes on."""

    training: Listener
    #: of the engine's steps
    engine: Report
    #: a case begins: seed, case
    begins: Callable[[int, Case], None]
    #: a case is done: seed, case, result, seconds of this process (None = it was done before)
    ends: Callable[[int, Case, dict[str, Any], float | None], None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a table."""

    #: name of its folder
    key: str
    title: str
    #: key of the case to which it is compared
    reference: str | None
    #: (seed, told of the engine's progress) -> what is trained; output and seed are set
    #: afterwards. The cases that stand before it are done, for all seeds.
    make: Callable[[int, Report], TrainConfig]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that was measured."""

    config: AblationConfig
    cases: tuple[Case, ...]
    heldout: tuple[HeldOut, ...]
    #: case -> its results, a seed each
    results: dict[str, list[dict[str, Any]]]
    #: case -> held-out set -> scores [N, T] of each seed
    scores: dict[str, dict[str, list[npt.NDArray[np.float32]]]]


def plain_training(config: AblationConfig, data: Sequence[SourceConfig]) -> TrainConfig:
    """The training that all cases change."""
    return TrainConfig(
        output="",
        model=config.model,
        data=DataConfig(
            train=tuple(data),
            labels=config.labels,
            val_every=VAL_EVERY,
            augment=config.augment,
            num_workers=1,
        ),
        loss=config.loss,
        optim=config.optim,
        run=config.run,
    )


def run_ablation(config: AblationConfig, cases: Sequence[Case], watch: Watch) -> Outcome:
    """Train and measure what is not done yet.

    Raises:
        UsageError: the folder holds something else, or was made with other settings; a data set
            cannot be used
        AnytagError: see `anytag.training.run.train` and `anytag.engine.pipeline.Engine`
    """
    folder = Path(config.output)
    claim(folder, to_plain(replace(config, output="", seeds=1, cases=())), "seeds and cases")
    heldout = open_heldout(config.heldout, folder / "cache")
    results: dict[str, list[dict[str, Any]]] = {case.key: [] for case in cases}
    scores: dict[str, dict[str, list[npt.NDArray[np.float32]]]] = {
        case.key: {one.name: [] for one in heldout} for case in cases
    }
    with locked(folder / SETTINGS):
        for case in cases:
            for seed in range(config.seeds):
                result = _run_case(config, case, seed, heldout, watch)
                results[case.key].append(result)
                with np.load(folder / f"seed{seed}" / case.key / SCORES) as found:
                    for one in heldout:
                        scores[case.key][one.name].append(found[one.name])
    return Outcome(
        config=config, cases=tuple(cases), heldout=heldout, results=results, scores=scores
    )


def model_of(config: AblationConfig, seed: int, case: str) -> Path:
    """The model of a case that is done."""
    return Path(config.output) / f"seed{seed}" / case / "run" / "model"


def chosen_cases(config: AblationConfig, cases: Sequence[Case]) -> list[Case]:
    """Those that the configuration names, in the order of the table.

    Raises:
        ConfigError: one does not exist, or the one to which it is compared is not among them
    """
    known = {case.key: case for case in cases}
    for key in config.cases:
        if key not in known:
            raise ConfigError(f"cases: {key!r} is none of {', '.join(known)}")
        if known[key].reference not in (None, *config.cases):
            raise ConfigError(f"cases: {key} is compared to {known[key].reference}; name it too")
    return [case for case in cases if not config.cases or case.key in config.cases]


def source_name(source: SourceConfig) -> str:
    """What a data set is called in tables."""
    return Path(source.path).stem


def _run_case(
    config: AblationConfig, case: Case, seed: int, heldout: Sequence[HeldOut], watch: Watch
) -> dict[str, Any]:
    folder = Path(config.output) / f"seed{seed}" / case.key
    if (folder / RESULT).exists():
        found: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        watch.ends(seed, case, found, None)
        return found
    start = time.monotonic()
    watch.begins(seed, case)
    made = case.make(seed, watch.engine)
    made = replace(
        made,
        output=str(folder / "run"),
        # validated once, at the end: the last step is what is kept
        run=replace(made.run, seed=seed, validate_every=sys.maxsize),
    )
    with math_attention():
        done = train(made, watch.training, resume=True)
    # Any: NumPy's types take names of arrays for its own options
    scores: dict[str, Any] = {one.name: one.score(done.model) for one in heldout}
    with atomic_write(folder / SCORES) as file:
        np.savez_compressed(file, **scores)
    result = {
        "num_photos": len(open_pictures(made, folder / "run")[0]),
        "num_tags": count_tags(made, folder / "run"),
        "steps": done.progress.step,
        "threshold": LabelSet.load(done.model / "labels.json")[0].threshold,
        "map": {one.name: round(100 * one.mean(scores[one.name]), 4) for one in heldout},
    }
    write_json(folder / RESULT, result)
    shutil.rmtree(folder / "run" / "state", ignore_errors=True)  # as large as the model, thrice
    watch.ends(seed, case, result, time.monotonic() - start)
    return result


def count_tags(config: TrainConfig, folder: Path) -> int:
    """Tags of all training photos that the network is told, each once a photo."""
    maker = TargetMaker(
        LabelSet.load(folder / "model" / "labels.json", repeated_names=True),
        parse_captions=config.data.parse_captions,
    )
    pictures, _ = open_pictures(config, folder)
    return sum(len(maker.make(pictures.record(i)[1]).ids) for i in range(len(pictures)))


@contextmanager
def math_attention() -> Iterator[None]:
    """Attention by plain products on processors without a GPU.

    The backward pass of torch's fused attention there is slow for so short sequences: with it a
    step of nano takes a quarter more.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with nullcontext() if torch.cuda.is_available() else sdpa_kernel(SDPBackend.MATH):
        yield
