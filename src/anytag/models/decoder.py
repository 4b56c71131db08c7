"""Tagging decoder: label queries look at image tokens; one shared layer gives the logits.

Source: RAM (arXiv 2306.03514), section 4, "image-tag recognition decoder"; layers as in
Query2Label (arXiv 2107.10834) without self-attention. Labels do not interact: a tag's logit is the
same whatever other tags are asked, so label sets can be cut, joined and computed in parts.

Shapes: B images, N image tokens, T tags, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from anytag.models.config import DecoderConfig
from anytag.models.layers import CrossAttention, DecoderLayer


@dataclass(frozen=True, slots=True)
class LabelState:
    """What the decoder needs of a label set: computed once, used for every image."""

    #: label queries [1, T, D] (or [B, T, D] where they depend on the image)
    queries: Tensor
    #: the first layer's projected queries, same shape
    projected: Tensor


class TaggingDecoder(nn.Module):
    """Queries [T, D] x tokens [B, N, token_width] -> logits [B, T]."""

    def __init__(self, config: DecoderConfig, token_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
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
        h = labels.queries
        for number, layer in enumerate(self.layers):
            h = layer(h, tokens, labels.projected if number == 0 else None)
        logits: Tensor = self.logit(h).squeeze(-1)
        return logits

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
