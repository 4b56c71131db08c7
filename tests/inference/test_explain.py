"""Explanations of models of every family, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from anytag import Tagger
from anytag.errors import ImageError, LabelError, ModelError, UsageError
from anytag.inference.explain import METHODS, Explainer, Explanation, scale
from anytag.inference.heatmap import attended_box, peak, stretch, strongest_box
from anytag.inference.overlay import LONGEST, colours, overlay

FAMILIES = ("ram", "ram_plus", "tag2text")


@pytest.fixture(scope="module")
def tagger(tiny_model: Path) -> Tagger:
    return Tagger.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    random = np.random.default_rng(3)
    pixels = Image.fromarray(random.integers(0, 256, (6, 9, 3), np.uint8))
    return pixels.resize((90, 60), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("method", METHODS)
def test_a_heatmap_of_the_photos_size(tagger: Tagger, photo: Image.Image, method: str) -> None:
    heat = tagger.explain(photo, "dog", method=method)
    assert (heat.shape, heat.dtype) == ((60, 90), np.float32)
    assert heat.min() >= 0
    assert heat.max() == pytest.approx(1, abs=0.02) or not heat.any()
    (one,) = Explainer(tagger, ["dog"], method)(photo)
    np.testing.assert_array_equal(heat, one.heatmap)
    assert one.grid.shape == (2, 2)  # 64 pixels, 32 a token


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_released_models(
    released_models: dict[str, Path], photo: Image.Image, family: str, method: str
) -> None:
    tagger = Tagger.from_pretrained(released_models[family])
    names = [label.name for label in tagger.labels][:3]
    result = tagger.with_tags(names)(photo)
    assert result.scores is not None
    found = Explainer(tagger, names, method)(photo)
    assert [one.tag for one in found] == names
    np.testing.assert_allclose([one.score for one in found], result.scores, atol=1e-5)
    assert any(one.grid.max() == 1 for one in found)
    # a tag has the same map whatever else is asked
    (alone,) = Explainer(tagger, names[2:], method)(photo)
    np.testing.assert_allclose(alone.grid, found[2].grid, atol=1e-4)


def test_what_cannot_be_explained(
    tagger: Tagger, released_models: dict[str, Path], photo: Image.Image
) -> None:
    with pytest.raises(UsageError, match="unknown method 'magic': expected occlusion, gradient"):
        tagger.explain(photo, "dog", method="magic")
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        tagger.explain("missing.jpg", "dog")
    with pytest.raises(LabelError, match="zyzzyva"):
        Tagger.from_pretrained(released_models["tag2text"]).explain(photo, "zyzzyva")
    exported = SimpleNamespace(model=object(), card=SimpleNamespace(name="some"))
    with pytest.raises(ModelError, match="some: exported models give no explanations"):
        Explainer(cast(Any, exported), ["dog"])


def test_scale() -> None:
    assert scale(np.array([[-3.0, 1.0], [4.0, 0.0]], np.float32)).tolist() == [[0, 0.25], [1, 0]]
    assert scale(np.array([[-3.0, -1.0]], np.float32)).tolist() == [[0, 0]]


def test_boxes_around_connected_parts() -> None:
    grid = np.zeros((4, 5), np.float32)
    grid[0, 0] = 1.0  # stronger, but one cell
    grid[0, 1] = 0.2
    grid[2, 2:4] = 0.6
    grid[3, 3] = 0.5
    grid[3, 4] = 0.19
    assert attended_box(grid)[0] == (2 / 5, 2 / 4, 4 / 5, 1.0)
    assert strongest_box(grid) == (0.0, 0.0, 2 / 5, 1 / 4)
    assert strongest_box(grid, 0.5) == (0.0, 0.0, 1 / 5, 1 / 4)
    assert strongest_box(np.zeros((2, 2), np.float32)) == (0.0, 0.0, 1.0, 1.0)
    assert peak(grid) == (0.1, 0.125)


def test_boxes_in_pixels_hold_the_whole_box() -> None:
    one = Explanation(
        tag="dog",
        score=0.5,
        method="gradient",
        grid=np.ones((1, 1), np.float32),
        box=(1 / 3, 0.0, 2 / 3, 1.0),
        width=100,
        height=50,
    )
    assert one.pixel_box == (33, 0, 67, 50)
    assert one.heatmap.shape == (50, 100)


def test_stretched_grids_stand_where_they_belong() -> None:
    grid = np.zeros((2, 3), np.float32)
    grid[1, 2] = 1
    large = stretch(grid, 300, 200)
    assert large.shape == (200, 300)
    assert large[150, 250] == pytest.approx(1, abs=0.02)  # the middle of its cell
    assert large[150, 150] == pytest.approx(0, abs=0.02)
    assert large[199, 299] == 1


def test_an_overlay_shows_heat_box_and_text() -> None:
    grey = Image.new("RGB", (200, 100), (90, 90, 90))
    grid = np.zeros((2, 4), np.float32)
    grid[1, 3] = 1
    drawn = np.asarray(overlay(grey, grid, (0.5, 0.5, 1.0, 1.0), "dog 0.93")).astype(int)
    assert drawn.shape == (100, 200, 3)
    assert (drawn[25, 25] == 90).all()  # no heat there
    hot, pale = drawn[88, 188], colours(np.array([1.0], np.float32))[0]
    np.testing.assert_allclose(hot, 90 * 0.35 + pale * 0.65, atol=3)
    assert (drawn[75, 100] == 255).all()  # the box
    text = drawn[32:49, 100:160]  # above it
    assert (text == 255).all(axis=-1).any()
    assert (text < 30).all(axis=-1).any()


def test_large_pictures_are_drawn_smaller() -> None:
    wide = Image.new("RGB", (3 * LONGEST, 30))
    drawn = overlay(wide, np.ones((1, 1), np.float32), (0.0, 0.0, 1.0, 1.0), "sky")
    assert drawn.size == (LONGEST, 10)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.3), (0.3, 0.6), (0.6, 1.0)])
def test_hotter_is_brighter(low: float, high: float) -> None:
    dark, bright = colours(np.array([low, high], np.float32)).sum(axis=-1)
    assert dark < bright
