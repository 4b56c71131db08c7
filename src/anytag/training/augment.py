"""Random changes of the pictures that a network learns from.

Source: random resized crop (Szegedy et al. 2015, arXiv 1409.4842), mirroring, and RandAugment
(Cubuk et al. 2019, arXiv 1909.13719) without operations on colours, as RAM trains: two of ten
operations, each applied with probability 0.5. The released code uses OpenCV, this is Pillow: the
same operations and ranges, other rounding.

Each function is pure: the same picture, configuration and state of the generator give the same
pixels.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from anytag.data.images import DRAFT_FACTOR, ImageSource, open_image
from anytag.training.config import AugmentConfig

#: width by height of a crop
ASPECT = (3 / 4, 4 / 3)
#: grey of what an operation leaves empty
FILL = (128, 128, 128)
OPERATIONS = (
    "identity", "autocontrast", "brightness", "sharpness", "equalize",
    "shear_x", "shear_y", "translate_x", "translate_y", "rotate",
)  # fmt: skip
#: how often an operation that was drawn is applied
_PROBABILITY = 0.5
_ATTEMPTS = 10


def augment(
    source: ImageSource, size: int, config: AugmentConfig, generator: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """One random view of a picture.

    JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where the crop has ``size`` pixels even so.

    Args:
        source: path, file content, PIL image or array
        size: side S of the result
        config: what is drawn
        generator: source of randomness; is advanced

    Returns:
        [S, S, 3]

    Raises:
        ImageError: the picture cannot be read
    """
    drawn: list[tuple[float, ...]] = []

    def draw(width: int, height: int) -> int:
        box = crop_box(width, height, config.crop_area, generator)
        drawn.append((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        crop_side = min(box[2] - box[0], box[3] - box[1])
        return math.ceil(size * min(width, height) / (DRAFT_FACTOR * crop_side))

    image = open_image(source, target_size=draw)
    if not drawn:
        draw(image.width, image.height)
    (left, top, right, bottom) = drawn[0]
    width, height = image.size
    box = (left * width, top * height, right * width, bottom * height)
    view = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    if config.flip and generator.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for _ in range(config.num_operations):
        name = OPERATIONS[int(generator.integers(len(OPERATIONS)))]
        is_applied = generator.random() < _PROBABILITY
        is_negative = generator.random() < 0.5
        if is_applied:
            view = operate(view, name, config.magnitude, is_negative)
    return np.asarray(view)


def crop_box(
    width: int, height: int, area: tuple[float, ...], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a random crop; the middle where none fits.

    Args:
        width: of the picture in pixels
        height: of the picture in pixels
        area: least and most share of the picture's area
        generator: source of randomness; is advanced
    """
    for _ in range(_ATTEMPTS):
        share = generator.uniform(area[0], area[1]) * width * height
        aspect = math.exp(generator.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        crop_width = round(math.sqrt(share * aspect))
        crop_height = round(math.sqrt(share / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = int(generator.integers(width - crop_width + 1))
            top = int(generator.integers(height - crop_height + 1))
            return left, top, left + crop_width, top + crop_height
    crop_width = max(1, min(width, round(height * ASPECT[1])))
    crop_height = max(1, min(height, round(width / ASPECT[0])))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def operate(image: Image.Image, name: str, magnitude: int, is_negative: bool) -> Image.Image:
    """One operation of RandAugment.

    Args:
        image: RGB
        name: one of `OPERATIONS`
        magnitude: 0 to 10; 5 leaves brightness and sharpness as they are
        is_negative: to the other side, where the operation has two
    """
    level = magnitude / 10
    sign = -1 if is_negative else 1
    match name:
        case "identity":
            return image
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case "brightness":
            return ImageEnhance.Brightness(image).enhance(1.8 * level + 0.1)
        case "sharpness":
            if magnitude == 5:  # a factor of 1, for which Pillow would blur the picture first
                return image
            return ImageEnhance.Sharpness(image).enhance(1.8 * level + 0.1)
        case "shear_x":
            return _affine(image, (1, sign * 0.3 * level, 0, 0, 1, 0))
        case "shear_y":
            return _affine(image, (1, 0, 0, sign * 0.3 * level, 1, 0))
        case "translate_x":
            return _shift(image, -sign * magnitude, 0)
        case "translate_y":
            return _shift(image, 0, -sign * magnitude)
        case "rotate":
            angle = sign * 30 * level
            return image.rotate(angle, Image.Resampling.BILINEAR, fillcolor=FILL)
    raise ValueError(f"no operation {name!r}")


def _shift(image: Image.Image, right: int, down: int) -> Image.Image:
    """At strength 10 by 10 pixels, whatever the size, as in the released code."""
    shifted = Image.new("RGB", image.size, FILL)
    shifted.paste(image, (right, down))
    return shifted


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=FILL
    )
