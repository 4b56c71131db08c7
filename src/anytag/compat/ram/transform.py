"""PIL image -> the tensor that a network takes; no torchvision."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from anytag.data.transforms import IMAGENET, normalize
from anytag.errors import UsageError


class Transform:
    """8-bit RGB, a square whatever the shape was, bilinear with antialiasing, ImageNet statistics.

    Exactly the published steps. Unlike `anytag.Tagger` it leaves the EXIF orientation alone, and an
    alpha channel is dropped instead of laid on white.
    """

    def __init__(self, image_size: int) -> None:
        if image_size < 1:
            raise UsageError(f"image_size must be at least 1, found {image_size}")
        #: S
        self.image_size = image_size

    def __call__(self, image: Image.Image) -> Tensor:
        """Float32 [3, S, S].

        Raises:
            UsageError: no PIL image
        """
        if not isinstance(image, Image.Image):
            raise UsageError(f"expected a PIL image, found {type(image).__name__}")
        size = (self.image_size, self.image_size)
        square = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        return normalize(np.array(square)[None], IMAGENET)[0]

    def __repr__(self) -> str:
        return f"Transform(image_size={self.image_size})"


def get_transform(image_size: int = 384) -> Transform:
    """The transform for images of this side."""
    return Transform(image_size)
