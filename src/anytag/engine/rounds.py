"""Several rounds: the engine with a model, training on what it gives, the engine with that model.

    DIR/settings.json
    DIR/round1/engine/        the engine's run (`pipeline`)
    DIR/round1/training/      the training run (`anytag.training.run`)
    DIR/round1/result.json    its figures; a round that has one is done
    DIR/rounds.json, DIR/report.html

Every round starts from what people gave, and trains from the same start: what changes is the model
that labels. Round 0 is the model that was there before. What is run again goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anytag.config import to_plain
from anytag.engine.claim import claim, locked
from anytag.engine.config import EngineConfig
from anytag.engine.heldout import HeldOut, open_heldout
from anytag.engine.pipeline import Engine, EngineResult, Report
from anytag.engine.report import write_report
from anytag.engine.steps import SETTINGS, write_json
from anytag.errors import ConfigError
from anytag.evaluation.metrics import bootstrap_interval
from anytag.evaluation.report import Page, line_plot
from anytag.training.config import SourceConfig, TrainConfig
from anytag.training.run import train
from anytag.training.trainer import Listener

RESULT = "result.json"
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RoundsConfig:
    """Several rounds."""

    #: of every round; `output` is the folder of all, `model` the first round's
    engine: EngineConfig
    #: of every round; its training data are the engine's
    training: TrainConfig
    num_rounds: int
    #: photos with human tags, on which every round's model is measured; none = not measured
    heldout: tuple[SourceConfig, ...] = ()

    def __post_init__(self) -> None:
        if self.num_rounds < 1:
            raise ConfigError(f"rounds must be at least 1, found {self.num_rounds}")


@dataclass(frozen=True, kw_only=True)
class RoundsWatch:
    """Who is told how it goes on."""

    engine: Report
    training: Listener
    #: a round begins
    begins: Callable[[int], None]
    #: a round is done
    ends: Callable[[Figures], None]


def run_rounds(config: RoundsConfig, watch: RoundsWatch) -> list[Figures]:
    """Do what is not done yet; the figures of round 0 and all others.

    Raises:
        UsageError: the folder holds something else, or was made with other settings
        AnytagError: see `Engine` and `anytag.training.run.train`
    """
    folder = Path(config.engine.output)
    plain = to_plain(replace(config, num_rounds=1, engine=replace(config.engine, output="")))
    claim(folder, plain, "rounds")
    heldout = open_heldout(config.heldout, folder / "cache")
    with locked(folder / SETTINGS):
        model = config.engine.model
        found = [_start(config, heldout)]
        watch.ends(found[0])
        for number in range(1, config.num_rounds + 1):
            found.append(_round(config, number, model, heldout, watch))
            model = str(folder / f"round{number}" / "training" / "model")
            watch.ends(found[-1])
    write_json(folder / "rounds.json", {"rounds": found})
    rounds_page(config, found).write(folder / "report.html")
    return found


def _start(config: RoundsConfig, heldout: Sequence[HeldOut]) -> Figures:
    path = Path(config.engine.output) / "round0" / RESULT
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"round": 0, "heldout": _measure(config.engine.model, heldout)})
    return _read(path)


def _round(
    config: RoundsConfig,
    number: int,
    model: str,
    heldout: Sequence[HeldOut],
    watch: RoundsWatch,
) -> Figures:
    folder = Path(config.engine.output) / f"round{number}"
    path = folder / RESULT
    if path.exists():
        return _read(path)
    watch.begins(number)
    engine = replace(config.engine, output=str(folder / "engine"), model=model)
    labelled = Engine(engine, report=watch.engine).run()
    write_report(engine, labelled, folder / "engine" / "report.html")
    data = replace(config.training.data, train=(SourceConfig(path=str(labelled.records)),))
    training = replace(config.training, output=str(folder / "training"), data=data)
    trained = train(training, watch.training, resume=True)
    figures = {
        "round": number,
        **_tags(labelled),
        "heldout": _measure(trained.model, heldout),
    }
    write_json(path, figures)
    return figures


def _tags(labelled: EngineResult) -> Figures:
    """How many tags came and went."""
    merged = labelled.counts["3-merge"]
    added = merged["first from tagger"] + merged["first from generated_caption"]
    removed = labelled.counts["records"]["tags removed"] if "records" in labelled.counts else 0
    return {
        "records": merged["records"],
        "given": merged["tags"] - added,
        "added": added,
        "removed": removed,
        "tags": merged["tags"] - removed,
    }


def _measure(model: Path | str, heldout: Sequence[HeldOut]) -> Figures:
    found = {}
    for one in heldout:
        scores = one.score(model)
        low, high = bootstrap_interval(scores, one.truth)
        found[one.name] = {
            "map": round(100 * one.mean(scores), 4),
            "interval": [round(100 * low, 4), round(100 * high, 4)],
        }
    return found


def _read(path: Path) -> Figures:
    found: Figures = json.loads(path.read_text(encoding="utf-8"))
    return found


def rounds_rows(rounds: Sequence[Figures]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table; mAP in percent with its 95 % interval over photos."""
    names = list(rounds[0]["heldout"])
    counts = ("given", "added", "removed", "tags")
    header = ["round", *counts, *(f"{name} mAP" for name in names)]
    rows = []
    for one in rounds:
        values = [f"{one[key]:,}" if key in one else "" for key in counts]
        for name in names:
            found = one["heldout"][name]
            low, high = found["interval"]
            values.append(f"{found['map']:.1f} ({low:.1f} to {high:.1f})")
        rows.append([str(one["round"]), *values])
    return header, rows


def rounds_page(config: RoundsConfig, rounds: Sequence[Figures]) -> Page:
    """The page."""
    sources = ", ".join(one.path for one in config.engine.data)
    page = Page("Rounds of the data engine", f"{sources}; first model {config.engine.model}")
    page.section("Rounds", "Tags of the training data, and mAP of the model trained on them.")
    page.table(*rounds_rows(rounds))
    page.note("Round 0 is the model before. Brackets: 95 % interval over held-out photos.")
    curves = {
        name: (
            [one["round"] for one in rounds],
            [one["heldout"][name]["map"] for one in rounds],
        )
        for name in rounds[0]["heldout"]
    }
    if curves:
        page.plot(line_plot(curves, x_label="round", y_label="held-out mAP, %"))
    return page
