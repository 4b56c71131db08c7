from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from anytag.data.transforms import CLIP, HALF, IMAGENET, Normalization, normalize
from anytag.errors import ConfigError, UsageError


@pytest.mark.parametrize("normalization", [IMAGENET, CLIP, HALF])
def test_values_and_axis_order(normalization: Normalization) -> None:
    """Against the formula in float64, value by value; height and width differ on purpose."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    result = normalize(pixels, normalization)
    assert result.shape == (2, 3, 5, 7)
    assert result.dtype == torch.float32
    assert result.is_contiguous()
    for channel in range(3):
        expected = pixels[..., channel] / 255 - normalization.mean[channel]
        expected = expected / normalization.std[channel]
        np.testing.assert_allclose(result[:, channel].numpy(), expected, atol=1e-6)


def test_half_gives_minus_one_to_one() -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    assert normalize(pixels, HALF)[0, 0, 0].tolist() == [-1, 1]


def test_array_and_tensor_agree_and_input_is_unchanged() -> None:
    array = np.random.default_rng(1).integers(0, 256, (1, 4, 4, 3), np.uint8)
    before = array.copy()
    from_array = normalize(array, IMAGENET)
    assert torch.equal(from_array, normalize(torch.from_numpy(array), IMAGENET))
    np.testing.assert_array_equal(array, before)


def test_read_only_array_gives_no_warning() -> None:
    array = np.zeros((1, 2, 2, 3), np.uint8)
    array.flags.writeable = False
    assert (normalize(array, HALF) == -1).all()


def test_no_images() -> None:
    assert normalize(np.zeros((0, 4, 4, 3), np.uint8), HALF).shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.zeros((1, 2, 2, 3), np.float32), r"float32 \[1, 2, 2, 3\]"),
        (torch.zeros(1, 2, 2, 3), "float32"),
        (np.zeros((2, 2, 3), np.uint8), r"uint8 \[2, 2, 3\]"),
        (np.zeros((1, 3, 2, 2), np.uint8), r"uint8 \[1, 3, 2, 2\]"),
    ],
)
def test_wrong_input(pixels: Any, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        normalize(pixels, IMAGENET)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5, 0.5), (0.5, 0.5, 0.5), "three values"),
        ((0.5, 0.5, 0.5), (0.5, 0.0, 0.5), "above 0"),
        ((0.5, float("nan"), 0.5), (0.5, 0.5, 0.5), "finite"),
    ],
)
def test_wrong_statistics(mean: Any, std: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Normalization(mean=mean, std=std)
