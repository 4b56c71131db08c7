"""Cross-attention and feed-forward parts of the tagging decoder.

Post-LayerNorm blocks as in BERT (Devlin et al. 2018), which RAM's decoder uses without
self-attention.

Shapes: B images, N image tokens, T tags, D width, H heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Multi-head attention of label queries over image tokens.

    Args:
        hidden: width D of the queries
        token_width: width of the image tokens
        num_heads: H
        dropout: probability on the attention weights in training
    """

    def __init__(self, hidden: int, token_width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(token_width, hidden)
        self.value = nn.Linear(token_width, hidden)
        self.output = nn.Linear(hidden, hidden)

    def split_heads(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, H, L, D/H]."""
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(1, 2)

    def forward(
        self, projected_query: Tensor, tokens: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Attend.

        Args:
            projected_query: [B or 1, T, D], already through `query` (so that the first layer's,
                which does not depend on the image, is computed once)
            tokens: [B, N, token_width]
            mask: bool [B, N], true where a token may be looked at; None = at all. With one image
                it may have any number of rows B, and keys and values are computed once

        Returns:
            [B, T, D]
        """
        q = self.split_heads(projected_query)
        k = self.split_heads(self.key(tokens))
        v = self.split_heads(self.value(tokens))
        if mask is not None:
            k, v = (x.expand(len(mask), -1, -1, -1) for x in (k, v))
            mask = mask[:, None, None, :]
        q = q.expand(k.shape[0], -1, -1, -1)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        attended: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return attended

    def weights(self, projected_query: Tensor, tokens: Tensor) -> Tensor:
        """Attention weights [B, H, T, N], computed plainly; for explanations and tests."""
        q = self.split_heads(projected_query).expand(tokens.shape[0], -1, -1, -1)
        k = self.split_heads(self.key(tokens))
        scores: Tensor = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        return scores.softmax(-1)

    def mix(self, weights: Tensor, tokens: Tensor) -> Tensor:
        """What `forward` gives for these weights [B, H, T, N]: [B, T, D]."""
        mixed = weights @ self.split_heads(self.value(tokens))
        attended: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return attended


class FeedForward(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.up = nn.Linear(hidden, inner)
        self.down = nn.Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out


class DecoderLayer(nn.Module):
    """h = LN(h + crossattention(h, tokens)); h = LN(h + FFN(h)). No self-attention."""

    def __init__(
        self,
        hidden: int,
        token_width: int,
        num_heads: int,
        inner: int,
        eps: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.cross_attention = CrossAttention(hidden, token_width, num_heads, dropout)
        self.cross_attention_norm = nn.LayerNorm(hidden, eps=eps)
        self.ffn = FeedForward(hidden, inner)
        self.ffn_norm = nn.LayerNorm(hidden, eps=eps)
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        h: Tensor,
        tokens: Tensor,
        projected_query: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """One layer.

        Args:
            h: label states [B or 1, T, D]
            tokens: image tokens [B, N, token_width]
            projected_query: ``cross_attention.query(h)`` where it was computed before
            mask: which tokens there are, see `CrossAttention`

        Returns:
            label states [B, T, D]
        """
        if projected_query is None:
            projected_query = self.cross_attention.query(h)
        return self.join(h, self.cross_attention(projected_query, tokens, mask))

    def join(self, h: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer, behind its cross-attention: [B, T, D]."""
        h = self.cross_attention_norm(h + self.drop(attended))
        out: Tensor = self.ffn_norm(h + self.drop(self.ffn(h)))
        return out


def init_bert_(module: nn.Module, std: float = 0.02) -> None:
    """BERT's initialisation: normal weights, zero biases, unit LayerNorm."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            torch.nn.init.normal_(part.weight, std=std)
            if part.bias is not None:
                torch.nn.init.zeros_(part.bias)
