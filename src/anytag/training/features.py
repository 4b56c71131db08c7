"""A backbone cut below its first trained part: what lies below gives a view the same features in
every epoch, so that they can be kept (`feature_cache`).

Frozen parts are in evaluation mode: what is kept equals what would be computed, up to its type.

Shapes: B images, S side in pixels, N image tokens, C channels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anytag.errors import ConfigError
from anytag.models.mobilenet import MobileNetV2
from anytag.training.blocks import in_chunks, is_frozen


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where a backbone is cut."""

    backbone: nn.Module
    #: blocks below the cut; None = all of the backbone is
    num_blocks: int | None

    def lower(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, S, S] to what is kept: a feature map, or tokens [B, N, C]."""
        if isinstance(self.backbone, MobileNetV2) and self.num_blocks is not None:
            backbone, num_blocks = self.backbone, self.num_blocks
            return in_chunks(lambda part: backbone.lower(part, num_blocks), images)
        return in_chunks(self.backbone, images)

    def upper(self, features: Tensor) -> Tensor:
        """What is kept to tokens [B, N, C]."""
        if isinstance(self.backbone, MobileNetV2) and self.num_blocks is not None:
            backbone, num_blocks = self.backbone, self.num_blocks
            return in_chunks(lambda part: backbone.upper(part, num_blocks), features)
        return features

    @torch.inference_mode()
    def shape(self, image_size: int) -> tuple[int, ...]:
        """Of what is kept of one picture."""
        weight = next(self.backbone.parameters())
        images = torch.zeros(1, 3, image_size, image_size, device=weight.device)
        return tuple(self.lower(images).shape[1:])

    def hash(self) -> str:
        """Of the weights below the cut."""
        trained = {name for name, one in self.backbone.named_parameters() if one.requires_grad}
        digest = hashlib.sha256()
        for name, values in self.backbone.state_dict().items():
            if name not in trained:
                digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
                digest.update(values.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def cut_backbone(backbone: nn.Module) -> Cut:
    """Cut a backbone whose frozen parts are chosen (`anytag.training.blocks.set_trainable`).

    Raises:
        ConfigError: it is trained from its beginning on, or it is trained in part and is none of
            those that can be cut between blocks
    """
    if is_frozen(backbone):
        return Cut(backbone=backbone, num_blocks=None)
    if not isinstance(backbone, MobileNetV2):
        raise ConfigError(
            f"data.cached_views: {type(backbone).__name__} is frozen in part, and only nano's "
            "MobileNetV2 can be cut between its blocks; set model.num_trainable_blocks to 0 "
            "(all of the backbone is frozen) or data.cached_views to null"
        )
    if not is_frozen(backbone.stem):
        raise ConfigError(
            "data.cached_views: the backbone is trained from its beginning on, so nothing of it "
            "can be kept; set model.num_trainable_blocks, or data.cached_views to null"
        )
    frozen = [is_frozen(block) for block in backbone.blocks]
    return Cut(backbone=backbone, num_blocks=[*frozen, False].index(False))
