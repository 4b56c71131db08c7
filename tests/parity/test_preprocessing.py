"""Pixels as the public code prepares them, bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from anytag.data.images import load_image
from anytag.data.transforms import IMAGENET, normalize

pytestmark = pytest.mark.parity

GOLDEN = Path(__file__).parents[1] / "golden/preprocess"
INPUTS = load_file(GOLDEN / "inputs.safetensors")


@pytest.mark.parametrize("key", sorted(INPUTS))
def test_preprocessing(key: str) -> None:
    name, array = key.partition(".")[0], INPUTS[key]
    if name == "img_rgba":  # on purpose different: the public code drops alpha, we lay it on white
        array = array[:, :, :3]
    pixels = load_image(array, size=48, exact=True).pixels
    expected = load_file(GOLDEN / "outputs.safetensors")[f"{name}.out"]
    np.testing.assert_array_equal(normalize(pixels[None], IMAGENET)[0].numpy(), expected)
