"""Swin Transformer (first version) without a classifier: the image backbone of RAM's family.

Source: Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
arXiv 2103.14030, section 3; written from the paper. Parameter names are those of the released
RAM, RAM++ and Tag2Text files below ``visual_encoder.``; masks and index tables are rebuilt, never
stored.

Shapes: B images, R tokens along one side of a stage (N = R * R), W windows of an image,
w window side, L = w * w tokens of a window, C stage width, H heads, D = C / H head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from anytag.errors import ConfigError, ModelError
from anytag.models.linear import Linear, in_inference
from anytag.models.patches import PatchEmbed, PatchMerging, group_quads
from anytag.models.windows import (
    WindowAttention,
    join_windows,
    partition_windows,
    shifted_strangers,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwinConfig:
    """Sizes of a Swin backbone."""

    #: side of the square input in pixels
    image_size: int
    #: width of the first stage; doubles with every stage
    embed_dim: int
    #: blocks of each stage
    depths: tuple[int, ...]
    #: attention heads of each stage
    num_heads: tuple[int, ...]
    #: side of an attention window in tokens
    window_size: int
    #: side of a patch in pixels
    patch_size: int = 4
    #: hidden width of the MLP over the width of its stage
    mlp_ratio: float = 4.0
    #: probability with which the last block is skipped in training; rises linearly from 0
    drop_path_rate: float = 0.1

    def __post_init__(self) -> None:
        if not self.depths or len(self.depths) != len(self.num_heads):
            raise ConfigError(
                f"swin: depths {self.depths} and num_heads {self.num_heads} must have one entry "
                "for each stage"
            )
        sizes = (self.image_size, self.embed_dim, self.window_size, self.patch_size)
        if min(*sizes, *self.depths, *self.num_heads) < 1 or self.mlp_ratio <= 0:
            raise ConfigError("swin: every size, depth and head count must be positive")
        if not 0.0 <= self.drop_path_rate < 1.0:
            raise ConfigError(f"swin: drop_path_rate {self.drop_path_rate} is outside [0, 1)")
        step = self.patch_size * 2 ** (len(self.depths) - 1)
        if self.image_size % step:
            raise ConfigError(
                f"swin: image_size {self.image_size} is not a multiple of {step} "
                f"(patch_size x 2 for each of {len(self.depths) - 1} mergings)"
            )
        for stage, heads in enumerate(self.num_heads):
            if self.width(stage) % heads:
                raise ConfigError(
                    f"swin: stage {stage} has width {self.width(stage)}, "
                    f"which {heads} heads do not divide"
                )
            if self.resolution(stage) % self.window(stage):
                raise ConfigError(
                    f"swin: stage {stage} has {self.resolution(stage)} tokens a side, which "
                    f"windows of {self.window_size} do not divide; choose image_size a multiple of "
                    f"{step * self.window_size}"
                )

    def width(self, stage: int) -> int:
        """Token width of a stage."""
        return int(self.embed_dim * 2**stage)

    def resolution(self, stage: int) -> int:
        """Tokens along one side of a stage."""
        return int(self.image_size // (self.patch_size * 2**stage))

    def window(self, stage: int) -> int:
        """Window side of a stage: a stage not larger than the window is one window."""
        return min(self.window_size, self.resolution(stage))

    @property
    def num_features(self) -> int:
        """Width of the output tokens."""
        return self.width(len(self.depths) - 1)

    @property
    def num_tokens(self) -> int:
        """Number of output tokens."""
        return self.resolution(len(self.depths) - 1) ** 2


def swin_base(image_size: int) -> SwinConfig:
    """Swin-B (87 M parameters, 47 GMAC at 384): the backbone of the released Tag2Text.

    Windows are 1/32 of the image side, so 224 -> 7 and 384 -> 12.
    """
    return SwinConfig(
        image_size=image_size,
        embed_dim=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=max(1, image_size // 32),
    )


def swin_large(image_size: int) -> SwinConfig:
    """Swin-L (195 M parameters, 104 GMAC at 384): the backbone of the released RAM and RAM++.

    Windows are 1/32 of the image side, so 224 -> 7 and 384 -> 12.
    """
    return SwinConfig(
        image_size=image_size,
        embed_dim=192,
        depths=(2, 2, 18, 2),
        num_heads=(6, 12, 24, 48),
        window_size=max(1, image_size // 32),
    )


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): in training, skip a branch for some of the images."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]: zero with probability ``rate``, else scaled to keep the mean."""
        if not self.training or self.rate == 0.0:
            return branch
        keep = branch.new_empty(branch.shape[0], 1, 1).bernoulli_(1.0 - self.rate)
        return branch * keep / (1.0 - self.rate)


class Mlp(nn.Module):
    """Linear, exact GELU, Linear: [..., C] -> [..., C]."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(dim, hidden)
        self.fc2 = Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Apply to each token by itself."""
        output: Tensor = self.fc2(self.fc1.gelu(tokens))
        return output


class SwinBlock(nn.Module):
    """One pre-norm block, with regular or shifted windows (section 3.2, eq. 3)."""

    def __init__(self, config: SwinConfig, stage: int, *, shifted: bool, drop_path: float) -> None:
        super().__init__()
        dim = config.width(stage)
        self.resolution = config.resolution(stage)
        self.window = config.window(stage)
        # One window holds everything: nothing to shift.
        shifted = shifted and self.resolution > config.window_size
        self.shift = self.window // 2 if shifted else 0
        strangers = (
            shifted_strangers(self.resolution, self.window, self.shift) if self.shift else None
        )
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, config.num_heads[stage], self.window, strangers)
        self.norm2 = nn.LayerNorm(dim)
        # A hair more: 129 / 48 * 48 must not become 128.
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio + 1e-6))
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, C] -> [B, N, C]."""
        tokens = tokens + self.drop_path(self._attend(self.norm1(tokens)))
        output: Tensor = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        return output

    def in_windows(self, tokens: Tensor) -> Tensor:
        """What `forward` does in inference, on tokens [B, N, C] that lie as `window_order` says."""
        windows = self.norm1(tokens).reshape(len(tokens), -1, self.window**2, tokens.shape[-1])
        tokens = tokens + self.attn(windows).flatten(1, 2)
        output: Tensor = tokens + self.mlp(self.norm2(tokens))
        return output

    def _attend(self, tokens: Tensor) -> Tensor:
        grid = tokens.reshape(tokens.shape[0], self.resolution, self.resolution, -1)
        if self.shift:
            grid = grid.roll((-self.shift, -self.shift), (1, 2))
        grid = join_windows(self.attn(partition_windows(grid, self.window)), self.window)
        if self.shift:
            grid = grid.roll((self.shift, self.shift), (1, 2))
        return grid.flatten(1, 2)


def window_order(resolution: int, window: int, shift: int) -> Tensor:
    """For each token of a grid that lies window by window, its place row by row: [N] int64."""
    places = torch.arange(resolution**2, device="cpu").reshape(1, resolution, resolution, 1)
    return partition_windows(places.roll((-shift, -shift), (1, 2)), window).flatten()


class SwinStage(nn.Module):
    """The blocks of one resolution, then the step to the next one, if there is one.

    In inference the tokens lie window by window, and are put into the next block's order at once:
    one copy for a block instead of two, or of four with a shift. LayerNorm and MLP see each token
    by itself and do not mind.
    """

    def __init__(self, config: SwinConfig, stage: int, drop_path: list[float]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(config, stage, shifted=number % 2 == 1, drop_path=rate)
            for number, rate in enumerate(drop_path)
        )
        last = stage == len(config.depths) - 1
        dim, resolution = config.width(stage), config.resolution(stage)
        self.downsample = None if last else PatchMerging(dim, resolution)
        rows = torch.arange(resolution**2, device="cpu")
        orders = [rows]
        for block in cast("list[SwinBlock]", list(self.blocks)):
            orders.append(window_order(resolution, block.window, block.shift))
        orders.append(rows if last else group_quads(rows[None, :, None], resolution)[0, :, 0])
        for number, (old, new) in enumerate(pairwise(orders)):
            move = None if torch.equal(old, new) else old.argsort()[new]
            self.register_buffer(f"move{number}", move, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, C] -> [B, N / 4, 2C], or [B, N, C] in the last stage."""
        if in_inference():
            return self._in_windows(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens if self.downsample is None else self.downsample(tokens)

    def _in_windows(self, tokens: Tensor) -> Tensor:
        for number, block in enumerate(cast("list[SwinBlock]", list(self.blocks))):
            tokens = block.in_windows(self._move(tokens, number))
        tokens = self._move(tokens, len(self.blocks))
        return tokens if self.downsample is None else self.downsample.merge(tokens)

    def _move(self, tokens: Tensor, number: int) -> Tensor:
        move = cast("Tensor | None", getattr(self, f"move{number}"))
        return tokens if move is None else tokens.index_select(1, move)


class Swin(nn.Module):
    """Swin backbone: images -> normalised tokens of the last stage."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        self.num_features = config.num_features
        self.patch_embed = PatchEmbed(config.patch_size, config.embed_dim)
        blocks = sum(config.depths)
        rates = [config.drop_path_rate * i / max(1, blocks - 1) for i in range(blocks)]
        self.layers = nn.ModuleList()
        for stage, depth in enumerate(config.depths):
            self.layers.append(SwinStage(config, stage, rates[:depth]))
            rates = rates[depth:]
        self.norm = nn.LayerNorm(config.num_features)
        self.apply(_init_linear)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S], normalised -> tokens [B, N, C], row by row.

        Raises:
            ModelError: the images are not of the size the model was built for.
        """
        size = self.config.image_size
        if images.shape[1:] != (3, size, size):
            raise ModelError(
                f"this Swin was built for images [B, 3, {size}, {size}], got "
                f"{list(images.shape)}; resize them, or build it with another image_size"
            )
        tokens = self.patch_embed(images)
        for stage in self.layers:
            tokens = stage(tokens)
        output: Tensor = self.norm(tokens)
        return output


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
