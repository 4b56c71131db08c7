"""From what a file holds to upright 8-bit RGB: EXIF orientation, colour modes, bit depths."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_ORIENTATION_TAG = 0x0112
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8, from the places where Pillow looks for it.

    Read here and not with ``getexif``, which warns where metadata are damaged, as they often are.
    """
    value: object = None
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        value = _exif_orientation(exif)
    elif hasattr(image, "tag_v2"):
        value = image.tag_v2.get(_ORIENTATION_TAG)
    if value is None:
        xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b""
        xmp = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp
        match = re.search(rb'tiff:Orientation(?:="|>)([0-9])', xmp)
        value = int(match[1]) if match else None
    return value if isinstance(value, int) and value in TRANSPOSE else 1


def _exif_orientation(exif: bytes) -> int | None:
    """The orientation in an EXIF block (TIFF 6.0, first directory), None if it is not there."""
    while exif.startswith(b"Exif\x00\x00"):
        exif = exif[6:]
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "L", exif, 4)
        (num_entries,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * num_entries, 12):
            if struct.unpack_from(order + "H", exif, entry) == (_ORIENTATION_TAG,):
                return int(struct.unpack_from(order + "H", exif, entry + 8)[0])
    except struct.error:  # cut off; the picture itself may still be whole
        pass
    return None


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of a loaded image in any mode; transparent parts become white."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(to_8_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        alpha = rgba.getchannel("A")
        if alpha.getextrema() != (255, 255):
            white = Image.new("RGB", image.size, "white")
            white.paste(rgba, mask=alpha)
            return white
        return rgba.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def to_8_bits(grey: npt.NDArray[Any], mode: str) -> npt.NDArray[np.uint8]:
    """Grey [H, W] of 16 or 32 bits, or float, to 8 bits.

    Modes I and F do not say their range. Where no value is negative it starts at 0 and ends at the
    first of 255 and 65535 (F: 1 and 255) that holds all values, else at the highest value; with
    negative values it goes from the lowest to the highest. NaN becomes the lowest value.
    """
    if mode.startswith("I;16"):
        return (grey >> 8).astype(np.uint8)  # as Pillow does for 16-bit colour
    finite = grey[np.isfinite(grey)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low >= 0:
        usual = (1.0, 255.0) if mode == "F" else (255.0, 65535.0)
        low, high = 0.0, next((limit for limit in usual if high <= limit), high)
    values = np.nan_to_num(grey.astype(np.float32), nan=low, posinf=high, neginf=low)
    return ((values - low) * (255 / max(high - low, 1e-300))).round().astype(np.uint8)
