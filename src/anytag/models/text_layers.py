"""Layers of the captioner: text embeddings, self-attention, and BERT layers with cross-attention.

Source: Devlin et al. 2018, "BERT" (arXiv 1810.04805), after Vaswani et al. 2017 (arXiv 1706.03762):
LayerNorm after each sum, exact GELU, learned absolute positions; no segment embedding here.

Shapes: B images, M context tokens, L text tokens, D width, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anytag.errors import ModelError
from anytag.models.config import CaptionerConfig
from anytag.models.layers import CrossAttention, DecoderLayer

#: keys and values of one attention, each [B, H, L, D / H]
KeyValues = tuple[Tensor, Tensor]


class TextEmbeddings(nn.Module):
    """Word and position embeddings, normalised: [B, L] int64 -> [B, L, D]."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden, padding_idx=config.pad_id)
        self.positions = nn.Embedding(config.max_positions, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, first: int = 0) -> Tensor:
        """Embed tokens that stand at positions ``first``, ``first`` + 1, ...

        Raises:
            ModelError: the text is longer than the model has positions
        """
        end = first + ids.shape[1]
        if end > self.positions.num_embeddings:
            raise ModelError(
                f"a text of {end} tokens is longer than the {self.positions.num_embeddings} "
                "positions of this captioner; use a smaller max_length"
            )
        places = self.positions.weight[first:end]
        output: Tensor = self.drop(self.norm(self.words(ids) + places))
        return output


class SelfAttention(nn.Module):
    """Multi-head attention of a text over itself."""

    def __init__(self, hidden: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)

    def forward(
        self, h: Tensor, mask: Tensor | None, past: KeyValues | None
    ) -> tuple[Tensor, KeyValues]:
        """Attend over ``past`` and ``h``.

        Args:
            h: [B, L, D]
            mask: bool, broadcast to [B, H, L, past + L]; True = may be looked at; None = all
            past: keys and values of the tokens before ``h``

        Returns:
            [B, L, D], and keys and values of all tokens so far
        """
        keys = _split_heads(self.key(h), self.num_heads)
        values = _split_heads(self.value(h), self.num_heads)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        query = _split_heads(self.query(h), self.num_heads)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, keys, values, mask, dropout)
        output: Tensor = self.output(_join_heads(mixed))
        return output, (keys, values)


class TextLayer(nn.Module):
    """h = LN(h + selfattention(h)), then a cross-attention and feed-forward layer.

    Args:
        config: sizes
        context_width: width of what the cross-attention looks at
        owns_cross: whether the second part is the layer's own; otherwise it is handed in
    """

    def __init__(self, config: CaptionerConfig, context_width: int, *, owns_cross: bool) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.self_attention = SelfAttention(config.hidden, config.num_heads, config.dropout)
        self.self_attention_norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.drop = nn.Dropout(config.dropout)
        self.cross: DecoderLayer | None = None
        if owns_cross:
            self.cross = DecoderLayer(
                config.hidden,
                context_width,
                config.num_heads,
                config.ffn,
                config.layer_norm_eps,
                config.dropout,
            )

    def forward(
        self,
        h: Tensor,
        context: KeyValues,
        mask: Tensor | None,
        past: KeyValues | None = None,
        cross: DecoderLayer | None = None,
    ) -> tuple[Tensor, KeyValues]:
        """One layer.

        Args:
            h: [B, L, D]
            context: keys and values for the cross-attention, from `look_at`
            mask: see `SelfAttention`
            past: keys and values of the tokens before
            cross: the second part, for a layer that has none of its own

        Returns:
            [B, L, D], and keys and values of all tokens so far
        """
        layer = self._cross(cross)
        attended, past = self.self_attention(h, mask, past)
        h = self.self_attention_norm(h + self.drop(attended))
        attention = layer.cross_attention
        query = _split_heads(attention.query(h), self.num_heads)
        dropout = attention.dropout if attention.training else 0.0
        mixed = F.scaled_dot_product_attention(query, *context, dropout_p=dropout)
        h = layer.cross_attention_norm(h + layer.drop(attention.output(_join_heads(mixed))))
        output: Tensor = layer.ffn_norm(h + layer.drop(layer.ffn(h)))
        return output, past

    def look_at(self, context: Tensor, cross: DecoderLayer | None = None) -> KeyValues:
        """Keys and values of a context [B, M, width] for this layer's cross-attention."""
        attention: CrossAttention = self._cross(cross).cross_attention
        return (
            _split_heads(attention.key(context), self.num_heads),
            _split_heads(attention.value(context), self.num_heads),
        )

    def _cross(self, given: DecoderLayer | None) -> DecoderLayer:
        layer = given if self.cross is None else self.cross
        if layer is None:
            raise ModelError(
                "this caption layer borrows weights from a tagging decoder; none given"
            )
        return layer


def _split_heads(x: Tensor, num_heads: int) -> Tensor:
    """[B, L, D] -> [B, H, L, D / H]."""
    return x.reshape(*x.shape[:2], num_heads, -1).transpose(1, 2)


def _join_heads(x: Tensor) -> Tensor:
    """[B, H, L, D / H] -> [B, L, D]."""
    return x.transpose(1, 2).flatten(2)
