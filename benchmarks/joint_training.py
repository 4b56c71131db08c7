"""Does it help tagging to learn captions and to be distilled? (RAM, table 4, at small scale)

::

    python benchmarks/joint_training.py --train train.jsonl --val val.jsonl \\
        --weights mobilenet.safetensors

Trains new networks of nano's kind from captioned photos: their captions are parsed, and the tags
found are learned; with and without captioning, with and without distillation, from several seeds.
What is reported is the mAP of the last step's weights (their moving average) on the held-out
photos' human labels: nothing is chosen by looking at it. Seeds are paired: order, crops and the
first weights of the tagging part are the same in all four cases.

--train   photos with captions, any data set that `anytag data info` reads
--val     held-out photos with human labels
--weights of timm's mobilenetv2_100 on ImageNet, the backbone of all cases
--teacher what is distilled (`LossConfig.teacher`); the default is nano's own mean token
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

from quality import machine, today

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
from anytag.training.journal import read_journal
from anytag.training.run import train
from anytag.training.trainer import Losses
from anytag.training.validation import Validation

#: (captioning, distillation)
CASES = ((False, False), (True, False), (False, True), (True, True))


class Silent:
    """Prints validations alone."""

    def started(self, step: int, total: int) -> None:
        """Nothing."""

    def stepped(self, step: int, epoch: int, losses: Losses) -> None:
        """Nothing."""

    def validated(self, step: int, validation: Validation, is_best: bool) -> None:
        """Print it."""
        print(f"  step {step}: mAP {100 * (validation.mean or 0):.2f}", flush=True)


def configure(arguments: argparse.Namespace, case: tuple[bool, bool], seed: int) -> TrainConfig:
    """One run."""
    captioning, distillation = case
    name = f"cap{captioning:d}-dis{distillation:d}-seed{seed}"
    return TrainConfig(
        output=str(arguments.output / name),
        model=ModelConfig(
            network="nano",
            backbone_weights=str(arguments.weights),
            image_size=arguments.image_size,
            num_trainable_blocks=arguments.trainable_blocks,
        ),
        data=DataConfig(
            train=(SourceConfig(path=str(arguments.train)),),
            val=(SourceConfig(path=str(arguments.val)),),
            augment=AugmentConfig(crop_area=(0.5, 1.0)),
        ),
        loss=LossConfig(
            captioning=captioning,
            distillation=distillation,
            teacher=arguments.teacher if distillation else None,
            # alone, tagging keeps its own size; beside captions it is rescaled to theirs
            distillation_weight=arguments.distillation_weight,
            num_asked_tags=arguments.asked_tags,
        ),
        optim=OptimConfig(
            lr=arguments.lr, warmup_steps=50, weight_decay=0.02, clip_norm=2.0, ema_decay=0.995
        ),
        run=RunConfig(
            epochs=arguments.epochs,
            batch_size=32,
            precision="bfloat16",
            seed=seed,
            tensorboard=False,
            device="cpu",
        ),
    )


def run_case(arguments: argparse.Namespace, case: tuple[bool, bool], seed: int) -> float:
    """mAP of the last step, in percent; a run that was done before is read."""
    config = configure(arguments, case, seed)
    folder = Path(config.output)
    start = time.monotonic()
    print(folder.name, flush=True)
    train(config, Silent(), resume=True)
    lines = [line for line in read_journal(folder) if line["kind"] == "val"]
    print(f"  {time.monotonic() - start:.0f} s", flush=True)
    return 100 * float(lines[-1]["map"])


def summarize(found: dict[tuple[bool, bool], list[float]]) -> list[dict[str, Any]]:
    """Mean and standard deviation of each case, and of its paired difference to plain tagging."""
    rows = []
    plain = found[CASES[0]]
    for (captioning, distillation), values in found.items():
        gains = [one - base for one, base in zip(values, plain, strict=True)]
        rows.append(
            {
                "captioning": captioning,
                "distillation": distillation,
                "map": values,
                "mean": statistics.mean(values),
                "deviation": statistics.stdev(values) if len(values) > 1 else None,
                "gain": statistics.mean(gains),
                "gain_deviation": statistics.stdev(gains) if len(gains) > 1 else None,
            }
        )
    return rows


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--teacher", default="model:nano")
    parser.add_argument("--name", default="", help="of the data, for the result")
    parser.add_argument("--output", type=Path, default=Path("runs/joint"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=192)
    parser.add_argument("--trainable-blocks", type=int, default=2)
    parser.add_argument("--asked-tags", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--distillation-weight", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[tuple[bool, bool], list[float]] = {case: [] for case in CASES}
    for seed, case in itertools.product(range(arguments.seeds), CASES):
        found[case].append(run_case(arguments, case, seed))
    rows = summarize(found)
    print("captioning  distillation  mAP             gain")
    for row in rows:
        deviation, gain_deviation = row["deviation"] or 0.0, row["gain_deviation"] or 0.0
        print(
            f"{row['captioning']!s:11} {row['distillation']!s:13} "
            f"{row['mean']:.2f} ± {deviation:.2f}   {row['gain']:+.2f} ± {gain_deviation:.2f}"
        )
    if arguments.json:
        settings = {
            key: value if isinstance(value, int | float) else str(value)
            for key, value in vars(arguments).items()
            if key not in ("json", "output", "train", "val", "weights")
        }
        result = {
            "kind": "joint_training",
            "date": today(),
            "machine": machine(),
            "settings": settings,
            "cases": rows,
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
