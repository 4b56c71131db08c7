"""The network of a configuration without weights, data or downloads, for an estimate.

Everything is on torch's meta device. What is not there is taken from the paper, and said.

Teachers: sizes of OpenAI's CLIP picture towers, Radford et al. 2021 (arXiv 2103.00020), table 20.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anytag.checkpoints.directory import EMBEDDED, find_model
from anytag.config import from_plain
from anytag.data.transforms import CLIP
from anytag.errors import AnytagError, ConfigError
from anytag.inference.descriptions import read_descriptions
from anytag.inference.vocabulary import Rows
from anytag.inference.wordpiece import WordPiece
from anytag.models.config import TaggerConfig, nano, nano_captioner
from anytag.models.encoder import ImageEncoder
from anytag.models.released import ReleasedConfig, ReleasedNetwork, build_released
from anytag.models.reweight import Descriptions
from anytag.models.tagging import TaggingNetwork
from anytag.training.blocks import set_trainable
from anytag.training.config import ModelConfig, TrainConfig
from anytag.training.networks import (
    BERT_VOCABULARY,
    at_image_size,
    released_config,
    set_dropout,
)
from anytag.training.objective import Objective
from anytag.training.wordpieces import SIZE

Sizes = TaggerConfig | ReleasedConfig

#: width, layers, side of a patch, side of the picture, width of the feature
_CLIP_SIZES = {
    "clip-vit-base-patch32": (768, 12, 32, 224, 512),
    "clip-vit-base-patch16": (768, 12, 16, 224, 512),
    "clip-vit-large-patch14": (1024, 24, 14, 224, 768),
    "clip-vit-large-patch14-336": (1024, 24, 14, 336, 768),
}
#: descriptions of a tag in the released RAM++
_NUM_DESCRIPTIONS = 51


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A frozen image encoder on the meta device."""

    network: nn.Module
    #: side of its input in pixels
    image_size: int
    #: of its feature
    width: int


@dataclass(kw_only=True)
class Plan:
    """What a run would train."""

    objective: Objective
    image_size: int
    #: tags in a step
    num_asked: int
    teacher: Teacher | None
    #: what had to be assumed
    assumed: list[str] = field(default_factory=list)


def local_start(config: ModelConfig) -> Path | None:
    """The folder of the model that is started from, if it is on this machine."""
    if config.start is None:
        return find_model("nano") if config.network == "nano" else None
    if config.start in EMBEDDED or (Path(config.start) / "config.json").is_file():
        return find_model(config.start)
    return None


def plan_run(config: TrainConfig, num_tags: int) -> Plan:
    """Build the run's objective on the meta device.

    Raises:
        ConfigError: settings that do not fit together
    """
    assumed: list[str] = []
    sizes = _sizes(config, num_tags, assumed)
    with torch.device("meta"):
        network = _build(sizes)
    network.to("meta")  # index tables are made on the CPU
    set_trainable(network, config.model.num_trainable_blocks)
    if config.model.dropout is not None:
        set_dropout(network, config.model.dropout)
    teacher = _teacher(config, assumed) if config.loss.distillation else None
    tagger = sizes if isinstance(sizes, TaggerConfig) else sizes.tagger
    num_asked = min(config.loss.num_asked_tags or num_tags, num_tags)
    objective = Objective(
        network,
        _rows(config, sizes, num_asked, num_tags, assumed),
        replace(config.loss, num_asked_tags=None),  # which ones are chosen makes no difference
        normalization=CLIP,
        teacher=None if teacher is None else _NoTeacher(teacher.width),
        text_encoder=_NoTextEncoder(tagger.text_width) if config.loss.alignment else None,
        checkpoint_activations=config.run.checkpoint_activations,
    )
    objective.to("meta").train()
    size = tagger.encoder.image_size
    return Plan(
        objective=objective,
        image_size=size,
        num_asked=num_asked,
        teacher=teacher,
        assumed=assumed,
    )


def count_parameters(plan: Plan) -> dict[str, tuple[int, int]]:
    """(all, trained) of each part, weights that parts share in the first one alone."""
    network = plan.objective.network
    parts: dict[str, nn.Module | None] = {
        "backbone": network.encoder.backbone,
        "projection": network.encoder.projection,
        "reweighting": getattr(network, "reweighting", None),
        "queries": getattr(network, "queries", None),
        "match": getattr(network, "match", None),
        "decoder": network.decoder,
        "captioner": network.captioner,
        "adapter": plan.objective.adapter,
    }
    seen: set[int] = set()
    counts = {}
    for name, part in parts.items():
        own = [] if part is None else [p for p in part.parameters() if id(p) not in seen]
        seen.update(map(id, own))
        if own:
            trained = sum(p.numel() for p in own if p.requires_grad)
            counts[name] = (sum(p.numel() for p in own), trained)
    return counts


def _sizes(config: TrainConfig, num_tags: int, assumed: list[str]) -> Sizes:
    model, captions = config.model, config.loss.captioning
    folder = local_start(model)
    if model.network not in (None, "nano"):
        assert model.network is not None
        words = _num_words(config, folder, BERT_VOCABULARY, assumed) if captions else None
        return released_config(model.network, model.image_size or 224, num_tags, words)
    if model.network == "nano":
        sizes: Sizes = nano(model.image_size or 224)
    elif folder is not None:
        sizes = _resized(_read_sizes(folder), model.image_size, num_tags)
        if not captions:
            sizes = replace(sizes, captioner=None)
    else:
        assumed.append(f"model.start {model.start} is not here: sizes of RAM on Swin-L")
        words = _num_words(config, folder, BERT_VOCABULARY, assumed) if captions else None
        return released_config("ram_swin_large", model.image_size or 384, num_tags, words)
    if captions and isinstance(sizes, TaggerConfig) and sizes.captioner is None:
        words = _num_words(config, None, SIZE + 2, assumed)
        sizes = replace(sizes, captioner=nano_captioner(words, tagger=sizes))
    return sizes


def _read_sizes(folder: Path) -> Sizes:
    values: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))["network"]
    where = str(folder / "config.json")
    if "family" in values:
        return from_plain(ReleasedConfig, values, where)
    return from_plain(TaggerConfig, values, where)


def _resized(sizes: Sizes, image_size: int | None, num_tags: int) -> Sizes:
    if isinstance(sizes, TaggerConfig):
        size = image_size or sizes.encoder.image_size
        return replace(sizes, encoder=replace(sizes.encoder, image_size=size))
    sizes, _ = at_image_size(sizes, {}, image_size or sizes.swin.image_size)
    return sizes if sizes.num_tags is None else replace(sizes, num_tags=num_tags)


def _num_words(config: TrainConfig, folder: Path | None, default: int, assumed: list[str]) -> int:
    """Entries of the captioner's vocabulary."""
    files = [folder / "vocab.txt"] if folder is not None else []
    if config.data.vocabulary is not None:
        files.append(Path(config.data.vocabulary))
    for file in files:
        if file.is_file():
            return WordPiece.load(file).size
    assumed.append(f"a vocabulary of {default:,} word pieces")
    return default


def _build(sizes: Sizes) -> TaggingNetwork | ReleasedNetwork:
    return TaggingNetwork(sizes) if isinstance(sizes, TaggerConfig) else build_released(sizes)


def _rows(
    config: TrainConfig, sizes: Sizes, num_asked: int, num_tags: int, assumed: list[str]
) -> Rows | None:
    if isinstance(sizes, TaggerConfig):
        return torch.ones(num_asked, sizes.text_width)
    if sizes.family == "tag2text":
        return None if num_asked == num_tags else torch.arange(num_asked)
    width = sizes.tagger.text_width
    if sizes.family == "ram":
        return torch.ones(num_asked, width)
    count = _num_descriptions(config.model, assumed)
    group = torch.ones(1, 1, 1).expand(num_asked, count, width)  # takes no memory
    return Descriptions((group,), torch.arange(num_asked))


def _num_descriptions(config: ModelConfig, assumed: list[str]) -> int:
    if config.start is None and config.descriptions is None:
        return 1
    if config.descriptions is not None and Path(config.descriptions).is_file():
        counts = [len(one) for one in read_descriptions(Path(config.descriptions)).values()]
        return max(counts, default=1)
    assumed.append(f"{_NUM_DESCRIPTIONS} descriptions of each tag")
    return _NUM_DESCRIPTIONS


def _teacher(config: TrainConfig, assumed: list[str]) -> Teacher:
    kind, _, name = (config.loss.teacher or "").partition(":")
    if kind == "model":
        try:
            sizes = _read_sizes(find_model(name))
        except AnytagError as error:
            raise ConfigError(f"loss.teacher: {error}") from error
        encoder = (sizes if isinstance(sizes, TaggerConfig) else sizes.tagger).encoder
        with torch.device("meta"):
            network = (
                ImageEncoder(encoder)
                if isinstance(sizes, TaggerConfig)
                else build_released(sizes).encoder
            )
        network.to("meta")
        return Teacher(network=network, image_size=encoder.image_size, width=network.token_width)
    known = name.partition("@")[0].rpartition("/")[2]
    if known not in _CLIP_SIZES:
        assumed.append(f"teacher {kind}:{name}: sizes of CLIP ViT-B/16")
        known = "clip-vit-base-patch16"
    width, layers, patch, size, feature = _CLIP_SIZES[known]
    with torch.device("meta"):
        tower = ClipTower(width, layers, patch, size, feature)
    return Teacher(network=tower, image_size=size, width=feature)


class ClipTower(nn.Module):
    """CLIP's picture side, for counting: patches and a class token, pre-norm layers, projection."""

    def __init__(self, width: int, layers: int, patch: int, size: int, feature: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch, bias=False)
        self.begin = nn.Parameter(torch.empty(1, 1, width))
        self.places = nn.Parameter(torch.empty((size // patch) ** 2 + 1, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, width // 64, 4 * width, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.projection = nn.Linear(width, feature, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, W]."""
        tokens = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.begin.expand(len(tokens), -1, -1), tokens], 1) + self.places
        tokens = self.norms[0](tokens)
        for layer in self.layers:
            tokens = layer(tokens)
        feature: Tensor = self.projection(self.norms[1](tokens[:, 0]))
        return feature


class _NoTeacher:
    """A teacher that computes nothing; its work is counted by itself."""

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self, images: Tensor) -> Tensor:
        return torch.empty(len(images), self.width, device=images.device)


class _NoTextEncoder:
    """Texts to vectors that nobody looks at."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.ones((len(texts), self.dim), np.float32)
