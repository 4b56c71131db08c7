"""Tag-guided captioner: tags and image become a memory, from which a caption is written.

Sources: Tag2Text (arXiv 2303.05657), section 3, "image-tag interaction encoder" and "image-tag-text
generation"; RAM (arXiv 2306.03514), section 4, has the same branch. The search for a caption is in
`anytag.models.generation`.

Shapes: B images, N image tokens, M tag text tokens, L caption tokens, V vocabulary, D width,
H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anytag.models.config import CaptionerConfig
from anytag.models.layers import DecoderLayer
from anytag.models.text_layers import KeyValues, TextEmbeddings, TextLayer


class TagEncoder(nn.Module):
    """Tag text that looks at the image: [B, M] int64 and [B, N, width] -> memory [B, M, D]."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.layers = nn.ModuleList(
            TextLayer(config, config.token_width, owns_cross=i >= config.num_shared_layers)
            for i in range(config.num_layers)
        )

    def forward(
        self, ids: Tensor, mask: Tensor, tokens: Tensor, shared: Sequence[nn.Module] = ()
    ) -> Tensor:
        """Encode tag texts.

        Args:
            ids: [B, M] int64, padded
            mask: [B, M], 1 or True where there is text
            tokens: image tokens [B, N, token_width], mean token included
            shared: the layers of the tagging decoder, where the first layers borrow from it

        Returns:
            memory [B, M, D], padding positions included
        """
        h: Tensor = self.embeddings(ids)
        visible = mask.bool()[:, None, None, :]
        for number, module in enumerate(self.layers):
            layer = cast(TextLayer, module)
            cross = cast(DecoderLayer, shared[number]) if number < len(shared) else None
            h, _ = layer(h, layer.look_at(tokens, cross), visible, None, cross)
        return h


@dataclass(frozen=True, slots=True)
class DecoderState:
    """What a text decoder remembers between two steps."""

    #: keys and values of the memory, of each layer
    context: tuple[KeyValues, ...]
    #: keys and values of the tokens so far, of each layer; empty before the first step
    past: tuple[KeyValues, ...] = ()

    @property
    def length(self) -> int:
        """Number of tokens so far."""
        return self.past[0][0].shape[2] if self.past else 0

    def reorder(self, rows: Tensor) -> DecoderState:
        """Go on with these rows [B] of the past; row i must have the memory of row ``rows[i]``."""
        past = tuple((keys[rows], values[rows]) for keys, values in self.past)
        return DecoderState(self.context, past)


class TextDecoder(nn.Module):
    """Writes a text token by token, looking at a memory."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.layers = nn.ModuleList(
            TextLayer(config, config.hidden, owns_cross=True) for _ in range(config.num_layers)
        )
        self.transform = nn.Linear(config.hidden, config.hidden)
        self.transform_norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def start(self, memory: Tensor) -> DecoderState:
        """Before the first token: a memory [B, M, D] is projected once for all steps."""
        return DecoderState(tuple(cast(TextLayer, x).look_at(memory) for x in self.layers))

    def step(
        self, ids: Tensor, state: DecoderState, mask: Tensor | None = None
    ) -> tuple[Tensor, DecoderState]:
        """Read tokens [B, L] that follow those of ``state``: logits [B, L, V] and the new state.

        Args:
            ids: [B, L] int64
            state: what was read before
            mask: [B, past + L], 1 or True where there is text; None = everywhere
        """
        length, before = ids.shape[1], state.length
        h = self.embeddings(ids, before)
        visible = torch.ones(length, before + length, dtype=torch.bool, device=ids.device)
        visible = visible.tril(before)[None, None]
        if mask is not None:
            visible = visible & mask.bool()[:, None, None, :]
        past = []
        for number, layer in enumerate(self.layers):
            known = state.past[number] if state.past else None
            h, new = layer(h, state.context[number], visible, known)
            past.append(new)
        h = self.transform_norm(F.gelu(self.transform(h)))
        logits = F.linear(h, self.embeddings.words.weight, self.bias)
        return logits, DecoderState(state.context, tuple(past))

    def forward(self, ids: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits [B, L, V] of each next token, for texts [B, L] given whole (teacher forcing)."""
        logits, _ = self.step(ids, self.start(memory), mask)
        return logits


class Captioner(nn.Module):
    """Tag encoder and text decoder."""

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TagEncoder(config)
        self.decoder = TextDecoder(config)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
