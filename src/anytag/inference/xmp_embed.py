"""XMP text of files: of a sidecar, or of the packet inside an image (`xmp_containers`)."""

from __future__ import annotations

import codecs
import errno
import os
import re
from pathlib import Path

from anytag.errors import MetadataError, OutputError
from anytag.files import atomic_write, display_path
from anytag.inference.xmp_containers import MAX_PACKET_BYTES, get_packet, put_packet

_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_xmp(path: Path, *, embedded: bool) -> str | None:
    """The XMP text of a sidecar, or of the packet inside an image; None when there is none.

    A byte order mark stays in the text, so that writing it back gives the same bytes.

    Raises:
        MetadataError: the file cannot be read, is too large or is not what its name says.
    """
    try:
        data = path.read_bytes()
        packet = get_packet(data) if embedded else data
        return None if packet is None else _decode(packet)[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MetadataError(f"{display_path(path)}: cannot be read: {error.strerror}") from error
    except MetadataError as error:
        raise MetadataError(f"{display_path(path)}: {error}") from error


def write_xmp(path: Path, text: str | None, *, before: str | None, embedded: bool) -> None:
    """Put XMP text into a sidecar or image in one atomic step; None takes it away.

    ``before`` is the text on which ``text`` is based: a file that no longer holds it was changed
    by someone else in the meantime and is left alone. An image keeps its modification time, a
    link stays a link.

    Raises:
        MetadataError: the file has changed, it or its folder is write-protected, or the image
            cannot hold the text.
        OutputError: another failure to write, such as a full disk.
    """
    if read_xmp(path, embedded=embedded) != before:
        raise MetadataError(f"{display_path(path)}: was changed by another program; run again")
    try:
        if embedded:
            _write_image(path, text)
        elif text is None:
            path.unlink()
        else:
            packet = _encode(text, None if before is None else path.read_bytes())
            with atomic_write(path) as file:
                file.write(packet)
    except OSError as error:
        raise MetadataError(f"{display_path(path)}: cannot be written: {error.strerror}") from error
    except MetadataError as error:
        raise MetadataError(f"{display_path(path)}: {error}") from error
    except OutputError as error:
        # one closed folder is a failed image among many; a full disk fails them all
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _CLOSED:
            raise MetadataError(str(error)) from error
        raise


def _write_image(path: Path, text: str | None) -> None:
    times = path.stat()
    image = path.read_bytes()
    image = put_packet(image, None if text is None else _encode(text, get_packet(image)))
    with atomic_write(path) as file:
        file.write(image)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _decode(data: bytes) -> tuple[str, str]:
    """XMP bytes -> (text, codec), by byte order mark, else by XML declaration, else UTF-8."""
    if len(data) > MAX_PACKET_BYTES:
        raise MetadataError(f"XMP of {len(data)} bytes is more than {MAX_PACKET_BYTES}")
    codec = next((codec for mark, codec in _BOMS if data.startswith(mark)), None)
    if codec is None:
        declared = re.match(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)", data)
        codec = declared[1].decode() if declared else "utf-8"
    try:
        return data.decode(codec), codec
    except (UnicodeDecodeError, LookupError) as error:
        raise MetadataError(f"is not valid {codec} text; repair or remove the XMP") from error


def _encode(text: str, old: bytes | None) -> bytes:
    """Encode as the old packet is, so that its XML declaration stays true; UTF-8 without one."""
    return text.encode("utf-8" if old is None else _decode(old)[1], "xmlcharrefreplace")
