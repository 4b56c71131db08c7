"""A heatmap laid over its picture, with its box and a line of text.

The colours are those of black-body radiation, dark red to pale yellow: they grow steadily brighter,
so that a print in grey and an eye without red or green see the same order.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from anytag.inference.heatmap import Box, Grid, stretch

#: longest side in pixels; a map of a few hundred cells shows nothing more on a larger one
LONGEST = 1024
_STOPS = np.array([[40, 0, 0], [180, 20, 0], [240, 120, 0], [255, 210, 60], [255, 255, 200]])
_OPACITY = 0.65


def overlay(image: Image.Image, grid: Grid, box: Box, text: str) -> Image.Image:
    """The picture with everything on it.

    Args:
        image: RGB; made smaller where its longest side is above `LONGEST`
        grid: [rows, columns] in [0, 1]; 0 leaves the picture as it is
        box: to be drawn
        text: stands above the box, or in it where there is no room

    Returns:
        RGB
    """
    scale = min(1.0, LONGEST / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    picture = image.resize(size, Image.Resampling.BILINEAR) if scale < 1 else image
    heat = stretch(grid, *size)
    opacity = (_OPACITY * heat)[..., None]
    mixed = np.asarray(picture) * (1 - opacity) + colours(heat) * opacity
    result = Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))
    _draw_box(result, box, text)
    return result


def colours(heat: Grid) -> npt.NDArray[np.float32]:
    """RGB [..., 3] in 0 to 255 of heat in [0, 1].

    >>> colours(np.array([0.0, 1.0], np.float32)).tolist()
    [[40.0, 0.0, 0.0], [255.0, 255.0, 200.0]]
    """
    places = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(heat, places, _STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def png(image: Image.Image) -> bytes:
    """A PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _draw_box(image: Image.Image, box: Box, text: str) -> None:
    draw = ImageDraw.Draw(image)
    width, height = image.size
    left, top = box[0] * width, box[1] * height
    right, bottom = max(left, box[2] * width - 1), max(top, box[3] * height - 1)
    line = max(1, round(max(image.size) / 300))
    draw.rectangle((left, top, right, bottom), outline=(255, 255, 255), width=line)
    font = ImageFont.load_default(size=max(10, max(image.size) / 40))
    text_box = draw.textbbox((0, 0), text, font=font)
    tall = text_box[3] + 4
    y = top - tall if top >= tall else top
    draw.rectangle((left, y, left + text_box[2] + 6, y + tall), fill=(255, 255, 255))
    draw.text((left + 3, y + 1), text, fill=(0, 0, 0), font=font)
