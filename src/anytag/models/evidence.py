"""Which image tokens speak for a tag: four answers from the tagging decoder, and what they need.

    attention   where the queries look: softmax weights, mean over layers and heads.
    relevance   attention that raises the logit: mean over heads of the positive part of weight
                times gradient, summed over layers. Chefer et al. 2021 (arXiv 2103.15679), whose
                rule for co-attention comes to this where queries do not see one another.
    gradient    the logit's gradient with respect to a token, times the token. Shrikumar et al.
                2016 (arXiv 1605.01713), on tokens instead of pixels.
    occlusion   by how much the logit falls when a block of tokens cannot be seen. Zeiler and
                Fergus 2013 (arXiv 1311.2901), on tokens: the blocked ones are left out of the
                softmax, which is exact and needs no filling colour; the encoder runs once.

The mean token is no place, so no answer gives it a value; it stays visible, as in tagging. RAM++'s
queries depend on the image: they are made once and then held, since they say what is looked for
and not where.

Shapes: N image tokens in rows x columns, without the mean token; T tags, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from anytag.models.decoder import LabelState, match_logits
from anytag.models.layers import CrossAttention, DecoderLayer
from anytag.models.released import GroupwiseState
from anytag.models.reweight import Descriptions

#: places that are hidden in one pass: each holds T states as wide as the feed-forward part
AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """The decoder of one image: what is asked, of which tokens, and how an answer is read."""

    layers: Sequence[DecoderLayer]
    #: [1, T, D]
    queries: Tensor
    #: [1, 1 + N, token width], the mean token in front
    tokens: Tensor
    #: of the logit layer: [T, D] or [1, D], and [T] or [1]
    weight: Tensor
    bias: Tensor
    #: [1, T, W + 1], see `LabelState`
    match: Tensor | None = None

    def logits(self, tokens: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Logits [B, T].

        Args:
            tokens: others than the image's
            mask: bool [B, 1 + N], true where a token may be looked at; None = at all
        """
        seen = self.tokens if tokens is None else tokens
        h = self.queries
        for layer in self.layers:
            h = layer(h, seen, None, mask)
        return self.read(h, seen, mask)

    def read(self, h: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Logits [B, T] of label states [B, T, D]; arguments as of `logits`.

        What is compared with the mean token is compared with the mean of the tokens that may be
        looked at, so that each place has its part in it; of all of them it is the mean token.
        """
        logits = (h * self.weight).sum(-1) + self.bias
        if self.match is None:
            return logits
        places = (self.tokens if tokens is None else tokens)[:, 1:]
        if mask is None:
            mean = places.mean(1, keepdim=True)
        else:
            visible = mask[:, None, 1:].to(places.dtype)
            mean = visible @ places / visible.sum(-1, keepdim=True).clamp(min=1)
        return logits + match_logits(self.match, mean)


# Any: each family's network and label state are of its own kind
def open_decoding(network: Any, labels: object, images: Tensor) -> Decoding:
    """Everything behind the encoder, for a network of any family.

    Args:
        network: in evaluation mode
        labels: from its ``prepare``
        images: one normalised image [1, 3, S, S]
    """
    decoder = network.decoder
    with torch.inference_mode():
        tokens = network.encoder(images)
        if isinstance(labels, Descriptions):
            labels = decoder.prepare(network.queries(network.reweighting(tokens[:, 0], labels)))
        state = cast("LabelState | GroupwiseState", labels)
        queries = state.queries if state.queries.ndim == 3 else state.queries[None]
    match = None
    if isinstance(state, GroupwiseState):
        weight, bias = state.weight, state.bias
    else:
        weight, bias, match = decoder.logit.weight, decoder.logit.bias, state.match
    # What inference mode made cannot be part of a gradient; copies can.
    return Decoding(
        layers=list(decoder.layers),
        queries=queries.clone(),
        tokens=tokens.clone(),
        weight=weight.detach().clone(),
        bias=bias.detach().clone(),
        match=None if match is None else match.clone(),
    )


def attention(decoding: Decoding) -> Tensor:
    """Mean weights [T, N]."""
    with torch.no_grad():
        maps = torch.stack(_with_weights(decoding)[1])
    return maps.mean(dim=(0, 1, 2))[:, 1:]


def relevance(decoding: Decoding) -> Tensor:
    """Weights that raise the logit [T, N], not negative."""
    with torch.enable_grad():
        # tags do not interact, so the gradient of the sum holds each tag's own
        logits, maps = _with_weights(decoding, track=True)
        slopes = torch.autograd.grad(logits.sum(), maps)
    parts = [
        (slope * one).clamp(min=0).mean(dim=(0, 1)) for slope, one in zip(slopes, maps, strict=True)
    ]
    return torch.stack(parts).sum(0)[:, 1:].detach()


def gradient(decoding: Decoding) -> Tensor:
    """Gradient times token [T, N], of either sign."""
    num_tags = decoding.queries.shape[1]
    with torch.enable_grad():
        tokens = decoding.tokens.clone().requires_grad_()
        logits = decoding.logits(tokens)[0]
        parts = [
            torch.autograd.grad(logits[tag], tokens, retain_graph=tag < num_tags - 1)[0]
            for tag in range(num_tags)
        ]
    slopes = torch.cat(parts)
    return (slopes * decoding.tokens).sum(-1)[:, 1:].detach()


def occlusion(decoding: Decoding, columns: int, reach: int = 1) -> Tensor:
    """Fall of the logit [T, N] without the tokens around each place, of either sign.

    Args:
        decoding: of one image
        columns: of the grid of tokens
        reach: a block has 2 * reach + 1 tokens a side, fewer at the border
    """
    hidden = blocks(decoding.tokens.shape[1] - 1, columns, reach).to(decoding.tokens.device)
    visible = torch.cat([torch.ones_like(hidden[:, :1]), ~hidden], dim=1)
    with torch.no_grad():
        parts = [
            decoding.logits(mask=visible[start : start + AT_ONCE])
            for start in range(0, len(visible), AT_ONCE)
        ]
        return (decoding.logits() - torch.cat(parts)).T


def blocks(num_tokens: int, columns: int, reach: int) -> Tensor:
    """Which tokens belong to the block around each, bool [N, N].

    >>> blocks(4, 2, 0).int().tolist() == torch.eye(4, dtype=torch.int32).tolist()
    True
    """
    places = torch.arange(num_tokens)
    y, x = places // columns, places % columns
    return ((y[:, None] - y).abs() <= reach) & ((x[:, None] - x).abs() <= reach)


def _with_weights(decoding: Decoding, *, track: bool = False) -> tuple[Tensor, list[Tensor]]:
    """Logits [1, T] and the attention weights of every layer, [1, H, T, 1 + N]."""
    h, maps = decoding.queries, []
    for layer in decoding.layers:
        part: CrossAttention = layer.cross_attention
        weights = part.weights(part.query(h), decoding.tokens)
        if track and not weights.requires_grad:
            weights = weights.requires_grad_()
        maps.append(weights)
        h = layer.join(h, part.mix(weights, decoding.tokens))
    return decoding.read(h), maps
