"""Cross-attention and feed-forward parts of the tagging decoder.

Post-LayerNorm blocks as in BERT (Devlin et al. 2018), which RAM's decoder uses without
self-attention.

In inference on a CPU the output projection is multiplied into the values, and the query projection
into the keys, wherever that saves work (`CrossAttention.fold`): the same products in another order.

Shapes: B images, N image tokens, T tags, D width, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anytag.models.linear import Linear


@dataclass(frozen=True, slots=True)
class Folded:
    """Image tokens as a cross-attention reads them, with its projections multiplied in."""

    #: of label states, scaled: [B, D, H * N]; of projected queries, scaled: [B, H, D/H, N]
    keys: Tensor
    #: added to the scores of label states: [B, 1, H * N]
    key_bias: Tensor | None
    #: behind the output projection: [B, H * N, D]
    values: Tensor


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
        self.query = Linear(hidden, hidden)
        self.key = Linear(token_width, hidden)
        self.value = Linear(token_width, hidden)
        self.output = Linear(hidden, hidden)

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

    def fold(self, tokens: Tensor, *, projected: bool) -> Folded:
        """Multiply the projections of label states into keys and values.

        Softmax works within a head, so the output projection can go before the sum over tokens:
        (w V) Wo = w (V Wo). Likewise (h Wq) K^T = h (Wq K^T), where the queries are not projected.

        Args:
            tokens: [B, N, token_width]
            projected: the queries will come projected
        """
        hidden = self.query.out_features
        scale = (hidden // self.num_heads) ** -0.5
        keys = self.split_heads(self.key(tokens)) * scale  # [B, H, N, D/H]
        values = self.split_heads(self.value(tokens))
        out = self.output.weight.view(hidden, self.num_heads, -1).permute(1, 2, 0)  # [H, D/H, D]
        values = (values @ out).flatten(1, 2)
        if projected:
            return Folded(keys.mT, None, values)
        weight = self.query.weight.view(self.num_heads, -1, hidden)  # [H, D/H, D]
        bias = self.query.bias.view(self.num_heads, -1, 1)  # [H, D/H, 1]
        key_bias = (keys @ bias).flatten(1)[:, None]
        return Folded((keys @ weight).flatten(1, 2).mT, key_bias, values)

    def folding_saves(self, num_tags: int, num_tokens: int) -> bool:
        """Whether `fold` of keys costs fewer multiplications than it saves.

        Folded keys are H times as many; projecting N of them costs N D^2. The values are cheaper
        by the same count.
        """
        hidden = self.query.in_features
        return num_tags * (hidden - (self.num_heads - 1) * num_tokens) > num_tokens * hidden

    def read(self, queries: Tensor, folded: Folded) -> Tensor:
        """What `forward` gives, from folded tokens.

        Args:
            queries: [B or 1, T, D]: label states, or projected ones
            folded: what `fold` made, for queries of this kind

        Returns:
            [B, T, D]
        """
        batch = len(folded.values)
        if folded.key_bias is None:
            scores = self.split_heads(queries) @ folded.keys  # [B, H, T, N]
            weights = scores.softmax(-1).transpose(1, 2).flatten(2)
        else:
            queries = queries.expand(batch, -1, -1)
            scores = torch.baddbmm(folded.key_bias, queries, folded.keys)
            weights = scores.view(*queries.shape[:2], self.num_heads, -1).softmax(-1).flatten(2)
        return torch.baddbmm(self.output.bias, weights, folded.values)

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
        self.up = Linear(hidden, inner)
        self.down = Linear(inner, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        out: Tensor = self.down(self.up.gelu(x))
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
