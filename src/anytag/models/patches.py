"""How a Swin Transformer's tokens are made and made fewer: patches, then quads of tokens.

Source: Liu et al. 2021, arXiv 2103.14030, section 3.1. Parameter names are those of the released
files.

Shapes: B images, S side in pixels, R tokens along one side (N = R * R), C width.
"""

from __future__ import annotations

from torch import Tensor, nn

from anytag.models.linear import Linear


class PatchEmbed(nn.Module):
    """Non-overlapping patches -> normalised tokens (section 3.1)."""

    def __init__(self, patch_size: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] -> tokens [B, N, C], row by row."""
        output: Tensor = self.norm(self.proj(images).flatten(2).transpose(1, 2))
        return output


def group_quads(tokens: Tensor, resolution: int) -> Tensor:
    """Tokens [B, N, C] quad by quad, in the released order: down first, then right."""
    half = resolution // 2
    quads = tokens.reshape(-1, half, 2, half, 2, tokens.shape[-1])
    return quads.permute(0, 1, 3, 4, 2, 5).flatten(1, 4)


class PatchMerging(nn.Module):
    """Halve the grid and double the width (section 3.1)."""

    def __init__(self, dim: int, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, C] -> [B, N / 4, 2C]."""
        return self.merge(group_quads(tokens, self.resolution))

    def merge(self, tokens: Tensor) -> Tensor:
        """The same of tokens [B, N, C] that lie quad by quad."""
        quads = tokens.reshape(-1, tokens.shape[1] // 4, 4 * tokens.shape[-1])
        output: Tensor = self.reduction(self.norm(quads))
        return output
