"""Safe decoding: a path, bytes, a PIL image or an array becomes 8-bit RGB, or one `ImageError`.

EXIF orientation is applied, transparency is laid on white, animations give their first frame.
Limits are checked on the header, before any pixel is decoded. Damaged or cut-off files are errors,
never filled with grey. Nothing global is touched: no limit or switch of Pillow, no warning filter
(not safe with threads).

Formats: JPEG, PNG, GIF, WebP, TIFF, AVIF, JPEG 2000, PSD, QOI, BMP, PPM/PGM/PBM/PFM, ICO, and HEIC
with ``pip install 'anytag[heif]'``. EPS is left out on purpose: Pillow runs Ghostscript for it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from anytag.data.image_formats import Jpeg, open_header
from anytag.data.modes import TRANSPOSE, orientation, to_rgb
from anytag.errors import ImageError, UsageError
from anytag.files import display_path, sha256_bytes

#: ndarray: uint8 [H, W, 3] RGB, [H, W, 4] RGBA, [H, W] or [H, W, 1] grey
ImageSource: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[Any]

#: a JPEG is decoded to no less than this many times the wanted side (then resized exactly)
DRAFT_FACTOR = 2

#: in the text of Pillow's errors: the file may be whole
_PILLOW_CANNOT = ("unsupported", "not supported", "not installed", "not available", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """How large an input may be; both limits are checked before decoding."""

    #: bytes of the file
    max_bytes: int = 256 * 1024 * 1024
    #: width x height; 200 million pixels are 600 MB once decoded (a 30000 x 2000 panorama has 60)
    max_pixels: int = 200_000_000

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or self.max_pixels < 1:
            raise UsageError(f"max_bytes and max_pixels must be 1 or more, found {self}")


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True, eq=False)  # eq: arrays have no single truth value
class LoadedImage:
    """A decoded picture and what it was before resizing."""

    #: RGB [S, S, 3], or [height, width, 3] if no size was asked for; writable and contiguous
    pixels: npt.NDArray[np.uint8]
    #: of the full picture, after EXIF orientation
    width: int
    height: int
    #: hexadecimal, of the file's bytes; None for PIL images and arrays
    sha256: str | None


def load_image(
    source: ImageSource,
    *,
    size: int | None,
    limits: ImageLimits = DEFAULT_LIMITS,
    exact: bool = False,
) -> LoadedImage:
    """Decode one picture, and resize it to a square unless ``size`` is None.

    Args:
        source: path, file content, PIL image, or uint8 array ([H, W], [H, W, 1], [H, W, 3] RGB,
            [H, W, 4] RGBA).
        size: side S of the result in pixels. The aspect ratio is not kept, as the published models
            expect: bilinear with antialiasing over the whole picture.
        limits: largest file and picture that are accepted.
        exact: decode JPEGs at full size, as the published code does, and not as `open_image` does.

    Returns:
        Pixels [S, S, 3] (or [height, width, 3]), full size and hash.

    Raises:
        ImageError: the source cannot be read or decoded; ``kind`` says why.
        UsageError: ``size`` is below 1.

    >>> load_image(np.zeros((40, 30), np.uint8), size=8).pixels.shape
    (8, 8, 3)
    """
    if size is not None and size < 1:
        raise UsageError(f"size must be 1 or more pixels, found {size}")
    name, content = _read(source, limits)
    image, (width, height) = _decode(name, content, limits, None if exact else size)
    if size is not None:
        # No reducing_gap: it is faster and changes the result; JPEG has its own short cut.
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return LoadedImage(
        pixels=np.array(image, dtype=np.uint8),
        width=width,
        height=height,
        sha256=sha256_bytes(content) if isinstance(content, bytes) else None,
    )


def open_image(
    source: ImageSource,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    target_size: int | Callable[[int, int], int] | None = None,
) -> Image.Image:
    """Decode one picture to an upright RGB image without metadata.

    Args:
        source: as for `load_image`.
        limits: largest file and picture that are accepted.
        target_size: side in pixels to which the caller will resize. Large JPEGs are then decoded at
            1/2, 1/4 or 1/8 of their size, each side still `DRAFT_FACTOR` times the target or more.
            None decodes at full size. Or a function that gives it, which is called once, with
            (width, height) of the full upright picture, and for JPEGs alone.

    Raises:
        ImageError: the source cannot be read or decoded; ``kind`` says why.
    """
    name, content = _read(source, limits)
    return _decode(name, content, limits, target_size)[0]


def _read(
    source: ImageSource, limits: ImageLimits
) -> tuple[str, bytes | Image.Image | npt.NDArray[Any]]:
    """A name for messages, and the source with paths replaced by the file's content."""
    if isinstance(source, Image.Image):
        return "the PIL image", source
    if isinstance(source, np.ndarray):
        return "the array", source
    if isinstance(source, bytes):
        name, content = "the image data", source
    elif isinstance(source, str | os.PathLike):
        name = display_path(source)
        content = _read_file(Path(source), name, limits)
    else:
        raise ImageError(
            "unsupported",
            f"expected a path, bytes, PIL image or uint8 array, found {type(source).__name__}",
        )
    if not content:
        raise ImageError("empty", f"{name} is empty (zero bytes)")
    if len(content) > limits.max_bytes:
        raise _too_large(name, len(content), limits)
    return name, content


def _read_file(path: Path, name: str, limits: ImageLimits) -> bytes:
    """Content of a file, of which never more than one byte above the limit is read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("not_an_image", f"{name} is a folder; expected an image file")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise ImageError("unreadable", f"{name} is not a regular file (a pipe or device)")
        if status.st_size > limits.max_bytes:
            raise _too_large(name, status.st_size, limits)
        with path.open("rb") as handle:
            return handle.read(status.st_size + 1)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        # ValueError: a null character or a lone surrogate, which no file name can have
        raise ImageError("missing", f"{name} does not exist") from error
    except PermissionError as error:
        raise ImageError("unreadable", f"no permission to read {name}") from error
    except OSError as error:
        raise ImageError("unreadable", f"{name} cannot be read: {error.strerror}") from error


def _too_large(name: str, found: int, limits: ImageLimits) -> ImageError:
    return ImageError(
        "too_large", f"{name} has {found:,} bytes; the limit is {limits.max_bytes:,} (max_bytes)"
    )


def _decode(
    name: str,
    content: bytes | Image.Image | npt.NDArray[Any],
    limits: ImageLimits,
    target_size: int | Callable[[int, int], int] | None,
) -> tuple[Image.Image, tuple[int, int]]:
    """RGB image, upright; and (width, height) of the full picture, upright."""
    try:
        if isinstance(content, np.ndarray):
            content = _from_array(content)
        image = open_header(name, content) if isinstance(content, bytes) else content
        _check_pixels(name, image.size, limits)
        header_size = image.size
        if isinstance(image, Jpeg) and target_size is not None:
            if callable(target_size):
                is_lying = orientation(image) > 4
                target_size = target_size(*(header_size[::-1] if is_lying else header_size))
            image.draft(None, (DRAFT_FACTOR * target_size,) * 2)
        image.load()
        # not the header's for all: Pillow turns TIFF files while it loads them
        full = header_size if isinstance(image, Jpeg) else image.size
        turned = orientation(image)  # after load: PNG may hold its EXIF behind the pixels
        upright = to_rgb(image)
        if turned in TRANSPOSE:
            upright = upright.transpose(TRANSPOSE[turned])
        if upright is content:
            upright = upright.copy()  # the caller's image stays as it is
        upright.info = {}  # else a second pass through here would turn the picture again
        return upright, full[::-1] if turned > 4 else full  # 5 to 8 lie on the side
    except ImageError:
        raise
    except Exception as error:  # on damaged data Pillow raises nearly anything
        raise _decode_error(name, error) from error


def _decode_error(name: str, error: Exception) -> ImageError:
    text = display_path(f"{error}") or type(error).__name__
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageError("too_many_pixels", f"{name} was refused by Pillow: {text}")
    if isinstance(error, MemoryError):
        return ImageError("too_many_pixels", f"{name}: not enough memory to decode it")
    if any(words in text.lower() for words in _PILLOW_CANNOT):
        return ImageError("unsupported", f"{name} uses an unsupported variant: {text}")
    return ImageError("truncated", f"{name} is damaged or cut off: {text}")


def _check_pixels(name: str, size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width * height == 0:
        raise ImageError("empty", f"{name} has no pixels ({width} x {height})")
    if width * height > limits.max_pixels:
        raise ImageError(
            "too_many_pixels",
            f"{name} has {width} x {height} pixels ({width * height:,}); "
            f"the limit is {limits.max_pixels:,} (max_pixels)",
        )


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8:
        raise ImageError(
            "unsupported",
            f"expected an array of uint8 (0 to 255), found {array.dtype}; "
            "floats in [0, 1] become that with (255 * array).round().astype('uint8')",
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ImageError(
            "unsupported",
            f"expected an array [H, W] or [H, W, 1, 3 or 4], found {list(array.shape)}",
        )
    if array.size == 0:  # Pillow refuses these with other words
        raise ImageError("empty", f"the array has no pixels (shape {list(array.shape)})")
    return Image.fromarray(np.ascontiguousarray(array))
