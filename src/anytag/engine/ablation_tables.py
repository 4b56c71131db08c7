"""The cases of RAM's tables 4 and 5 (arXiv 2306.03514).

Table 4, the model: what captioning and distillation bring to tagging.

Table 5, the data:

    parsing                       tags parsed from the captions; this model is the baseline
    generation                    and tags that the baseline gives (`pipeline`, "generate")
    generation-cleaning           and what does not fit is removed ("clean")
    finetune-NAME                 the model of generation-cleaning, trained on with better data
    cleaning                      parsed tags alone, without those that cleaning has removed
    generation-cleaning-paper     cleaning with the paper's rules
    half-parsing                  parsing, from half of the photos: what more data are worth

The baseline has seen no tag but those parsed from captions. Its thresholds are the one with the
best F1 on the training photos that were kept apart (one in twenty), against their parsed tags.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from anytag.data.records import Plain
from anytag.engine.ablation import (
    AblationConfig,
    Case,
    model_of,
    plain_training,
    source_name,
)
from anytag.engine.config import DataConfig, EngineConfig
from anytag.engine.pipeline import Engine, Report
from anytag.engine.steps import read_rows, write_rows
from anytag.training.config import ModelConfig, SourceConfig, TrainConfig

PAPER_RULES = ("outlier", "crop")
_GIVEN = ("human", "caption")


def table4_cases(config: AblationConfig) -> list[Case]:
    """Tagging alone, and with captioning, distillation and both."""

    def case(key: str, captioning: bool, distillation: bool) -> Case:
        def make(seed: int, report: Report) -> TrainConfig:
            plain = plain_training(config, config.train)
            loss = replace(
                plain.loss,
                captioning=captioning,
                distillation=distillation,
                teacher=(plain.loss.teacher or "model:nano") if distillation else None,
            )
            return replace(plain, loss=loss)

        parts = ["tagging", *["captioning"] * captioning, *["distillation"] * distillation]
        return Case(
            key=key,
            title=" + ".join(parts),
            reference="tagging" if captioning or distillation else None,
            make=make,
        )

    return [
        case("tagging", False, False),
        case("captioning", True, False),
        case("distillation", False, True),
        case("both", True, True),
    ]


def table5_cases(config: AblationConfig) -> list[Case]:
    """From parsing to fine-tuning."""
    data = _Data(config)

    def case(key: str, title: str, reference: str | None) -> Case:
        def make(seed: int, report: Report) -> TrainConfig:
            return plain_training(config, data.of(key, seed, report))

        return Case(key=key, title=title, reference=reference, make=make)

    def half(seed: int, report: Report) -> TrainConfig:
        plain = plain_training(config, config.train)
        return replace(plain, data=replace(plain.data, val_every=2))

    return [
        case("parsing", "parsing", None),
        case("generation", "parsing + generation", "parsing"),
        case("generation-cleaning", "parsing + generation + cleaning", "generation"),
        *(_finetuning(config, one) for one in config.finetune.data),
        case("cleaning", "parsing + cleaning", "parsing"),
        case(
            "generation-cleaning-paper",
            "parsing + generation + cleaning by the paper's rules",
            "generation",
        ),
        Case(
            key="half-parsing",
            title="parsing, half of the photos",
            reference="parsing",
            make=half,
        ),
    ]


def _finetuning(config: AblationConfig, source: SourceConfig) -> Case:
    def make(seed: int, report: Report) -> TrainConfig:
        plain = plain_training(config, [source])
        return replace(
            plain,
            model=ModelConfig(
                start=str(model_of(config, seed, "generation-cleaning")),
                num_trainable_blocks=config.model.num_trainable_blocks,
                dropout=config.model.dropout,
            ),
            data=replace(plain.data, labels="model"),
            optim=replace(plain.optim, lr=config.finetune.lr),
            run=replace(plain.run, epochs=config.finetune.epochs),
        )

    name = source_name(source)
    return Case(
        key=f"finetune-{name}",
        title=f"parsing + generation + cleaning + fine-tuning on {name}",
        reference="generation-cleaning",
        make=make,
    )


class _Data:
    """Training data of the cases of table 5, made by the engine.

    Args:
        config: what all cases share
    """

    def __init__(self, config: AblationConfig) -> None:
        self._config = config

    def of(self, key: str, seed: int, report: Report) -> tuple[SourceConfig, ...]:
        """Data sets of a case.

        Args:
            key: of the case
            seed: for which it is trained
            report: told of the engine's progress
        """
        if key == "parsing":
            return self._config.train
        engine = self._engine(seed if self._config.own_baseline else 0)
        folder = Path(engine.output)
        if key == "generation":
            records = Engine(replace(engine, steps=("generate",)), report=report).run().records
        elif key == "generation-cleaning":
            records = Engine(engine, report=report).run().records
        elif key == "cleaning":
            done = Engine(engine, report=report).run().records
            records = given_only(done, folder.with_name("engine-given"))
        else:
            other = folder.with_name("engine-paper")
            share_steps(folder, other)
            clean = replace(engine.clean, rules=PAPER_RULES)
            engine = replace(engine, output=str(other), clean=clean)
            records = Engine(engine, redo=True, report=report).run().records
        return (SourceConfig(path=str(records)),)

    def _engine(self, seed: int) -> EngineConfig:
        config = self._config
        return EngineConfig(
            output=str(Path(config.output) / f"seed{seed}" / "engine"),
            data=tuple(
                DataConfig(path=one.path, kind=one.kind, images=one.images) for one in config.train
            ),
            model=str(model_of(config, seed, "parsing")),
            dtype=config.engine_dtype,
            generate=config.generate,
            ground=config.ground,
            clean=config.clean,
        )


def given_only(records: Path, output: Path) -> Path:
    """The engine's records without what the model has added: given tags, less those removed.

    Args:
        records: folder of the engine
        output: folder for the records; what is in it is written anew
    """
    output.mkdir(parents=True, exist_ok=True)
    for file in sorted(records.glob("*.jsonl")):
        write_rows(output / file.name, _given(file))
    return output


def _given(file: Path) -> Iterator[Plain]:
    for row in read_rows(file):
        num_human = len(row["captions"]) - len(row["generated_captions"])
        yield {
            "image": row["image"],
            "captions": row["captions"][:num_human],
            "tags": [
                name
                for name in row["tags"]
                if any(one["source"] in _GIVEN for one in row["provenance"][name])
            ],
            "parsed_tags": row["parsed_tags"][:num_human],
            "source": row["source"],
        }


def share_steps(engine: Path, other: Path) -> None:
    """A second run of the engine that begins behind the regions of the first."""
    if other.exists():
        return
    part = other.with_name(f"{other.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    shutil.copytree(engine, part, ignore=shutil.ignore_patterns("5-judge", "records"))
    part.rename(other)
