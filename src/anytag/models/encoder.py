"""Image encoder: backbone tokens, their mean in front, one projection for all of them.

Source: RAM (arXiv 2306.03514), section 4 and figure 3. The mean token plays the part of a class
token: it is what RAM distils from CLIP, and one of the keys of the tagging decoder.

Shapes: B images, N image tokens of the backbone, C backbone width, D token width.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from anytag.errors import ConfigError, MissingExtraError
from anytag.models.config import EncoderConfig
from anytag.models.linear import Linear
from anytag.models.mobilenet import MobileNetV2


class TimmBackbone(nn.Module):
    """Any timm model whose ``forward_features`` gives [B, N, C] or a feature map.

    Raises:
        MissingExtraError: timm is not installed
        ConfigError: timm knows no such model
    """

    def __init__(self, name: str, image_size: int) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise MissingExtraError("timm", "timm") from error
        try:
            sized = {"img_size": image_size}
            try:
                self.model = timm.create_model(name, pretrained=False, num_classes=0, **sized)
            except TypeError:  # convolutional models take any size and no such argument
                self.model = timm.create_model(name, pretrained=False, num_classes=0)
        except RuntimeError as error:
            raise ConfigError(f"timm has no model {name!r}: {error}") from error
        self.num_features = int(self.model.num_features)
        #: class and register tokens stand in front; they are no image tokens
        self.num_prefix_tokens = int(getattr(self.model, "num_prefix_tokens", 0))

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, N, C]."""
        features = cast(Tensor, self.model.forward_features(images))
        if features.ndim == 4:  # channels last (Swin) or first (convolutional)
            channels_last = features.shape[-1] == self.num_features
            features = features.flatten(1, 2) if channels_last else features.flatten(2).mT
        return features[:, self.num_prefix_tokens :]


def build_backbone(config: EncoderConfig) -> nn.Module:
    """The backbone that ``config`` names: images [B, 3, S, S] -> tokens [B, N, C].

    Raises:
        ConfigError: no such backbone
        MissingExtraError: a timm backbone without timm
    """
    if config.backbone == "mobilenet_v2":
        return MobileNetV2()
    if config.backbone in ("swin_base", "swin_large"):
        from anytag.models.swin import Swin, swin_base, swin_large

        preset = swin_base if config.backbone == "swin_base" else swin_large
        return Swin(preset(config.image_size))
    if config.backbone.startswith("timm:"):
        return TimmBackbone(config.backbone.removeprefix("timm:"), config.image_size)
    raise ConfigError(
        f"unknown backbone {config.backbone!r}: expected mobilenet_v2, swin_base, swin_large "
        "or timm:NAME"
    )


class ImageEncoder(nn.Module):
    """Images to tokens with the mean token in front.

    Args:
        config: sizes
        backbone: a module with ``num_features``, giving [B, N, C]; built from ``config`` if None
    """

    def __init__(self, config: EncoderConfig, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = build_backbone(config) if backbone is None else backbone
        width = cast(int, self.backbone.num_features)
        self.token_width = config.token_width or width
        self.projection: nn.Module = (
            Linear(width, config.token_width) if config.token_width else nn.Identity()
        )

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, S, S] -> tokens [B, 1+N, D]; index 0 is the mean."""
        return self.project(self.backbone(images))

    def project(self, tokens: Tensor) -> Tensor:
        """Backbone tokens [B, N, C] -> [B, 1+N, D]."""
        mean = tokens.mean(dim=1, keepdim=True)
        projected: Tensor = self.projection(torch.cat([mean, tokens], dim=1))
        return projected
