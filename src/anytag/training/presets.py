"""Configurations that are known to work; each is a function that says what it costs and gives.

anytag train --preset finetune --data pets.csv -o runs/pets
anytag train --preset ram_14m --data /data -o runs/ram-14m optim.lr=5e-5
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from anytag.data.recipes import load_recipe
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

#: CLIP's image tower, the teacher of RAM and RAM++
CLIP_TEACHER = "clip:openai/clip-vit-base-patch16"
#: of millions of pictures some thousands are enough for validation
_VAL_EVERY = 1000


def finetune(data: Sequence[str], output: str) -> TrainConfig:
    """nano on one's own tags: projection, label queries and decoder; the backbone stays as it is.

    Data: CSV, a folder for each tag, COCO or VOC labels, or captions; 200 photos are enough to
    begin with. Takes minutes on a CPU. `model.num_trainable_blocks=4` trains more, with more data.
    `data.cached_views=4` runs the backbone once for 4 views of each picture and not in every epoch:
    three times as quick, and somewhat worse where few pictures are learned for long.
    """
    return TrainConfig(
        output=output,
        model=ModelConfig(start="nano", num_trainable_blocks=0),
        data=DataConfig(train=_sources(data), labels="data", val_every=5),
        loss=LossConfig(gamma_neg=4.0),
        optim=OptimConfig(
            lr=3e-4, warmup_steps=20, weight_decay=0.02, clip_norm=2.0, ema_decay=0.99
        ),
        run=RunConfig(epochs=20, batch_size=16, log_every=5),
    )


def nano(data: Sequence[str], output: str) -> TrainConfig:
    """A new nano from a folder of data: its tags, MobileNetV2, captions where there are any.

    Give `model.backbone_weights` (timm's mobilenetv2_100), else the backbone begins with random
    numbers.
    """
    return TrainConfig(
        output=output,
        model=ModelConfig(network="nano", image_size=224, num_trainable_blocks=4),
        data=DataConfig(train=_sources(data), augment=AugmentConfig(crop_area=(0.4, 1.0))),
        loss=LossConfig(captioning=True),
        optim=OptimConfig(
            lr=1e-3,
            backbone_lr_scale=0.3,
            warmup_steps=200,
            weight_decay=0.02,
            clip_norm=2.0,
            ema_decay=0.998,
        ),
        run=RunConfig(epochs=10, batch_size=64),
    )


def ram_4m(data: Sequence[str], output: str) -> TrainConfig:
    """RAM on Swin-B and 4 M pictures at 224 (paper: 5 epochs, a day on 8 A100)."""
    return _ram("ram_swin_base", "ram_4m", data, output, batch_size=8 * 80)


def ram_14m(data: Sequence[str], output: str) -> TrainConfig:
    """RAM on Swin-L and 14 M pictures at 224 (paper: 5 epochs, three days on 8 A100)."""
    return _ram("ram_swin_large", "ram_14m", data, output, batch_size=8 * 52)


def ram_coco(data: Sequence[str], output: str) -> TrainConfig:
    """The paper's second step: a pre-trained RAM at 384 on COCO, two epochs.

    Give `model.start`, the model directory of the first step; position biases are interpolated.
    """
    return TrainConfig(
        output=output,
        model=ModelConfig(start="runs/ram/model", image_size=384),
        data=DataConfig(train=_sources(data)),
        loss=LossConfig(captioning=True, distillation=True, teacher=CLIP_TEACHER),
        optim=OptimConfig(lr=5e-6, schedule="cosine", decay_all=True),
        run=RunConfig(epochs=2, batch_size=8 * 26, precision="bfloat16"),
    )


def tag2text(data: Sequence[str], output: str) -> TrainConfig:
    """The baseline: Tag2Text on Swin-B at 224; tags of its own, no distillation.

    Source: arXiv 2303.05657: 20 epochs, batch 960 on 8 GPUs.
    """
    return TrainConfig(
        output=output,
        model=ModelConfig(network="tag2text_swin_base", image_size=224),
        data=DataConfig(train=_recipe("ram_4m", data), labels="data", val_every=_VAL_EVERY),
        loss=LossConfig(captioning=True),
        optim=_PRETRAINING,
        run=RunConfig(epochs=20, batch_size=960, precision="bfloat16"),
    )


#: name -> its configuration for data and an output folder
PRESETS: dict[str, Callable[[Sequence[str], str], TrainConfig]] = {
    "finetune": finetune,
    "nano": nano,
    "ram_4m": ram_4m,
    "ram_14m": ram_14m,
    "ram_coco": ram_coco,
    "tag2text": tag2text,
}

_PRETRAINING = OptimConfig(
    lr=1e-4, schedule="step", decay=0.9, min_lr=5e-7, warmup_steps=3000, decay_all=True
)


def _ram(
    network: str, recipe: str, data: Sequence[str], output: str, *, batch_size: int
) -> TrainConfig:
    return TrainConfig(
        output=output,
        model=ModelConfig(network=network, image_size=224),
        data=DataConfig(
            train=_recipe(recipe, data), labels="data", val_every=_VAL_EVERY, num_workers=8
        ),
        loss=LossConfig(captioning=True, distillation=True, teacher=CLIP_TEACHER),
        optim=_PRETRAINING,
        run=RunConfig(epochs=5, batch_size=batch_size, precision="bfloat16", save_every=2000),
    )


def _sources(paths: Sequence[str]) -> tuple[SourceConfig, ...]:
    return tuple(SourceConfig(path=path) for path in paths)


def _recipe(name: str, roots: Sequence[str]) -> tuple[SourceConfig, ...]:
    """The data sets of a recipe under one folder; other paths are taken as they are."""
    if len(roots) != 1 or Path(roots[0]).is_file():
        return _sources(roots)
    root = Path(roots[0])
    return tuple(
        SourceConfig(
            path=str(root / one.path),
            kind=one.kind,
            images=None if one.images_path is None else str(root / one.images_path),
        )
        for one in load_recipe(name).sources
    )
