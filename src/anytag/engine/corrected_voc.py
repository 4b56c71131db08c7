"""Pascal VOC: objects of wrong tags go, those of missing ones come at the end.

A missing tag becomes ``<object><name>..</name><pose>Unspecified</pose><truncated>0</truncated>
<difficult>0</difficult><bndbox>..</bndbox><source>anytag</source></object>``, without ``<bndbox>``
where it has no box. The rest of the file keeps its bytes. Lists of VOC's ImageSets are not written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape

from anytag.data.problems import Problems
from anytag.data.sources.voc import read_annotations
from anytag.data.text_files import clean_text
from anytag.engine.corrected_change import SOURCE, Change, pixel_box, write_bytes
from anytag.engine.ground import Box
from anytag.errors import UsageError
from anytag.files import display_path
from anytag.labels.labelset import fold_name

_OBJECT = ("annotation", "object")
_NAME = ("annotation", "object", "name")
_SIZE = (("annotation", "size", "width"), ("annotation", "size", "height"))
#: beginnings of files in which a character has two bytes or four
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<", b"\0\0")


def write_voc(
    path: Path, images: Path | None, changes: Mapping[str, Change], output: Path
) -> list[Path]:
    """Write the annotations of `anytag.data.sources.voc.read_voc`; returns the files.

    Raises:
        UsageError: an annotation that is to be changed is UTF-16
    """
    written = []
    for file, image, _ in read_annotations(path, Problems(), images=images):
        content = file.read_bytes()
        change = changes.get(str(image))
        if change is not None:
            if content.startswith(_WIDE):
                raise UsageError(f"{display_path(file)}: is UTF-16; save it as UTF-8")
            content = edit(content, change, str(image))
        target = output / file.relative_to(path)
        write_bytes(target, content)
        written.append(target)
    return written


def edit(content: bytes, change: Change, image: str) -> bytes:
    """An annotation with the change made; ``image`` is read where it gives no size."""
    objects, end, size = _outline(content)
    pieces, place = [], 0
    for start, stop, name in objects:
        if fold_name(name) in change.remove:
            before = content[place:start]
            pieces.append(before.rstrip(b" \t"))
            place = stop
            if pieces[-1].endswith(b"\n"):  # the whole line is gone
                line_end = re.match(rb"[ \t]*\r?\n", content[stop:])
                place += line_end.end() if line_end else 0
    pieces.append(content[place:end])
    head = b"".join(pieces)
    found = re.search(rb"(\r?\n)([ \t]+)<", content)
    newline, indent = (found[1], found[2]) if found else (b"", b"")
    new = b"".join(
        _object(tag, box, size, image, newline, indent) for tag, box in change.add.items()
    )
    if new and newline:
        head = head.rstrip(b" \t\r\n") + newline
    return head + new + content[end:]


def _outline(
    content: bytes,
) -> tuple[list[tuple[int, int, str]], int, tuple[int, int] | None]:
    """Start, end and name of each object; where the root's end tag is; the picture's size."""
    objects: list[tuple[int, int, str]] = []
    stack: list[str] = []
    pieces: list[str] = []
    texts: dict[tuple[str, ...], str] = {}
    start_of, root_end = 0, 0
    parser = expat.ParserCreate()

    def start(name: str, _: object) -> None:
        nonlocal start_of
        stack.append(name)
        pieces.clear()
        if tuple(stack) == _OBJECT:
            start_of = parser.CurrentByteIndex
            texts.pop(_NAME, None)

    def end(_: str) -> None:
        nonlocal root_end
        key = tuple(stack)
        if key == _NAME or key in _SIZE:
            texts.setdefault(key, "".join(pieces))
        elif key == _OBJECT and _NAME in texts:
            stop = content.index(b">", parser.CurrentByteIndex) + 1
            name = clean_text(texts[_NAME], "", None, Problems())
            objects.append((start_of, stop, name))
        elif len(stack) == 1:
            root_end = parser.CurrentByteIndex
        stack.pop()
        pieces.clear()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = pieces.append
    parser.Parse(content, True)
    return objects, root_end, _size([texts.get(key, "") for key in _SIZE])


def _size(texts: list[str]) -> tuple[int, int] | None:
    try:
        width, height = (int(float(text)) for text in texts)
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _object(
    tag: str,
    box: Box | None,
    size: tuple[int, int] | None,
    image: str,
    newline: bytes,
    indent: bytes,
) -> bytes:
    lines = [
        (1, "<object>"),
        (2, f"<name>{escape(tag)}</name>"),
        (2, "<pose>Unspecified</pose>"),
        (2, "<truncated>0</truncated>"),
        (2, "<difficult>0</difficult>"),
    ]
    pixels = None if box is None else pixel_box(box, size, image)
    if pixels is not None:
        sides = [max(1, round(side)) for side in pixels]  # VOC counts pixels from 1
        lines.append((2, "<bndbox>"))
        lines += [
            (3, f"<{name}>{side}</{name}>")
            for name, side in zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True)
        ]
        lines.append((2, "</bndbox>"))
    lines += [(2, f"<source>{SOURCE}</source>"), (1, "</object>")]
    # references in place of other characters, as the file may be in any encoding
    return b"".join(
        indent * depth + text.encode("ascii", "xmlcharrefreplace") + newline
        for depth, text in lines
    )
