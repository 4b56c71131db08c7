"""Which format a file has, by its first bytes, and its header, without decoding a pixel.

Formats are opened through their own classes, because `PIL.Image.open` warns about every picture
above 89 million pixels, and because some formats are left out on purpose (`anytag.data.images`).
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, JpegImagePlugin

from anytag.errors import ImageError

#: beside JPEG, HEIC and AVIF, which are recognised separately
_FORMATS = ("PNG", "GIF", "WEBP", "TIFF", "JPEG2000", "PSD", "QOI", "BMP", "PPM", "ICO")
#: signatures so short that other files begin with them by chance; the rest mean a damaged file
_WEAK_FORMATS = ("BMP", "PPM", "ICO")
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_KNOWN_UNSUPPORTED = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an SVG drawing or other XML"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
)


class Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG, or the first picture of an MPO file (Pillow warns about malformed ones)."""

    def getexif(self) -> Image.Exif:
        """Nothing: Pillow wants the resolution from it, and warns where the EXIF is damaged."""
        return Image.Exif()


def open_header(name: str, data: bytes) -> Image.Image:
    """The header of a file; no pixel is decoded yet.

    Raises:
        ImageError: no known format; ``name`` stands in its message
        Exception: nearly any, from Pillow, of a damaged header
    """
    stream = io.BytesIO(data)
    if data.startswith(b"\xff\xd8\xff"):
        return Jpeg(stream, "")
    Image.init()  # makes Pillow know its formats, once
    brands = _container_brands(data)
    if brands & _AVIF_BRANDS and "AVIF" in Image.OPEN:
        return Image.OPEN["AVIF"][0](stream, "")
    if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS:
        return _open_heif(stream, name)
    prefix = data[:16].ljust(16, b"\0")  # older Pillow looks at bytes that may not be there
    for format_name in _FORMATS:
        factory, accept = Image.OPEN.get(format_name, (None, None))
        if factory is None or accept is None or accept(prefix) is not True:
            continue
        try:
            return factory(stream, "")
        except Exception:
            if format_name not in _WEAK_FORMATS:
                raise
    other = "AVIF, a video or a raw camera file that this Pillow cannot read" if brands else None
    what = next((what for magic, what in _KNOWN_UNSUPPORTED if data.startswith(magic)), other)
    if what is not None:
        raise ImageError("unsupported", f"{name} is {what}; convert it to JPEG or PNG")
    raise ImageError("not_an_image", f"{name} is not in a known image format")


def _open_heif(stream: io.BytesIO, name: str) -> Image.Image:
    """Through pillow_heif's image class itself, so that nothing is registered with Pillow."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(
            "unsupported", f"{name} is HEIC; to read it: pip install 'anytag[heif]'"
        ) from error
    factory: Any = HeifImageFile  # Any: pillow_heif has no annotations
    image: Image.Image = factory(stream, "")
    return image


def _container_brands(data: bytes) -> set[bytes]:
    """Brands of an ISO media file (HEIC, AVIF, MP4): major brand, then the compatible ones."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 256)
    return {data[8:12]} | {data[start : start + 4] for start in range(16, end, 4)}
