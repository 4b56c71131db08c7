"""A network to train with its tags: opened from a model, or new; saved as a model directory.

A tag that the start does not know gets its row from the text encoder, never zeros: all-zero label
queries give a flat loss and a model that predicts every tag.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from anytag.checkpoints.convert import ConvertedCheckpoint, build_network
from anytag.checkpoints.directory import FORMAT, ModelCard, find_model, save_directory
from anytag.checkpoints.released_directory import ReleasedCard, save_released
from anytag.data.transforms import Normalization
from anytag.errors import ConfigError, ModelError
from anytag.files import atomic_write
from anytag.inference.clip_text import ClipTextEncoder
from anytag.inference.descriptions import read_descriptions
from anytag.inference.open_model import TEXT_ENCODER, open_model
from anytag.inference.own_tags import embedder
from anytag.inference.static_text import StaticTextEncoder
from anytag.inference.text_cache import CachedTextEncoder
from anytag.inference.vocabulary import (
    Meaning,
    Rows,
    TagEmbedder,
    TextEncoder,
)
from anytag.inference.wordpiece import WordPiece
from anytag.labels.labelset import LabelSet
from anytag.models.config import TaggerConfig, nano, nano_captioner
from anytag.models.released import ReleasedConfig, ReleasedNetwork, Tag2Text, build_released
from anytag.models.reweight import Descriptions
from anytag.models.tagging import TaggingNetwork
from anytag.training.config import ModelConfig
from anytag.training.networks import at_image_size, load_backbone, new_nano, released_config

Network = TaggingNetwork | ReleasedNetwork


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """A network, float32 on the CPU, and all that is needed to save it again."""

    network: Network
    sizes: TaggerConfig | ReleasedConfig
    labels: LabelSet
    #: one for each label; frozen
    rows: Rows
    open_threshold: float
    #: embeds captions (RAM++) and tags that the model does not know
    text_encoder: TextEncoder | None
    #: its folder, which is saved with the model
    text_folder: Path | None
    #: vocabulary of the captioner
    wordpiece: Path | None

    @property
    def tagger(self) -> TaggerConfig:
        """Encoder and decoder sizes of any family."""
        return self.sizes if isinstance(self.sizes, TaggerConfig) else self.sizes.tagger

    @property
    def image_size(self) -> int:
        """Side of the input in pixels."""
        return self.tagger.encoder.image_size

    @property
    def normalization(self) -> Normalization:
        """Statistics of the pixels."""
        encoder = self.tagger.encoder
        return Normalization(mean=encoder.mean, std=encoder.std)


def open_trainable(
    config: ModelConfig,
    labels: LabelSet | None,
    *,
    captions: bool,
    vocabulary: Path | None = None,
) -> Trainable:
    """Open what a configuration names.

    Args:
        config: a start or a new network
        labels: its tags; None = those of the start
        captions: whether a captioner is trained; a plain network without one gets a new one. If
            not, the start's is left out: training changes the image tokens that it reads
        vocabulary: WordPiece vocabulary of a new captioner

    Raises:
        ModelError: the start cannot be read, or has no captioner and cannot get one
        ConfigError: a new RAM, RAM++ or Tag2Text without a tag list
    """
    if config.start is not None:
        opened = _from_start(config, config.start, labels, captions)
    elif config.network == "nano":
        opened = _new_nano(config, labels)
    else:
        opened = _new_released(config, labels, vocabulary if captions else None)
    return _with_captioner(opened, vocabulary) if captions else opened


def own_wordpiece(config: ModelConfig) -> Path | None:
    """The vocabulary of the start's captioner, if it has one."""
    if config.start is None:
        return None
    path = find_model(config.start) / "vocab.txt"
    return path if path.is_file() else None


def own_labels(config: ModelConfig) -> LabelSet | None:
    """The labels of the start, or of nano for a new nano; None for other new networks."""
    if config.start is None and config.network != "nano":
        return None
    path = find_model(config.start or "nano")
    return LabelSet.load(path / "labels.json", repeated_names=True)


def _from_start(
    config: ModelConfig, start: str, labels: LabelSet | None, captions: bool
) -> Trainable:
    encoder = _clip(config.text_encoder) if config.text_encoder else None
    model, known = open_model(start, device="cpu", dtype="float32", text_encoder=encoder)
    vocabulary = known
    if labels is not None:
        vocabulary = known.with_tags(
            _meanings(labels, config.descriptions),
            extend=False,
            embed=model.embed,
            open_threshold=model.card.open_threshold,
        )
    folder = model.path / TEXT_ENCODER
    embed = model.embed
    opened = Trainable(
        network=model.network,
        sizes=model.card.network,
        labels=_keep_details(vocabulary.labels, labels),
        rows=vocabulary.rows,
        open_threshold=model.card.open_threshold,
        text_encoder=embed.text_encoder if isinstance(embed, TagEmbedder) else None,
        text_folder=folder if folder.is_dir() else None,
        wordpiece=model.wordpiece,
    )
    if not captions:
        opened = _without_captioner(opened)
    return _resize(_cut_closed(opened), config.image_size)


def _resize(model: Trainable, image_size: int | None) -> Trainable:
    """For crops of another size; the weights become the network's own copy."""
    state = {key: value.clone() for key, value in model.network.state_dict().items()}
    sizes, network = model.sizes, model.network
    size = image_size or model.image_size
    if isinstance(sizes, TaggerConfig):
        sizes = replace(sizes, encoder=replace(sizes.encoder, image_size=size))
        if sizes.encoder.backbone.startswith("timm:") and size != model.image_size:
            raise ConfigError(f"a {sizes.encoder.backbone} model keeps its image size")
        network.load_state_dict(state, assign=True)
    else:
        sizes, state = at_image_size(sizes, state, size)
        network = build_network(
            ConvertedCheckpoint(config=sizes, state=state, label_embeddings=None, excused={})
        )
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return replace(model, sizes=sizes, network=network)


def _cut_closed(model: Trainable) -> Trainable:
    """Tag2Text with some of its tags alone: the others leave the network."""
    if not isinstance(model.network, Tag2Text):
        return model
    rows = cast(Tensor, model.rows)
    sizes = replace(cast(ReleasedConfig, model.sizes), num_tags=len(rows))
    state = dict(model.network.state_dict())
    for name in ("decoder.queries", "decoder.weight", "decoder.bias"):
        state[name] = state[name][rows]
    network = build_released(sizes)
    network.load_state_dict(state)
    return replace(model, network=network, sizes=sizes, rows=torch.arange(len(rows)))


def _new_nano(config: ModelConfig, labels: LabelSet | None) -> Trainable:
    folder = find_model("nano")
    encoder = StaticTextEncoder.load(folder / TEXT_ENCODER)
    chosen = labels or LabelSet.load(folder / "labels.json")
    sizes = nano(config.image_size or 224)
    embed = embedder("plain", encoder, sizes.text_width)
    network = new_nano(sizes, Path(config.backbone_weights) if config.backbone_weights else None)
    return Trainable(
        network=network,
        sizes=sizes,
        labels=chosen,
        rows=embed(dict.fromkeys(chosen.names, cast(Meaning, ()))),
        open_threshold=0.5,
        text_encoder=encoder,
        text_folder=folder / TEXT_ENCODER,
        wordpiece=None,
    )


def _new_released(
    config: ModelConfig, labels: LabelSet | None, vocabulary: Path | None
) -> Trainable:
    name = cast(str, config.network)
    if labels is None:
        raise ConfigError(f"data.labels: a new {name} needs a tag list (a file, or data)")
    words = None if vocabulary is None else WordPiece.load(vocabulary).size
    sizes = released_config(name, config.image_size or 224, len(labels), words)
    network = build_released(sizes)
    if config.backbone_weights:
        load_backbone(network.encoder.backbone, Path(config.backbone_weights))
    encoder: TextEncoder | None = None
    rows: Rows = torch.arange(len(labels))
    if sizes.family != "tag2text":
        encoder = _clip(config.text_encoder)
        embed = embedder(sizes.family, encoder, sizes.tagger.text_width)
        rows = embed(_meanings(labels, config.descriptions))
    return Trainable(
        network=network,
        sizes=sizes,
        labels=labels,
        rows=rows,
        open_threshold=0.5,
        text_encoder=encoder,
        text_folder=None,
        wordpiece=vocabulary,
    )


def _without_captioner(model: Trainable) -> Trainable:
    if model.network.captioner is None:
        return model
    model.network.captioner = None
    return replace(model, sizes=replace(model.sizes, captioner=None), wordpiece=None)


def _with_captioner(model: Trainable, vocabulary: Path | None) -> Trainable:
    if model.network.captioner is not None:
        return model
    if not isinstance(model.sizes, TaggerConfig):
        raise ModelError(
            "this model has no captioner to train: RAM++ never has one, and RAM and Tag2Text can "
            "be converted without it; set loss.captioning to false"
        )
    assert vocabulary is not None
    captioner = nano_captioner(WordPiece.load(vocabulary).size, tagger=model.sizes)
    sizes = replace(model.sizes, captioner=captioner)
    network = TaggingNetwork(sizes)
    fresh = {k: v for k, v in network.state_dict().items() if k.startswith("captioner.")}
    network.load_state_dict({**model.network.state_dict(), **fresh})
    return replace(model, network=network, sizes=sizes, wordpiece=vocabulary)


def save_trained(
    model: Trainable,
    state: Mapping[str, Tensor],
    path: Path,
    *,
    name: str,
    card: str,
) -> None:
    """Write a model directory with these weights.

    Args:
        model: what was trained
        state: weights of its network
        path: the directory
        name: of the model; its version is the name and a hash of the weights
        card: text of README.md
    """
    version = f"{name}-{_fingerprint(state)}"
    if isinstance(model.sizes, TaggerConfig):
        network = TaggingNetwork(model.sizes)
        network.load_state_dict(dict(state))
        plain = ModelCard(
            format=FORMAT,
            name=name,
            version=version,
            network=model.sizes,
            open_threshold=model.open_threshold,
            text_encoder="static",
        )
        rows = cast(Tensor, model.rows)
        words = model.wordpiece if network.captioner is not None else None
        save_directory(path, plain, network, model.labels, rows, torch.float32, vocabulary=words)
    else:
        released = ReleasedCard(
            format=FORMAT,
            name=name,
            version=version,
            network=model.sizes,
            open_threshold=model.open_threshold,
        )
        converted = ConvertedCheckpoint(
            config=model.sizes,
            state=dict(state),
            label_embeddings=_stored_rows(model.rows),
            excused={},
        )
        save_released(path, released, converted, model.labels, vocabulary=model.wordpiece)
    if model.text_folder is not None and not (path / TEXT_ENCODER).exists():
        part = path / f"{TEXT_ENCODER}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(model.text_folder, part)
        part.rename(path / TEXT_ENCODER)
    with atomic_write(path / "README.md") as file:
        file.write(card.encode())


def _stored_rows(rows: Rows) -> Tensor | None:
    """Rows as a model directory keeps them: [T, E], or RAM++'s [T, K, E]."""
    if isinstance(rows, Descriptions):
        if len(rows.groups) > 1:
            raise ModelError(
                "RAM++ is saved with equally many descriptions for each tag; this tag list has "
                "different numbers of them"
            )
        return rows.groups[0][rows.order]
    return rows if rows.is_floating_point() else None


def _meanings(labels: LabelSet, descriptions: str | None) -> dict[str, Meaning]:
    known = {} if descriptions is None else read_descriptions(Path(descriptions))
    return {name: known.get(name, ()) for name in labels.names}


def _keep_details(found: LabelSet, wanted: LabelSet | None) -> LabelSet:
    """Thresholds and kinds that the model knows, synonyms and parents of the given list."""
    if wanted is None or found.names != wanted.names:
        return found
    return LabelSet(
        replace(
            ours,
            kind=ours.kind or theirs.kind,
            synonyms=ours.synonyms or theirs.synonyms,
            parents=ours.parents or theirs.parents,
            translations=ours.translations or theirs.translations,
        )
        for ours, theirs in zip(wanted, found, strict=True)
    )


def _clip(source: str | None) -> TextEncoder:
    loaded = ClipTextEncoder.load(source) if source else ClipTextEncoder.load()
    return CachedTextEncoder(loaded)


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
