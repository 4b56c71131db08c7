"""CSV and TSV: rows of pictures that change are written anew, all others keep their bytes.

A column of tags: tags are joined by what separated them before, or by the first of ``;``, ``|`` and
``,`` that keeps them apart. A table with a tag a row gets a row for a missing tag (a copy of the
picture's last) and loses that of a wrong one; the last row of a picture stays, without a tag.
Columns of 0 and 1 are written as the column's other cells are ("1", "1.0", "true").
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anytag.data.problems import Problems
from anytag.data.sources.tables import (
    SAMPLE,
    VALUES,
    Columns,
    Place,
    columns_of,
    separator_of,
    split_tags,
)
from anytag.data.text_files import clean_text, decode
from anytag.engine.audit_table import csv_line
from anytag.engine.corrected_change import Change, write_bytes
from anytag.errors import UsageError
from anytag.files import display_path
from anytag.labels.labelset import fold_name

_BOM = b"\xef\xbb\xbf"
_MARKS = (";", "|", ",")


@dataclass(frozen=True, slots=True)
class _Row:
    #: lines with their ends
    raw: bytes
    #: None where it is no CSV row
    cells: list[str] | None


def write_table(
    path: Path, images: Path | None, changes: Mapping[str, Change], output: Path
) -> list[Path]:
    """Write the table of `anytag.data.sources.tables.read_table`; returns it.

    Raises:
        UsageError: a tag cannot be written so that it is read as one
    """
    content = path.read_bytes()
    target = output / path.name
    write_bytes(target, edit(content, path, images, changes) if changes else content)
    return [target]


def edit(content: bytes, path: Path, images: Path | None, changes: Mapping[str, Change]) -> bytes:
    """The table with the changes made.

    Args:
        content: of the file
        path: of the file
        images: folder of the pictures
        changes: picture -> change
    """
    rows = list(_rows(content))
    full = [row.cells for row in rows if row.cells is not None and any(map(str.strip, row.cells))]
    columns = columns_of(full[0], full[1 : 1 + SAMPLE])
    assert columns is not None, "the reader has read it"
    editor = _Editor(columns, full[0], full[1:], separator_of(_first_line(content)))
    names = [editor.image_of(row) if row.cells is not full[0] else "" for row in rows]
    place = Place.find(path, images, next(filter(None, names), ""))
    pieces = []
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        change = changes.get(place.of(name)) if name else None
        if change is None or row.cells is None:
            pieces.append(row.raw)
            continue
        later = names[number + 1 :].count(name)
        earlier = names[:number].count(name)
        end = b"\r\n" if row.raw.endswith(b"\r\n") else b"\n"
        changed = editor.edit(row.cells, change, earlier, later)
        if changed == [row.cells]:
            pieces.append(row.raw)
            continue
        lines = "".join(csv_line(cells, editor.separator, end.decode()) for cells in changed)
        new = _encode(lines, row.raw, path)
        if changed and not row.raw.endswith(b"\n"):  # the last line of a file without an end
            new = new.removesuffix(end)
        pieces.append(new)
    return b"".join(pieces)


class _Editor:
    """Knows how a table writes its tags.

    Args:
        columns: what stands where
        header: of the table
        rows: that follow
        separator: of columns
    """

    def __init__(
        self, columns: Columns, header: Sequence[str], rows: Sequence[list[str]], separator: str
    ) -> None:
        self.separator = separator
        self._columns = columns
        own = [row for row in rows if len(row) == columns.num]
        num_rows = Counter(self._name(row) for row in own)
        tags = columns.tags
        self._is_long = (
            tags is not None
            and max(num_rows.values(), default=0) > 1
            and all(len(list(filter(None, split_tags(row[tags])))) <= 1 for row in own)
        )
        self._kept: dict[str, list[str]] = {}
        self._mark = self._usual_mark(own)
        self._words = {
            value: next(
                (
                    row[place].strip()
                    for place in columns.one_hot
                    for row in own
                    if row[place].strip() and VALUES.get(row[place].strip().lower()) is value
                ),
                str(int(value)),
            )
            for value in (False, True)
        }

    def image_of(self, row: _Row) -> str:
        """Name of the picture of a row; empty if it is none of a picture."""
        if row.cells is None or len(row.cells) != self._columns.num:
            return ""
        return self._name(row.cells)

    def _name(self, cells: Sequence[str]) -> str:
        return clean_text(cells[self._columns.image], "", None, Problems())

    def edit(self, cells: list[str], change: Change, earlier: int, later: int) -> list[list[str]]:
        """The rows that take a row's place.

        Args:
            cells: of the row
            change: of its picture
            earlier: rows of the same picture before it
            later: and behind it
        """
        if self._columns.tags is None:
            return [self._edit_one_hot(cells, change, is_first=earlier == 0)]
        if self._is_long:
            return self._edit_long(cells, change, earlier, later)
        place = self._columns.tags
        tags = [clean_text(tag, "", None, Problems()) for tag in split_tags(cells[place])]
        wanted = change.kept(filter(None, tags)) + (list(change.add) if earlier == 0 else [])
        if wanted == list(filter(None, tags)):
            return [cells]
        own = next((mark for mark in _MARKS if mark in cells[place]), self._mark)
        return [self._with_tag(cells, self._join(wanted, own))]

    def _edit_long(
        self, cells: list[str], change: Change, earlier: int, later: int
    ) -> list[list[str]]:
        assert self._columns.tags is not None
        name = self._name(cells)
        if earlier == 0:
            self._kept[name] = []
        tag = clean_text(cells[self._columns.tags], "", None, Problems()).strip(";|, ")
        goes = fold_name(tag) in change.remove if tag else bool(change.add)
        rows = [] if goes else [cells]
        self._kept[name] += [tag] * len(rows)
        if later == 0:
            rows += [self._with_tag(cells, self._join([tag], self._mark)) for tag in change.add]
            if not rows and not self._kept[name]:
                rows = [self._with_tag(cells, "")]
        return rows

    def _edit_one_hot(self, cells: list[str], change: Change, *, is_first: bool) -> list[str]:
        cells = list(cells)
        added = {fold_name(tag) for tag in change.add}
        for place, name in self._columns.one_hot.items():
            if fold_name(name) in change.remove and VALUES.get(cells[place].strip().lower()):
                cells[place] = self._words[False]
            elif fold_name(name) in added and is_first:
                cells[place] = self._words[True]
        return cells

    def _with_tag(self, cells: list[str], text: str) -> list[str]:
        assert self._columns.tags is not None
        return [text if at == self._columns.tags else cell for at, cell in enumerate(cells)]

    def _usual_mark(self, rows: Sequence[Sequence[str]]) -> str:
        """What most fields have between tags."""
        if self._columns.tags is None:
            return ";"
        fields = [row[self._columns.tags] for row in rows]
        counts = {mark: sum(mark in text for text in fields) for mark in _MARKS}
        return max(_MARKS, key=lambda mark: counts[mark])

    def _join(self, tags: Sequence[str], mark: str) -> str:
        for one in (mark, *_MARKS):
            text = (one if one == "|" else f"{one} ").join(tags)
            if [tag for tag in split_tags(text) if tag] == list(tags):
                return text
        raise UsageError(f"the tags {', '.join(tags)!r} cannot be told apart in one field")


def _rows(content: bytes) -> Iterator[_Row]:
    """All rows, as `anytag.data.sources.tables` sees them; together they are the content."""
    lines = _lines(content)
    texts = (
        decode(line.removeprefix(_BOM if number == 0 else b""))[0]
        .removesuffix("\n")
        .removesuffix("\r")
        + "\n"
        for number, line in enumerate(lines)
    )
    reader = csv.reader(texts, delimiter=separator_of(_first_line(content)), strict=True)
    done = 0
    while True:
        try:
            cells: list[str] | None = next(reader)
        except StopIteration:
            break
        except csv.Error:
            cells = None
        yield _Row(b"".join(lines[done : reader.line_num]), cells)
        done = reader.line_num
    if done < len(lines):
        yield _Row(b"".join(lines[done:]), None)


def _lines(content: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _first_line(content: bytes) -> str:
    return decode(content.partition(b"\n")[0].removeprefix(_BOM).removesuffix(b"\r"))[0] + "\n"


def _encode(text: str, before: bytes, path: Path) -> bytes:
    """In the encoding of the row that it replaces."""
    if decode(before)[1]:
        return text.encode()
    try:
        return text.encode("cp1252")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{display_path(path)} is not UTF-8, and {text[error.start]!r} cannot be written in "
            "its encoding; convert it to UTF-8"
        ) from error
