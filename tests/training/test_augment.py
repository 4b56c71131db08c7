"""Random views: ranges, single operations against values known another way, purity."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anytag.training.augment import FILL, OPERATIONS, augment, crop_box, operate
from anytag.training.config import AugmentConfig

PLAIN = AugmentConfig(crop_area=(1.0, 1.0), flip=False, num_operations=0)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))


SIDES = st.integers(1, 5000)


@settings(deadline=None)
@given(SIDES, SIDES, st.floats(0.05, 1.0), st.integers(0, 2**32))
def test_crops_lie_in_the_picture_and_have_the_share(
    width: int, height: int, least: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    left, top, right, bottom = crop_box(width, height, (least, 1.0), generator)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    crop_width, crop_height = right - left, bottom - top
    if min(crop_width, crop_height) > 100 and max(width, height) / min(width, height) < 4 / 3:
        assert 0.74 < crop_width / crop_height < 1.35
        assert least * 0.97 < crop_width * crop_height / (width * height) <= 1.0


def test_shares_and_aspects_are_spread_over_their_ranges() -> None:
    generator = np.random.default_rng(0)
    boxes = [crop_box(1000, 1000, (0.5, 1.0), generator) for _ in range(3000)]
    shares = np.array([(r - l) * (b - t) / 1e6 for l, t, r, b in boxes])  # noqa: E741
    aspects = np.array([math.log((r - l) / (b - t)) for l, t, r, b in boxes])  # noqa: E741
    assert 0.495 < shares.min() < 0.51
    assert shares.max() > 0.97
    assert abs(aspects.mean()) < 0.02
    assert 0.26 < np.abs(aspects).max() < math.log(4 / 3) + 0.01


@settings(deadline=None)
@given(
    st.integers(40, 700),
    st.integers(40, 700),
    st.floats(0.1, 1.0),
    st.integers(0, 1000),
    st.sampled_from([1, 6]),
)
def test_reduced_decoding_leaves_enough_for_every_crop(
    width: int, height: int, least: float, seed: int, turned: int
) -> None:
    """What is cut out of the reduced picture has the wanted pixels, if that of the full one had."""
    exif = Image.Exif()
    exif[0x0112] = turned
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "JPEG", exif=exif)
    size = (width, height) if turned == 1 else (height, width)
    box = crop_box(*size, (least, 1.0), np.random.default_rng(seed))
    full_side = min(box[2] - box[0], box[3] - box[1])
    found = []
    resize = Image.Image.resize

    def spy(self: Image.Image, *args: Any, box: tuple[float, ...], **options: Any) -> Image.Image:
        found.append((self.size, box))
        return resize(self, *args, box=box, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", spy)
        config = AugmentConfig(crop_area=(least, 1.0))
        augment(buffer.getvalue(), 16, config, np.random.default_rng(seed))
    ((reduced, part),) = found
    side = min(part[2] - part[0], part[3] - part[1])
    assert side >= min(full_side, 16) - 1
    if full_side >= 16 * 8 + 8:
        assert reduced[0] <= size[0] / 2  # it is used
    np.testing.assert_allclose(
        np.divide(part, (*reduced, *reduced)), np.divide(box, (*size, *size))
    )


def test_a_view_of_a_reduced_picture_is_nearly_that_of_the_full_one() -> None:
    buffer = io.BytesIO()
    noise(12, 9).resize((1600, 1200), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    config = AugmentConfig(num_operations=0)
    for seed in range(4):
        views = [
            augment(source, 64, config, np.random.default_rng(seed)).astype(float)
            for source in (buffer.getvalue(), np.asarray(Image.open(buffer)))
        ]
        assert np.abs(views[0] - views[1]).mean() < 3  # of 255; of other crops it is above 40


@settings(deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 10))
def test_same_generator_same_view(seed: int, magnitude: int) -> None:
    config = AugmentConfig(magnitude=magnitude, num_operations=3)
    image = noise(50, 40)
    views = [augment(image, 24, config, np.random.default_rng(seed)) for _ in range(2)]
    np.testing.assert_array_equal(*views)
    assert views[0].shape == (24, 24, 3)
    assert views[0].dtype == np.uint8


def test_without_changes_the_picture_stays() -> None:
    image = noise(32, 32)
    view = augment(image, 32, PLAIN, np.random.default_rng(0))
    # a crop of the whole area may have another aspect; then the middle is taken: here, all
    found = [augment(image, 32, PLAIN, np.random.default_rng(seed)) for seed in range(3)]
    assert any(np.array_equal(one, np.asarray(image)) for one in [view, *found])


def test_half_of_the_views_are_mirrored() -> None:
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[:, None], (64, 1, 3)))
    config = AugmentConfig(num_operations=0)
    generator = np.random.default_rng(0)
    views = [augment(ramp, 16, config, generator) for _ in range(400)]
    mirrored = sum(int(view[0, 0, 0]) > int(view[0, -1, 0]) for view in views)
    assert 160 < mirrored < 240


def test_operations_that_change_nothing() -> None:
    image = noise(20, 20)
    assert operate(image, "identity", 9, False) is image
    full_range = np.asarray(image)
    assert full_range.min() == 0 or full_range.max() == 255
    for name in ("brightness", "sharpness"):  # factor 0.5 x 1.8 + 0.1 = 1
        np.testing.assert_array_equal(operate(image, name, 5, False), full_range)
    for name in ("shear_x", "shear_y", "translate_x", "translate_y", "rotate"):
        np.testing.assert_array_equal(operate(image, name, 0, True), full_range)


@pytest.mark.parametrize(("is_negative", "shift"), [(False, -5), (True, 5)])
def test_translation_fills_with_grey(is_negative: bool, shift: int) -> None:
    pixels = np.asarray(noise(20, 20))
    for name, axis in (("translate_x", 1), ("translate_y", 0)):
        found = np.asarray(operate(Image.fromarray(pixels), name, 5, is_negative))
        expected = np.roll(pixels, shift, axis)
        rows = np.moveaxis(expected, axis, 0)
        rows[slice(None, shift) if shift > 0 else slice(shift, None)] = FILL
        np.testing.assert_array_equal(found, expected)


def test_shear_moves_rows_by_their_height() -> None:
    """x' = x + 0.15 y: row 20 begins 3 pixels further right in the source."""
    pixels = np.asarray(noise(40, 40))
    found = np.asarray(operate(Image.fromarray(pixels), "shear_x", 5, False)).astype(float)
    source = pixels[20].astype(float)
    position = np.arange(30) + 0.15 * 20.5  # Pillow counts from the middle of a pixel
    low = position.astype(int)
    part = (position - low)[:, None]
    expected = source[low] * (1 - part) + source[low + 1] * part
    np.testing.assert_allclose(found[20, :30], expected, atol=1.5)


def test_rotation_by_fifteen_degrees() -> None:
    line = np.zeros((101, 101, 3), np.uint8)
    line[50] = 255
    found = np.asarray(operate(Image.fromarray(line), "rotate", 5, False))[:, :, 0]
    columns = np.array([20, 35, 65, 80])
    rows = found[:, columns].astype(float)
    rows[found[:, columns] == FILL[0]] = 0
    middle = (rows * np.arange(101)[:, None]).sum(0) / rows.sum(0)
    np.testing.assert_allclose(middle, 50 - (columns - 50) * math.tan(math.radians(15)), atol=0.5)


def test_brightness_and_contrast_against_their_formulas() -> None:
    pixels = np.asarray(noise(9, 9)) // 2 + 20
    image = Image.fromarray(pixels)
    bright = np.asarray(operate(image, "brightness", 8, False)).astype(float)
    np.testing.assert_allclose(bright, np.minimum(pixels * 1.54, 255), atol=1)
    stretched = np.asarray(operate(image, "autocontrast", 5, False)).astype(float)
    low, high = pixels.min((0, 1)), pixels.max((0, 1))
    np.testing.assert_allclose(stretched, (pixels - low) * 255.0 / (high - low), atol=1)
    equalized = np.asarray(operate(noise(64, 64, 3), "equalize", 5, False))
    counts = np.histogram(equalized, bins=8, range=(0, 256))[0]
    assert counts.min() > 0.8 * counts.mean()


def test_every_operation_keeps_size_and_mode() -> None:
    for name in OPERATIONS:
        view = operate(noise(12, 8), name, 7, True)
        assert (view.size, view.mode) == ((12, 8), "RGB")
    with pytest.raises(ValueError, match="no operation 'solarize'"):
        operate(noise(2, 2), "solarize", 5, False)
