"""Pixels to what a network takes: scaling, normalisation and axis order.

The published models were trained with CLIP's statistics and are run with ImageNet's
(`ram/data/__init__.py` against `ram/transform.py` of recognize-anything, Apache-2.0); for equal
results keep `IMAGENET` at inference.

Shapes: B images, S side in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anytag.errors import ConfigError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """Mean and standard deviation of red, green and blue, for values in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ConfigError(
                f"mean and std need three values each, found mean {self.mean}, std {self.std}"
            )
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ConfigError(
                "mean must be finite and std finite and above 0, "
                f"found mean {self.mean}, std {self.std}"
            )


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CLIP = Normalization(
    mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)
#: values become -1 to 1
HALF = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def normalize(pixels: Tensor | npt.NDArray[np.uint8], normalization: Normalization) -> Tensor:
    """Scale 8-bit RGB to [0, 1], subtract the mean and divide by the standard deviation.

    Args:
        pixels: uint8 [B, S, S, 3], an array or a tensor on any device; left unchanged.
        normalization: the statistics the network expects.

    Returns:
        float32 [B, 3, S, S], contiguous, on the device of ``pixels``.

    Raises:
        UsageError: another dtype or shape.

    >>> normalize(np.full((1, 2, 2, 3), 255, np.uint8), HALF).unique()
    tensor([1.])
    """
    if isinstance(pixels, np.ndarray):
        # torch warns about read-only arrays, as PIL gives them
        pixels = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        raise UsageError(
            "expected pixels uint8 [images, height, width, 3], "
            f"found {str(pixels.dtype).removeprefix('torch.')} {list(pixels.shape)}"
        )
    channels = pixels.permute(0, 3, 1, 2).contiguous().to(torch.float32)
    mean = torch.tensor(normalization.mean, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(normalization.std, device=pixels.device).view(3, 1, 1)
    # In this order and not as one multiply-add: equal bits to the published preprocessing.
    return channels.div_(255).sub_(mean).div_(std)
