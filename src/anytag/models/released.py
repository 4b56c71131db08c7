"""The released networks: RAM, RAM++ and Tag2Text, built from the common parts.

Sources: RAM (arXiv 2306.03514), RAM++ (arXiv 2310.15200), Tag2Text (arXiv 2303.05657). All three
share the image encoder and the tagging decoder; they differ in where the queries come from:

    RAM        text embeddings of the tags, the same for every image
    RAM++      descriptions of the tags, weighed anew for every image
    Tag2Text   learned, with a logit layer of its own for each tag (closed vocabulary)

Shapes: B images, S image side, N image tokens, T tags, K descriptions of a tag, E text width,
M tag text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from anytag.errors import ConfigError, ModelError
from anytag.models.captioner import Captioner
from anytag.models.config import CaptionerConfig, DecoderConfig, TaggerConfig
from anytag.models.decoder import TaggingDecoder, decoder_layers, label_states
from anytag.models.encoder import ImageEncoder
from anytag.models.layers import DecoderLayer
from anytag.models.queries import LabelQueries
from anytag.models.reweight import Descriptions, Reweighting
from anytag.models.swin import Swin, SwinConfig
from anytag.models.tagging import TaggingNetwork

FAMILIES = ("ram", "ram_plus", "tag2text")


@dataclass(frozen=True, kw_only=True)
class ReleasedConfig:
    """Sizes of a released network."""

    #: one of `FAMILIES`
    family: str
    #: encoder and decoder; `swin` replaces what ``encoder.backbone`` says
    tagger: TaggerConfig
    swin: SwinConfig
    #: Tag2Text alone: its tags, which are part of the network
    num_tags: int | None
    #: None for RAM++, and where the captioner was left out
    captioner: CaptionerConfig | None

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ConfigError(f"family {self.family!r} is none of {', '.join(FAMILIES)}")
        if (self.family == "tag2text") != (self.num_tags is not None):
            raise ConfigError("num_tags is needed for tag2text, and for no other family")
        if self.family == "ram_plus" and self.captioner is not None:
            raise ConfigError("ram_plus has no captioner")
        if self.tagger.captioner is not None:
            raise ConfigError("the captioner of a released network stands beside its tagger")
        if self.captioner is not None:
            encoder = self.tagger.encoder
            width = encoder.token_width or self.swin.num_features
            self.captioner.check_fit(replace(encoder, token_width=width), self.tagger.decoder)


class Ram(TaggingNetwork):
    """RAM: `TaggingNetwork` on Swin, and its captioner.

    ``prepare`` takes text embeddings [T, E].
    """

    def __init__(self, config: ReleasedConfig) -> None:
        tagger = replace(config.tagger, captioner=config.captioner)
        super().__init__(tagger, Swin(config.swin))


class RamPlus(nn.Module):
    """RAM++: queries depend on the image."""

    captioner: None = None

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        tagger = config.tagger
        self.encoder = ImageEncoder(tagger.encoder, Swin(config.swin))
        self.reweighting = Reweighting()
        self.queries = LabelQueries(tagger.text_width, tagger.decoder.hidden)
        self.decoder = TaggingDecoder(tagger.decoder, self.encoder.token_width)

    def prepare(self, descriptions: Tensor | Descriptions) -> Descriptions:
        """What is the same for all images.

        Args:
            descriptions: embeddings [T, K, E], or `Descriptions` where tags have different numbers
        """
        if isinstance(descriptions, Descriptions):
            return descriptions
        count, number, _ = descriptions.shape
        return Descriptions.from_rows(descriptions.flatten(0, 1), [number] * count)

    def forward(self, images: Tensor, labels: Descriptions) -> Tensor:
        """Normalised images [B, 3, S, S] -> logits [B, T]."""
        return self.tag(self.encoder(images), labels)

    def tag(self, tokens: Tensor, labels: Descriptions) -> Tensor:
        """Image tokens [B, 1 + N, E] -> logits [B, T]."""
        queries = self.queries(self.reweighting(tokens[:, 0], labels))
        logits: Tensor = self.decoder(self.decoder.prepare(queries), tokens)
        return logits


@dataclass(frozen=True, slots=True)
class GroupwiseState:
    """The tags that a Tag2Text is asked for."""

    #: [T, D]
    queries: Tensor
    #: the first layer's projected queries [1, T, D]
    projected: Tensor
    #: logit weights [T, D] and biases [T]
    weight: Tensor
    bias: Tensor

    def take(self, tags: Sequence[int]) -> GroupwiseState:
        """Those of some tags, in this order."""
        projected = self.projected[:, tags]
        return GroupwiseState(self.queries[tags], projected, self.weight[tags], self.bias[tags])


class GroupwiseDecoder(nn.Module):
    """Tagging decoder with learned queries and a logit layer for each tag."""

    def __init__(self, config: DecoderConfig, token_width: int, num_tags: int) -> None:
        super().__init__()
        self.layers = decoder_layers(config, token_width)
        self.queries = nn.Parameter(torch.randn(num_tags, config.hidden))
        bound = config.hidden**-0.5
        self.weight = nn.Parameter(torch.empty(num_tags, config.hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_tags).uniform_(-bound, bound))

    def prepare(self, tags: Tensor | None = None) -> GroupwiseState:
        """Choose tags: ids [T] int64, or None for all."""
        rows = slice(None) if tags is None else tags
        queries = self.queries[rows]
        projected = cast(DecoderLayer, self.layers[0]).cross_attention.query(queries)[None]
        return GroupwiseState(queries, projected, self.weight[rows], self.bias[rows])

    def forward(self, labels: GroupwiseState, tokens: Tensor) -> Tensor:
        """Logits [B, T] of image tokens [B, 1 + N, token_width]."""
        layers = cast("Sequence[DecoderLayer]", self.layers)
        states = label_states(layers, labels.queries[None], labels.projected, tokens)
        parts = [(h * labels.weight[part]).sum(-1) + labels.bias[part] for part, h in states]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class Tag2Text(nn.Module):
    """Tag2Text: a closed set of tags, and captions."""

    def __init__(self, config: ReleasedConfig) -> None:
        super().__init__()
        assert config.num_tags is not None
        tagger = config.tagger
        self.encoder = ImageEncoder(tagger.encoder, Swin(config.swin))
        self.decoder = GroupwiseDecoder(tagger.decoder, self.encoder.token_width, config.num_tags)
        self.captioner = None if config.captioner is None else Captioner(config.captioner)

    def prepare(self, tags: Tensor | None = None) -> GroupwiseState:
        """Choose tags: ids [T] int64, or None for all."""
        return self.decoder.prepare(tags)

    def forward(self, images: Tensor, labels: GroupwiseState) -> Tensor:
        """Normalised images [B, 3, S, S] -> logits [B, T]."""
        logits: Tensor = self.decoder(labels, self.encoder(images))
        return logits


ReleasedNetwork = Ram | RamPlus | Tag2Text


def build_released(config: ReleasedConfig) -> ReleasedNetwork:
    """The network of a configuration, with random weights."""
    if config.family == "ram":
        return Ram(config)
    return RamPlus(config) if config.family == "ram_plus" else Tag2Text(config)


def read_tags(
    network: TaggingNetwork | ReleasedNetwork, tokens: Tensor, ids: Tensor, mask: Tensor
) -> Tensor:
    """The memory from which a caption is written.

    Args:
        network: one with a captioner
        tokens: image tokens [B, 1 + N, width] of its encoder
        ids: tag texts [B, M] int64, padded
        mask: [B, M], 1 or True where there is text

    Returns:
        [B, M, D]

    Raises:
        ModelError: the network has no captioner
    """
    if network.captioner is None:
        raise ModelError(
            "this model has no captioner: RAM++ never has one, RAM and Tag2Text can be "
            "converted without it, and others are trained with or without it"
        )
    memory: Tensor = network.captioner.encoder(ids, mask, tokens, network.decoder.layers)
    return memory
