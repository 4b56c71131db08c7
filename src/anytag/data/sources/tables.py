"""People's own tables: a CSV or TSV file with a header, an image a row.

    image,tags                           photo,red panda,forklift
    a.jpg,"cat; red panda"               a.jpg,1,0
    b.jpg,dog                            b.jpg,0,1

Commas, semicolons or tabs separate the columns. Tags of one field are separated by ``;``, ``|`` or,
where the field has neither, a comma. Without a column of tags, every column that holds only 0 and 1
is a tag. Rows of one image become one record, for which the whole table is held.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from anytag.data.discover import IMAGE_EXTENSIONS
from anytag.data.problems import Problems
from anytag.data.records import Record, is_url, unique
from anytag.data.text_files import clean_text, read_lines

#: names of columns, in lower case with ``_`` for blanks
IMAGE_COLUMNS = (
    "image", "path", "file", "filename", "file_name", "image_path", "filepath", "image_name",
    "photo", "image_id",
)  # fmt: skip
TAG_COLUMNS = ("tags", "labels", "keywords", "tag", "label", "keyword", "classes", "class")
CAPTION_COLUMNS = ("caption", "captions", "text", "description")
_SEPARATORS = "\t;,"
#: rows that say which columns are tags
SAMPLE = 50
#: what a column of a tag holds
VALUES = {
    "0": False,
    "0.0": False,
    "false": False,
    "": False,
    "1": True,
    "1.0": True,
    "true": True,
}
_FOLDERS = ("", "images", "photos", "train")


@dataclass(frozen=True, slots=True)
class Columns:
    """What stands where."""

    image: int
    tags: int | None
    captions: tuple[int, ...]
    #: of columns that are tags themselves, place -> name
    one_hot: dict[int, str]
    num: int


@dataclass(slots=True)
class _Texts:
    captions: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def read_table(
    path: Path, problems: Problems, *, images: Path | None = None, source: str = ""
) -> Iterator[Record]:
    """The images of a table in the order of their first rows.

    Args:
        path: the file
        problems: gets what is wrong
        images: to which the names are relative; if not given, the file's folder or one near it
        source: of the records; the file's name without ending if empty
    """
    rows = _rows(path, problems)
    _, header = next(rows, (0, []))
    first = list(islice(rows, SAMPLE))
    columns = columns_of(header, [row for _, row in first])
    if columns is None:
        message = (
            f"the header must name an image column ({', '.join(IMAGE_COLUMNS[:4])}) and a column "
            f"of tags ({', '.join(TAG_COLUMNS[:3])}), of captions, or columns of 0 and 1; "
            f"found: {', '.join(header)[:200] or 'nothing'}"
        )
        problems.add("malformed", path, 1, message)
        return
    found: dict[str, _Texts] = {}
    for number, row in (*first, *rows):
        if len(row) != columns.num:
            message = f"{columns.num} columns expected, found {len(row)}"
            problems.add("malformed", path, number, message)
            continue
        name = clean_text(row[columns.image], path, number, problems)
        if not name:
            problems.add("missing_image", path, number, "names no image")
            continue
        texts = found.setdefault(name, _Texts())
        texts.captions += (
            clean_text(row[place], path, number, problems) for place in columns.captions
        )
        texts.tags += _tags_of(row, columns, path, number, problems)
    place = Place.find(path, images, next(iter(found), ""))
    for name, texts in found.items():
        yield Record(
            image=place.of(name),
            captions=unique(texts.captions),
            tags=unique(texts.tags),
            source=source or path.stem,
        )


def columns_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns | None:
    """What the columns of a table mean; None if it is none of images with tags or captions."""
    names = ["_".join(name.split()).lower() for name in header]
    image = next((names.index(name) for name in IMAGE_COLUMNS if name in names), None)
    if image is None:
        return None
    tags = next((names.index(name) for name in TAG_COLUMNS if name in names), None)
    captions = tuple(place for place, name in enumerate(names) if name in CAPTION_COLUMNS)
    one_hot: dict[int, str] = {}
    if tags is None:
        for place, name in enumerate(header):
            values = {row[place].strip().lower() for row in rows if len(row) == len(header)}
            is_tag = values.issubset(VALUES) and values != {""} and bool(values)
            if is_tag and name.strip() and place != image and place not in captions:
                one_hot[place] = name.replace("_", " ").strip()
    if tags is None and not captions and not one_hot:
        return None
    return Columns(image, tags, captions, one_hot, len(header))


def split_tags(text: str) -> list[str]:
    """The tags of one field.

    >>> split_tags("cat; red panda"), split_tags("a|b"), split_tags("cat, dog")
    (['cat', 'red panda'], ['a', 'b'], ['cat', 'dog'])
    """
    separator = next((mark for mark in ";|" if mark in text), ",")
    return [tag.strip() for tag in text.replace("\n", separator).split(separator)]


def split_header(line: str) -> list[str]:
    """The fields of a table's first line, by the separator that it has most of."""
    return next(csv.reader([line], delimiter=separator_of(line)), [])


def separator_of(line: str) -> str:
    """What separates the columns, by the first line."""
    return max(_SEPARATORS, key=line.count)


def _tags_of(
    row: Sequence[str], columns: Columns, path: Path, number: int, problems: Problems
) -> Iterator[str]:
    if columns.tags is not None:
        for tag in split_tags(row[columns.tags]):
            yield clean_text(tag, path, number, problems)
    for place, name in columns.one_hot.items():
        is_there = VALUES.get(row[place].strip().lower())
        if is_there is None:
            message = f"column {name!r} must be 0 or 1, found {row[place]!r:.40}; read as 0"
            problems.add("malformed", path, number, message)
        elif is_there:
            yield name


def _rows(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of the rows that are not empty."""
    lines = (line.text + "\n" for line in read_lines(path, problems))
    first = next(lines, "")
    reader = csv.reader(_chain(first, lines), delimiter=separator_of(first), strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # also a quoted field that never ends
            problems.add("malformed", path, reader.line_num, f"is no CSV row ({error})")
            continue
        if any(value.strip() for value in row):
            yield reader.line_num, row


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


@dataclass(frozen=True, slots=True)
class Place:
    """Folder and ending that the names of a table leave out."""

    folder: Path
    ending: str = ""

    @classmethod
    def find(cls, table: Path, images: Path | None, name: str) -> Place:
        """The first place where the table's first image is; the likeliest if there is none."""
        near = [table.parent / one for one in _FOLDERS]
        folders = [images] if images else [*near, Path()]
        endings = ("",) if Path(name).suffix.lower() in IMAGE_EXTENSIONS else ("", ".jpg", ".png")
        for folder in folders:
            for ending in endings:
                if (folder / (name + ending)).is_file():
                    return cls(folder, ending)
        return cls(folders[0])

    def of(self, name: str) -> str:
        """Path or URL of the image of this name."""
        return name if is_url(name) else str(self.folder / (name + self.ending))
