"""The place of an XMP packet inside a JPEG, PNG or WebP file, as bytes.

The XMP segment or chunk is put in, replaced or taken out and every other byte stays (pixels, EXIF,
ICC profile, IPTC). Sources: Adobe XMP specification part 3 (storage in files, 2020), the PNG
specification (iTXt), Google's WebP container specification.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from anytag.errors import MetadataError

#: bytes of the largest sidecar or packet we read; darktable's with drawn masks reach some MB
MAX_PACKET_BYTES = 64 * 2**20

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_JPEG_MAX_PACKET = 65533 - len(_JPEG_XMP)
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_XMP = b"XML:com.adobe.xmp\0"
_VP8X_BYTES = 18
_SIMPLE = ([b"VP8 "], [b"VP8L"])
_WEBP_HAS_XMP, _WEBP_HAS_ALPHA = 0x04, 0x10


class _Slot(NamedTuple):
    """The bytes [start, end) of a container that hold its packet; empty where one would go."""

    start: int
    end: int
    packet: bytes | None


class _Chunk(NamedTuple):
    """One chunk [start, end) of a PNG or WebP file and the range [data, stop) of its content."""

    kind: bytes
    start: int
    data: int
    stop: int
    end: int


def can_embed(data: bytes) -> bool:
    """Whether these are the first bytes (12 or more) of a JPEG, PNG or WebP file."""
    return data[:3] == b"\xff\xd8\xff" or data[:8] == _PNG_MAGIC or _is_webp(data)


def get_packet(image: bytes) -> bytes | None:
    """The XMP packet in the bytes of a JPEG, PNG or WebP file; None when there is none.

    Raises:
        MetadataError: another file type, a damaged container, or XMP in more than one place.
    """
    return _find_slot(image).packet


def put_packet(image: bytes, packet: bytes | None) -> bytes:
    """The image's bytes with this XMP packet in place of the one it has; None takes it out.

    Raises:
        MetadataError: as `get_packet`, and a packet too large for the container.
    """
    slot = _find_slot(image)
    if _is_webp(image):
        return _put_webp(image, slot, packet)
    block = b""
    if packet is not None:
        block = _png_block(packet) if image[:8] == _PNG_MAGIC else _jpeg_block(packet)
    return image[: slot.start] + block + image[slot.end :]


def _find_slot(image: bytes) -> _Slot:
    if image[:3] == b"\xff\xd8\xff":
        return _find_in_jpeg(image)
    if image[:8] == _PNG_MAGIC:
        return _find_in_png(image)
    if _is_webp(image):
        return _find_in_webp(image)
    raise MetadataError("only JPEG, PNG and WebP can hold embedded tags; use a sidecar instead")


def _find_in_jpeg(image: bytes) -> _Slot:
    start = 2  # where a new segment goes: behind JFIF and EXIF, which must come first
    found: _Slot | None = None
    after_mpf = False
    for marker, begin, end, payload in _jpeg_segments(image):
        if marker == 0xE1 and payload.startswith(_JPEG_EXTENSION):
            raise MetadataError("has extended XMP (over 64 KB), which is not supported")
        if marker == 0xE1 and payload.startswith(_JPEG_XMP):
            if found or after_mpf:  # offsets in an MPF segment count from itself: keep what follows
                raise MetadataError("has XMP in an unusual place; use a sidecar instead")
            found = _Slot(begin, end, payload[len(_JPEG_XMP) :])
        after_mpf = after_mpf or (marker == 0xE2 and payload.startswith(b"MPF\0"))
        leading = marker == 0xE0 or (marker == 0xE1 and payload.startswith(b"Exif\0"))
        if leading and begin == start:
            start = end
    return found or _Slot(start, start, None)


def _jpeg_segments(image: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(marker, start, end, payload) of the segments before the pixels."""
    start = 2
    while True:
        at = start
        while image[at : at + 2] == b"\xff\xff":  # fill bytes may stand before a marker
            at += 1
        head = image[at : at + 4]
        if head[:2] == b"\xff\xda":
            return
        size = int.from_bytes(head[2:], "big")
        end = at + 2 + size
        if len(head) < 4 or head[0] != 0xFF or size < 2 or end > len(image):
            raise MetadataError("is a damaged JPEG file; nothing was embedded")
        yield head[1], start, end, image[at + 4 : end]
        start = end


def _jpeg_block(packet: bytes) -> bytes:
    if len(packet) > _JPEG_MAX_PACKET:  # give up the white space reserved for in-place edits
        packet = re.sub(rb"\s+(<\?xpacket end=[^>]*\?>\s*)$", rb"\n\1", packet)
    if len(packet) > _JPEG_MAX_PACKET:
        raise MetadataError("needs more than 64 KB of XMP, which is not supported; use a sidecar")
    return b"\xff\xe1" + struct.pack(">H", 2 + len(_JPEG_XMP) + len(packet)) + _JPEG_XMP + packet


def _find_in_png(image: bytes) -> _Slot:
    start = None
    found: _Slot | None = None
    for chunk in _chunks(image, len(_PNG_MAGIC)):
        content = image[chunk.data : chunk.stop]
        if chunk.kind == b"IDAT" and start is None:
            start = chunk.start
        elif chunk.kind == b"iTXt" and content.startswith(_PNG_XMP):
            if found:
                raise MetadataError("has XMP in more than one place; use a sidecar instead")
            found = _Slot(chunk.start, chunk.end, _png_text(content[len(_PNG_XMP) :]))
    if start is None:
        raise MetadataError("is a damaged PNG file; nothing was embedded")
    return found or _Slot(start, start, None)


def _png_text(content: bytes) -> bytes:
    """The text of an iTXt chunk after its keyword: flag, method, language, translation, text."""
    parts = content[2:].split(b"\0", 2)
    if len(parts) < 3:
        raise MetadataError("has a damaged XMP chunk; use a sidecar instead")
    if content[0] == 0:
        return parts[2]
    try:
        return zlib.decompressobj().decompress(parts[2], MAX_PACKET_BYTES + 1)
    except zlib.error as error:
        raise MetadataError("has a damaged XMP chunk; use a sidecar instead") from error


def _png_block(packet: bytes) -> bytes:
    content = b"iTXt" + _PNG_XMP + b"\0\0\0\0" + packet
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


def _is_webp(image: bytes) -> bool:
    return image[:4] == b"RIFF" and image[8:12] == b"WEBP"


def _find_in_webp(image: bytes) -> _Slot:
    stop = 8 + int.from_bytes(image[4:8], "little")
    found = [c for c in _chunks(image[:stop], 12, riff=True) if c.kind == b"XMP "]
    if len(found) > 1:
        raise MetadataError("has XMP in more than one place; use a sidecar instead")
    if not found:
        end = stop + stop % 2
        return _Slot(end, end, None)
    return _Slot(found[0].start, found[0].end, image[found[0].data : found[0].stop])


def _put_webp(image: bytes, slot: _Slot, packet: bytes | None) -> bytes:
    head, tail = image[12 : slot.start], image[slot.end :]
    riff_end = 8 + int.from_bytes(image[4:8], "little")
    rest, trailing = tail[: max(0, riff_end - slot.end)], tail[max(0, riff_end - slot.end) :]
    head += b"\0" * (len(head) % 2)  # some writers forget to pad the last chunk
    first = next(_chunks(head, 0, riff=True))
    if first.kind != b"VP8X":
        head = _extended_header(head) + head
    flags = head[8] & ~_WEBP_HAS_XMP | (0 if packet is None else _WEBP_HAS_XMP)
    head = head[:8] + bytes([flags]) + head[9:]
    bare = head[_VP8X_BYTES:]
    simple = not rest and [c.kind for c in _chunks(bare, 0, riff=True)] in _SIMPLE
    if packet is None and simple and head == _extended_header(bare) + bare:
        head = bare  # what we added around a simple file goes with the packet
    block = b"" if packet is None else _riff_chunk(b"XMP ", packet)
    body = b"WEBP" + head + block + rest
    return b"RIFF" + struct.pack("<I", len(body)) + body + trailing


def _extended_header(simple: bytes) -> bytes:
    """The VP8X chunk that a simple WebP file (its one chunk) needs before it may hold metadata."""
    kind, content = simple[:4], simple[8:18]
    if kind == b"VP8L" and content[:1] == b"\x2f" and len(content) >= 5:
        bits = int.from_bytes(content[1:5], "little")  # 14 bits width, 14 bits height, alpha
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
        flags = _WEBP_HAS_ALPHA if bits >> 28 & 1 else 0
    elif kind == b"VP8 " and content[3:6] == b"\x9d\x01\x2a" and len(content) >= 10:
        width, height = (v & 0x3FFF for v in struct.unpack("<HH", content[6:10]))
        width, height, flags = width - 1, height - 1, 0
    else:
        raise MetadataError("is a damaged WebP file; nothing was embedded")
    size = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    return _riff_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size)


def _riff_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _chunks(image: bytes, start: int, *, riff: bool = False) -> Iterator[_Chunk]:
    """The chunks from byte ``start`` on: PNG's (length, kind, data, CRC) or RIFF's."""
    while start < len(image):
        length, kind = image[start : start + 4], image[start + 4 : start + 8]
        if riff:
            kind, length = length, kind
        size = int.from_bytes(length, "little" if riff else "big")
        stop = start + 8 + size
        end = stop + (size % 2 if riff else 4)
        if len(kind) < 4 or stop > len(image) or (not riff and end > len(image)):
            raise MetadataError("is a damaged image file; nothing was embedded")
        yield _Chunk(kind, start, start + 8, stop, min(end, len(image)))
        if kind == b"IEND":
            return
        start = end
