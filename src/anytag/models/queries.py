"""Label queries: text embeddings of the tags through a linear layer and a ReLU.

Source: RAM (arXiv 2306.03514), section 4, "textual label queries". The text embeddings are
frozen; any tag that can be embedded can be asked for.

Shapes: T tags, E text width, D query width.
"""

from __future__ import annotations

import torch
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
