"""Label queries: text embeddings of the tags through a linear layer and a ReLU.

Source: RAM (arXiv 2306.03514), section 4, "textual label queries". The text embeddings are
frozen; any tag that can be embedded can be asked for.

`LabelMatch` is ours, not RAM's: beside the decoder, a tag's text is compared with the image's mean
token, as in CLIP. It lets a small network tell hundreds of similar things apart; what it costs is
spent once per tag list.

Shapes: T tags, E text width, D query width, W token width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LabelQueries(nn.Module):
    """Text embeddings [T, E] -> label queries [T, D]."""

    def __init__(self, text_width: int, hidden: int) -> None:
        super().__init__()
        self.projection = nn.Linear(text_width, hidden)

    def forward(self, text_embeddings: Tensor) -> Tensor:
        """[..., T, E] -> [..., T, D]."""
        queries: Tensor = torch.relu(self.projection(text_embeddings))
        return queries


class LabelMatch(nn.Module):
    """Text embeddings [T, E] -> what the mean token is compared with, [T, W + 1]; bias last.

    Args:
        text_width: E
        inner: width of the hidden layer
        token_width: W
    """

    def __init__(self, text_width: int, inner: int, token_width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(text_width, inner)
        self.reduce = nn.Linear(inner, token_width + 1)
        # a step of Adam then moves a logit no more than through the other layers
        self.scale = inner**-0.5
        nn.init.normal_(self.expand.weight)  # text embeddings have length 1
        nn.init.zeros_(self.reduce.weight)  # at first it adds nothing
        nn.init.zeros_(self.reduce.bias)

    def forward(self, text_embeddings: Tensor) -> Tensor:
        """[..., T, E] -> [..., T, W + 1]."""
        inner = F.gelu(self.expand(text_embeddings)) * self.scale
        output: Tensor = self.reduce(inner)
        return output
