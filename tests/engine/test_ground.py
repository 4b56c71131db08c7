"""Detectors find what was painted where it was painted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anytag.engine.ground import (
    WINDOWS,
    AttentionDetector,
    Region,
    WindowDetector,
    attended_box,
    best_regions,
    crop,
)
from anytag.inference.tagger import Tagger


def quarters() -> Image.Image:
    """Red top left, green bottom right, the rest black."""
    image = Image.new("RGB", (200, 100))
    image.paste((255, 0, 0), (0, 0, 100, 50))
    image.paste((0, 255, 0), (100, 50, 200, 100))
    return image


class Colors:
    """Scores red, green and blue by their share of the picture."""

    image_size = 8

    def score(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels.reshape(len(pixels), -1, 3).mean(axis=1) / 256).astype(np.float32)


def test_windows() -> None:
    tagger: Any = Colors()
    found = WindowDetector(tagger).detect(quarters(), [1, 0])
    boxes = {region.tag: region.box for region in found}
    assert boxes == {0: (0.0, 0.0, 0.5, 0.5), 1: (0.5, 0.5, 1.0, 1.0)}
    assert all(region.score > 0.9 for region in found)
    assert [one.tag for one in WindowDetector(tagger, 0.5).detect(quarters(), [1, 2])] == [1]


def test_windows_cover_the_picture() -> None:
    seen = np.zeros((20, 20), int)
    for left, top, right, bottom in WINDOWS:
        assert 0 <= left < right <= 1.0000001
        seen[round(top * 20) : round(bottom * 20), round(left * 20) : round(right * 20)] += 1
    assert seen.min() >= 1


def test_crop() -> None:
    image = quarters()
    assert (crop(image, (0.0, 0.0, 0.5, 0.5), 4) == [255, 0, 0]).all()
    assert (crop(image, (0.5, 0.5, 1.0, 1.0), 4) == [0, 255, 0]).all()
    assert crop(image, (0.999, 0.999, 1.0, 1.0), 4).shape == (4, 4, 3)  # less than a pixel
    assert crop(Image.new("RGB", (1, 1)), (1.0, 1.0, 1.0, 1.0), 4).shape == (4, 4, 3)


def test_attended_box() -> None:
    attention = np.zeros((4, 8), np.float32)
    attention[0, 0] = 1.0  # the maximum, alone
    attention[1:3, 4:7] = 0.6  # six cells
    attention[3, 7] = 0.9  # touches them by a corner only
    box, share = attended_box(attention)
    assert box == (0.5, 0.25, 0.875, 0.75)
    assert share == pytest.approx(3.6 / 5.5)


def test_attention_of_a_model(tiny_model: Path) -> None:
    tagger = Tagger.from_pretrained(tiny_model)
    maps = tagger.attention(tagger.load(np.asarray(quarters())).pixels[None])
    assert maps.shape == (1, 5, 2, 2)
    assert (maps > 0).all()
    assert (maps.sum(axis=(2, 3)) < 1).all()  # the mean token has its share
    found = AttentionDetector(tagger).detect(quarters(), [3, 0])
    assert [region.tag for region in found] == [3, 0]
    assert all(0 < region.score <= 1 for region in found)
    assert AttentionDetector(tagger, 1.1).detect(quarters(), [3, 0]) == []


def test_best_regions() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    regions = [Region(1, box, 0.2), Region(0, box, 0.1), Region(1, box, 0.9), Region(1, box, 0.5)]
    kept = best_regions(regions, 2)
    assert [(one.tag, one.score) for one in kept] == [(0, 0.1), (1, 0.9), (1, 0.5)]


def test_look_agrees_with_score(tiny_model: Path) -> None:
    tagger = Tagger.from_pretrained(tiny_model)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3)).astype(np.uint8)
    scores, means = tagger.look(pixels)
    np.testing.assert_allclose(scores, tagger.score(pixels), atol=1e-6)
    assert means.shape == (5, 24)
    assert len(np.unique(means, axis=0)) == 5
    assert tagger.look(pixels[:0])[1].shape == (0, 24)


@pytest.mark.parametrize("family", ["ram", "ram_plus", "tag2text"])
def test_look_of_released_models(released_models: dict[str, Path], family: str) -> None:
    tagger = Tagger.from_pretrained(released_models[family])
    side = tagger.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.uint8)
    scores, means = tagger.look(pixels)
    np.testing.assert_allclose(scores, tagger.score(pixels), atol=1e-6)
    assert np.isfinite(means).all()
