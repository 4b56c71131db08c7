"""Annotations in text files: those released with RAM, and users' own CSV and JSONL.

    names     test/0000c64e1253d68f,car,tree          OpenImages-common, OpenImages-rare
    numbers   HICO_test2015_00000002.jpg,131 139 143  HICO, ImageNet-multi: numbers from 0
    csv       image,tags           a header; tags are separated by |
              a.jpg,cat|tree       or image,tag with one tag a row, as `anytag tag --format csv`
    jsonl     {"image": "a.jpg", "tags": ["cat"]}     training records, or `anytag tag` records

The first two have their classes in a file beside them, one a line (``X_annots.txt`` and
``X_taglist.txt``); of the others the classes are the tags that come, unless a list is given. A file
may be compressed (``.gz``). A CSV column or JSON key ``unknown`` names tags of which nobody has
looked whether the photo has them: they are not counted for this photo.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from anytag.errors import AnnotationError
from anytag.evaluation.annotations import Annotations, ClassList, TruthBuilder
from anytag.files import display_path
from anytag.labels.labelset import fold_name

#: what separates tags in one field of a CSV file
SEPARATOR = "|"
_IMAGE_COLUMNS = ("image", "path", "file", "filename", "file_name")


def open_text(path: Path) -> str:
    """The whole text of a file, which may be compressed.

    Raises:
        AnnotationError: it cannot be read or is no UTF-8
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AnnotationError(f"{display_path(path)}: cannot be read ({reason})") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise AnnotationError(
            f"{display_path(path)}, line {line}: is not UTF-8 text; save the file as UTF-8"
        ) from error


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    for number, line in enumerate(open_text(path).split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


def find_tag_list(path: Path) -> Path:
    """The class list beside an annotation file.

    Raises:
        AnnotationError: there is none
    """
    stem = path.name.removesuffix(".gz").removesuffix(".txt")
    base = re.sub(r"_?annots?$", "", stem)
    names = [f"{base}_taglist.txt", f"{base}_tag_list.txt", f"{stem}_taglist.txt"]
    for name in names:
        if (path.parent / name).is_file():
            return path.parent / name
    raise AnnotationError(
        f"{display_path(path)}: the list of its classes is not beside it (looked for "
        f"{' and '.join(dict.fromkeys(names))}); name it with --tags FILE"
    )


def read_class_list(path: Path) -> ClassList:
    """One class a line; the line is the number, so that nothing is left out.

    Raises:
        AnnotationError: it cannot be read, is empty, or a line is
    """
    lines = open_text(path).replace("\r\n", "\n").rstrip("\n").split("\n")
    return ClassList(lines if lines != [""] else [], path)


def read_names(path: Path, tags: Path | None = None) -> Annotations:
    """``id,tag,tag...`` with the names of a list.

    Raises:
        AnnotationError: a tag is not in the list, an image comes twice, or a file cannot be read
    """
    classes = read_class_list(tags or find_tag_list(path))
    builder = TruthBuilder(path)
    for number, line in text_lines(path):
        image, *names = line.split(",")
        builder.add(image.strip(), _columns(names, classes, builder, number), number)
    return builder.build(classes.names, notes=classes.notes)


def read_numbers(path: Path, tags: Path | None = None) -> Annotations:
    """``file,number number...`` with the numbers, from 0, of the lines of a list.

    Raises:
        AnnotationError: a number is not in the list, or as `read_names`
    """
    classes = read_class_list(tags or find_tag_list(path))
    builder = TruthBuilder(path)
    for number, line in text_lines(path):
        image, *rest = line.split(",")
        if len(rest) > 1:
            raise builder.error(
                number, f"expected 2 columns (file, numbers with blanks), found {1 + len(rest)}"
            )
        columns = []
        for text in rest[0].split() if rest else []:
            if not text.isascii() or not text.isdigit() or int(text) >= len(classes.column_of):
                raise builder.error(
                    number,
                    f"class {text!r:.40}: expected a number from 0 to "
                    f"{len(classes.column_of) - 1}, the lines of {classes.where.name} less one",
                )
            columns.append(classes.column_of[int(text)])
        builder.add(image.strip(), columns, number)
    return builder.build(classes.names, notes=classes.notes)


def read_csv(path: Path, tags: Path | None = None) -> Annotations:
    """``image,tags`` with tags separated by ``|``, or ``image,tag`` with one tag a row.

    Raises:
        AnnotationError: no such header, a row with more or fewer columns, a tag that is not in the
            list, or an image twice (in one-tag rows: not together)
    """
    builder = TruthBuilder(path)
    reader = csv.reader(io.StringIO(open_text(path), newline=""), strict=True)
    rows: list[tuple[int, str, list[str], list[str]]] = []
    try:
        header = [cell.strip().casefold() for cell in next(reader, [])]
        image_at = next((header.index(name) for name in _IMAGE_COLUMNS if name in header), None)
        tags_at = next((header.index(name) for name in ("tags", "tag") if name in header), None)
        if image_at is None or tags_at is None:
            # a spreadsheet's export may have other separators
            hint = "; separate columns by commas" if re.search("[;\t]", "".join(header)) else ""
            raise builder.error(
                1,
                f"expected a header with 'image' and 'tags', found {', '.join(header)!r:.80}{hint}",
            )
        unknown_at = header.index("unknown") if "unknown" in header else None
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise builder.error(
                    reader.line_num, f"expected {len(header)} columns, found {len(cells)}"
                )
            unknown = [] if unknown_at is None else _split(cells[unknown_at])
            rows.append((reader.line_num, cells[image_at].strip(), _split(cells[tags_at]), unknown))
    except csv.Error as error:
        raise builder.error(reader.line_num, f"is no CSV row ({error})") from error
    if header[tags_at] == "tag":
        rows = list(_joined(rows))
    return _own_classes(builder, rows, tags)


def read_jsonl(path: Path, tags: Path | None = None) -> Annotations:
    """One JSON object a line: ``image`` or ``path``, and ``tags`` as names or as objects with one.

    Raises:
        AnnotationError: a line is no such object, has an error record, or as `read_csv`
    """
    builder = TruthBuilder(path)
    rows = []
    for number, line in text_lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise builder.error(number, f"is no JSON ({json_fault(error)})") from error
        if not isinstance(row, Mapping):
            raise builder.error(number, f"expected a JSON object, found {type(row).__name__}")
        image = row.get("image", row.get("path"))
        if not isinstance(image, str):
            raise builder.error(number, f"expected 'image' or 'path', a text; found {image!r:.40}")
        if row.get("error"):
            raise builder.error(
                number, f"the record of {display_path(image)} is one of an error; remove the line"
            )
        names = _names(row, "tags", builder, number)
        rows.append((number, image, names, _names(row, "unknown", builder, number)))
    return _own_classes(builder, rows, tags)


def _names(row: Mapping[str, Any], key: str, builder: TruthBuilder, line: int) -> list[str]:
    values = row.get(key)
    if values is None and key == "unknown":
        return []
    if not isinstance(values, list):
        found = repr(values)[:40] if key in row else f"the keys {', '.join(map(str, row))}"[:80]
        raise builder.error(line, f"expected {key!r}, a list; found {found}")
    names = []
    for value in values:
        name = value.get("name") if isinstance(value, Mapping) else value
        if not isinstance(name, str):
            raise builder.error(line, f"{key!r} must hold names, found {name!r:.40}")
        names.append(name)
    return names


def _split(cell: str) -> list[str]:
    return [name.strip() for name in cell.split(SEPARATOR) if name.strip()]


def _joined(
    rows: list[tuple[int, str, list[str], list[str]]],
) -> Iterator[tuple[int, str, list[str], list[str]]]:
    """Rows of one tag each: those of an image, which stand together, become one."""
    held: tuple[int, str, list[str], list[str]] | None = None
    for row in rows:
        if held is not None and row[1] == held[1]:
            held[2].extend(row[2])
            held[3].extend(row[3])
            continue
        if held is not None:
            yield held
        held = row
    if held is not None:
        yield held


def _own_classes(
    builder: TruthBuilder, rows: list[tuple[int, str, list[str], list[str]]], tags: Path | None
) -> Annotations:
    """Rows whose classes are those of a list, or else all that come."""
    if tags is not None:
        classes = read_class_list(tags)
    else:
        seen = dict.fromkeys(name for _, _, names, unknown in rows for name in (*names, *unknown))
        if not seen:
            raise builder.error(None, "no image has a tag; there is nothing to evaluate")
        classes = ClassList(_one_each(seen), builder.path)
    for number, image, names, unknown in rows:
        columns = _columns(names, classes, builder, number)
        not_known = _columns(unknown, classes, builder, number)
        if set(columns) & set(not_known):
            raise builder.error(number, "a tag is both among the tags and unknown")
        builder.add(image, columns, number, not_known)
    return builder.build(classes.names, notes=classes.notes)


def _hint(name: str, classes: ClassList) -> str:
    """What an unknown tag is if it is several known ones."""
    parts = re.split("[;,/|]", name)
    if len(parts) == 1 or any(classes.column(part.strip()) is None for part in parts):
        return ""
    return f"; these are {len(parts)} tags with another separator than this format's"


def json_fault(error: Exception) -> str:
    """What is wrong with a line of JSON, without the number of the line in itself, which is 1."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, column {error.colno}"
    return str(error)


def _one_each(names: Iterable[str]) -> list[str]:
    """Names that differ by more than case and blanks."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(fold_name(name), name)
    return list(first.values())


def _columns(
    names: Iterable[str], classes: ClassList, builder: TruthBuilder, line: int
) -> list[int]:
    columns = []
    for name in names:
        column = classes.column(name)
        if column is None:
            raise builder.error(
                line,
                f"the tag {name.strip()!r:.60} is not among the {len(classes.names)} of "
                f"{display_path(classes.where)}{_hint(name, classes)}",
            )
        columns.append(column)
    return columns
