"""The tagging network: image encoder, label queries, tagging decoder.

Source: RAM (arXiv 2306.03514), figure 3. The captioning branch is there where the configuration has
one; tagging does not use it.

Shapes: B images, S image side, N image tokens, T tags, E text width, D width.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from anytag.models.captioner import Captioner
from anytag.models.config import TaggerConfig
from anytag.models.decoder import LabelState, TaggingDecoder
from anytag.models.encoder import ImageEncoder
from anytag.models.layers import init_bert_
from anytag.models.queries import LabelMatch, LabelQueries


class TaggingNetwork(nn.Module):
    """Images and text embeddings to logits.

    Example:
        >>> import torch
        >>> from anytag.models.config import nano
        >>> network = TaggingNetwork(nano(image_size=64)).eval()
        >>> labels = network.prepare(torch.randn(5, 128))
        >>> network(torch.randn(2, 3, 64, 64), labels).shape
        torch.Size([2, 5])
    """

    def __init__(self, config: TaggerConfig, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = ImageEncoder(config.encoder, backbone)
        self.queries = LabelQueries(config.text_width, config.decoder.hidden)
        self.decoder = TaggingDecoder(config.decoder, self.encoder.token_width)
        self.match = None
        if config.match_inner is not None:
            self.match = LabelMatch(config.text_width, config.match_inner, self.encoder.token_width)
        for part in (self.encoder.projection, self.queries, self.decoder):
            init_bert_(part)
        self.captioner = None if config.captioner is None else Captioner(config.captioner)

    def prepare(self, text_embeddings: Tensor) -> LabelState:
        """Text embeddings [T, E] -> the label state, computed once per label set."""
        state = self.decoder.prepare(self.queries(text_embeddings))
        if self.match is None:
            return state
        match = self.match(text_embeddings)
        return replace(state, match=match[None] if match.ndim == 2 else match)

    def forward(self, images: Tensor, labels: LabelState) -> Tensor:
        """Normalised images [B, 3, S, S] -> logits [B, T]."""
        logits: Tensor = self.decoder(labels, self.encoder(images))
        return logits
