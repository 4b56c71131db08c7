"""MobileNetV2 1.0 (Sandler et al., CVPR 2018), the backbone of the embedded model.

Inference form: BatchNorm is folded into the convolutions, padding is TensorFlow's "same" (the
released ImageNet weights come from there). Output: the last feature map as tokens.

Shapes: B images, N image tokens, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: expansion, output channels, repeats, stride of the first repeat (table 2 of the paper)
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, HEAD = 32, 1280


class Conv(nn.Conv2d):
    """Convolution with bias, "same" padding and an optional ReLU6."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int, groups: int, relu: bool
    ) -> None:
        # Stride 1 pads evenly; stride 2 pads only below and right when the side is even.
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(c_in, c_out, kernel, stride, padding, groups=groups)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, H, W] -> [B, C_out, ceil(H/stride), ceil(W/stride)]."""
        if self.stride[0] > 1:
            below, right = (
                max((-(-side // step) - 1) * step + kernel - side, 0)
                for side, step, kernel in zip(
                    x.shape[-2:], self.stride, self.kernel_size, strict=True
                )
            )
            x = F.pad(x, (right // 2, right - right // 2, below // 2, below - below // 2))
        x = super().forward(x)
        return F.relu6(x) if self.relu else x


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; residual where the shape is kept."""

    def __init__(self, c_in: int, c_out: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = c_in * expansion
        self.expand = Conv(c_in, inner, 1, 1, 1, relu=True) if expansion > 1 else None
        self.depthwise = Conv(inner, inner, 3, stride, inner, relu=True)
        self.project = Conv(inner, c_out, 1, 1, 1, relu=False)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """[B, C_in, H, W] -> [B, C_out, H/stride, W/stride]."""
        inner = x if self.expand is None else self.expand(x)
        out: Tensor = self.project(self.depthwise(inner))
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """Image [B, 3, H, W] to tokens [B, ceil(H/32) * ceil(W/32), 1280]."""

    num_features = HEAD

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, STEM, 3, 2, 1, relu=True)
        blocks: list[nn.Module] = []
        channels = STEM
        for expansion, c_out, repeats, stride in STAGES:
            for repeat in range(repeats):
                blocks.append(
                    InvertedResidual(channels, c_out, expansion, stride if repeat == 0 else 1)
                )
                channels = c_out
        self.blocks = nn.Sequential(*blocks)
        self.head = Conv(channels, HEAD, 1, 1, 1, relu=True)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, N, 1280], row by row."""
        features: Tensor = self.head(self.blocks(self.stem(images)))
        return features.flatten(2).transpose(1, 2)

    def lower(self, images: Tensor, num_blocks: int) -> Tensor:
        """Stem and first blocks: [B, 3, H, W] -> a feature map [B, C, h, w]."""
        features: Tensor = self.stem(images)
        for block in list(self.blocks)[:num_blocks]:
            features = block(features)
        return features

    def upper(self, features: Tensor, num_blocks: int) -> Tensor:
        """All that comes behind ``lower`` of as many blocks: [B, C, h, w] -> [B, N, 1280]."""
        for block in list(self.blocks)[num_blocks:]:
            features = block(features)
        features = self.head(features)
        return features.flatten(2).transpose(1, 2)


def from_timm(state: Mapping[str, Tensor], eps: float = 1e-3) -> dict[str, Tensor]:
    """Weights of timm's ``mobilenetv2_100`` with BatchNorm folded into the convolutions.

    Args:
        state: timm's state dict; the classifier is left out
        eps: BatchNorm epsilon of that model (timm uses 1e-3 for TensorFlow weights)

    Returns:
        a state dict of `MobileNetV2`, float32
    """
    folded: dict[str, Tensor] = {}

    def fold(ours: str, conv: str, norm: str) -> None:
        scale = state[f"{norm}.weight"].float() * torch.rsqrt(
            state[f"{norm}.running_var"].float() + eps
        )
        folded[f"{ours}.weight"] = state[f"{conv}.weight"].float() * scale[:, None, None, None]
        folded[f"{ours}.bias"] = (
            state[f"{norm}.bias"].float() - state[f"{norm}.running_mean"].float() * scale
        )

    fold("stem", "conv_stem", "bn1")
    fold("head", "conv_head", "bn2")
    position = 0
    for stage, (expansion, _, repeats, _) in enumerate(STAGES):
        # timm's block without expansion has no pointwise convolution in front.
        parts = ("expand", "depthwise", "project") if expansion > 1 else ("depthwise", "project")
        convs = ("conv_pw", "conv_dw", "conv_pwl") if expansion > 1 else ("conv_dw", "conv_pw")
        for repeat in range(repeats):
            for number, (part, conv) in enumerate(zip(parts, convs, strict=True), start=1):
                prefix = f"blocks.{stage}.{repeat}"
                fold(f"blocks.{position}.{part}", f"{prefix}.{conv}", f"{prefix}.bn{number}")
            position += 1
    return folded
