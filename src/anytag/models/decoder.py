"""Tagging decoder: label queries look at image tokens; one shared layer gives the logits.

Source: RAM (arXiv 2306.03514), section 4, "image-tag recognition decoder"; layers as in
Query2Label (arXiv 2107.10834) without self-attention. Labels do not interact: a tag's logit is the
same whatever other tags are asked, so label sets can be cut, joined and computed in parts.

In inference the tags go through all layers in parts (`label_states`), so that memory does not grow
with their number, and on a CPU a part stays in the cache.

Shapes: B images, N image tokens, T tags, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anytag.models.config import DecoderConfig
from anytag.models.layers import CrossAttention, DecoderLayer, Folded
from anytag.models.linear import in_inference

#: label states (images times tags) that are in a layer at the same time, in inference. On the CPU
#: measured the feed-forward part is 9 % slower with all 4,585 tags of RAM at once
CPU_ROWS = 2048
OTHER_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class LabelState:
    """What the decoder needs of a label set: computed once, used for every image."""

    #: label queries [1, T, D] (or [B, T, D] where they depend on the image)
    queries: Tensor
    #: the first layer's projected queries, same shape
    projected: Tensor
    #: what the mean token is compared with, [1, T, W + 1] (`anytag.models.queries.LabelMatch`)
    match: Tensor | None = None

    def take(self, tags: Sequence[int]) -> LabelState:
        """Those of some tags, in this order."""
        match = None if self.match is None else self.match[:, tags]
        return LabelState(self.queries[:, tags], self.projected[:, tags], match)

    def take_each(self, ids: Tensor) -> LabelState:
        """Those of tags [B, K] of each image's own; only where queries are the same for all."""
        match = None if self.match is None else F.embedding(ids, self.match[0])
        queries, projected = (F.embedding(ids, one[0]) for one in (self.queries, self.projected))
        return LabelState(queries, projected, match)


def match_logits(match: Tensor, tokens: Tensor) -> Tensor:
    """Scaled dot products [B, T] of the mean token with each tag's vector, and its bias.

    Args:
        match: [B or 1, T, W + 1]
        tokens: image tokens [B, N, W], the mean in front
    """
    width = tokens.shape[-1]
    vectors, bias = match[..., :width], match[..., width]
    products: Tensor = (tokens[:, :1] @ vectors.mT).squeeze(1) * width**-0.5
    return products + bias


def label_states(
    layers: Sequence[DecoderLayer], queries: Tensor, projected: Tensor, tokens: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Label states behind the last layer, for one part of the tags after the other.

    Args:
        layers: of a decoder
        queries: [B or 1, T, D]
        projected: the first layer's projected queries, same shape
        tokens: image tokens [B, N, token_width]

    Yields:
        which tags these are, and their states [B, t, D]
    """
    if not in_inference():
        h = queries
        for number, layer in enumerate(layers):
            h = layer(h, tokens, projected if number == 0 else None)
        yield slice(None), h
        return
    num_tags, on_cpu = queries.shape[1], tokens.device.type == "cpu"
    rows = CPU_ROWS if on_cpu else OTHER_ROWS
    num_parts = -(-num_tags * len(tokens) // rows)
    step = max(1, -(-num_tags // num_parts))
    saves = on_cpu and layers[0].cross_attention.folding_saves(num_tags, tokens.shape[1])
    folded: list[Folded | None] = [
        layer.cross_attention.fold(tokens, projected=number == 0) if saves else None
        for number, layer in enumerate(layers)
    ]
    for start in range(0, num_tags, step):
        part = slice(start, start + step)
        h = queries[:, part]
        for number, (layer, memory) in enumerate(zip(layers, folded, strict=True)):
            asked = projected[:, part] if number == 0 else None
            if memory is None:
                h = layer(h, tokens, asked)
            else:
                read = layer.cross_attention.read
                h = layer.join(h, read(h if asked is None else asked, memory))
        yield part, h


def decoder_layers(config: DecoderConfig, token_width: int) -> nn.ModuleList:
    """A decoder's layers for tokens of this width, with new weights."""
    return nn.ModuleList(
        DecoderLayer(
            config.hidden,
            token_width,
            config.num_heads,
            config.ffn,
            config.layer_norm_eps,
            config.dropout,
        )
        for _ in range(config.num_layers)
    )


class TaggingDecoder(nn.Module):
    """Queries [T, D] x tokens [B, N, token_width] -> logits [B, T]."""

    def __init__(self, config: DecoderConfig, token_width: int) -> None:
        super().__init__()
        self.layers = decoder_layers(config, token_width)
        self.logit = nn.Linear(config.hidden, 1)

    def prepare(self, queries: Tensor) -> LabelState:
        """The part that does not depend on the image.

        Args:
            queries: [T, D], or [B, T, D] for queries of each image
        """
        if queries.ndim == 2:
            queries = queries[None]
        return LabelState(queries, self._attention(0).query(queries))

    def forward(self, labels: LabelState, tokens: Tensor) -> Tensor:
        """Logits [B, T] of image tokens [B, N, token_width]."""
        layers = cast("Sequence[DecoderLayer]", self.layers)
        states = label_states(layers, labels.queries, labels.projected, tokens)
        parts = [self.logit(h).squeeze(-1) for _, h in states]
        logits = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return logits if labels.match is None else logits + match_logits(labels.match, tokens)

    def attention_maps(self, labels: LabelState, tokens: Tensor) -> Tensor:
        """Cross-attention weights of every layer, [layers, B, H, T, N]."""
        h = labels.queries
        maps = []
        for number, layer in enumerate(self.layers):
            attention = self._attention(number)
            projected = labels.projected if number == 0 else attention.query(h)
            maps.append(attention.weights(projected, tokens))
            h = layer(h, tokens, projected)
        return torch.stack(maps)

    def _attention(self, number: int) -> CrossAttention:
        return cast(DecoderLayer, self.layers[number]).cross_attention
