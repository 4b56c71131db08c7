"""Category lists of data sets and taggers: COCO, LVIS, OpenImages, ADE20k, or plain text.

    .txt          a name a line; more names of the same thing after commas; ``#`` begins a comment
    .csv, .tsv    a column ``name``, ``label``, ``class``, ``category``, ``tag`` or ``DisplayName``
                  (and ``synonyms``); or OpenImages' two columns without a header
                  (``/m/011k07,Tortoise``). ADE20k's objectInfo150.txt is such a table with tabs
    .json         COCO's or LVIS's ``{"categories": [{"name": ..., "synonyms": [...]}]}``, such a
                  list alone (labels.json), or a list of names

Names lose what data sets write for programs: ``_``, ``crane_(machine)``, ``tree-merged``,
``church indoor``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from anytag.errors import LabelError
from anytag.files import display_path
from anytag.labels.labelset import fold_name

NAME_COLUMNS = ("name", "label", "class", "category", "tag", "displayname", "display_name")
_SYNONYM_COLUMNS = ("synonyms", "synonym", "aliases")
_OPEN_IMAGES_ID = re.compile(r"/[mgt]/\w+")
_PROGRAM_ENDINGS = re.compile(r"(?:-other|-merged|-stuff)+$")
#: ADE20k says where a scene is: "church indoor"
_PLACES = re.compile(r"(?<=\w)[\s_/]+(?:indoor|outdoor|interior|exterior)$")
_SENSE = re.compile(r"[\s_]*\([^)]*\)")


class Category(NamedTuple):
    """One entry of a list."""

    name: str
    synonyms: tuple[str, ...] = ()


def read_category_list(path: Path) -> list[Category]:
    """The categories of a file in its order, each name once.

    Raises:
        LabelError: the file cannot be read, or has none of the forms above
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelError(f"{display_path(path)}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{display_path(path)}: not UTF-8 text; save it as UTF-8") from error
    ending = path.suffix.lower()
    if ending == ".json":
        found = _from_json(path, text)
    elif ending in (".csv", ".tsv") or "\t" in text.split("\n", 1)[0]:
        found = _from_table(path, text, "," if ending == ".csv" else "\t")
    else:
        found = [_named(re.split("[,;]| / ", line.partition("#")[0])) for line in text.splitlines()]
    unique: dict[str, Category] = {}
    for category in found:
        if category.name:
            unique.setdefault(category.name, category)
    if not unique:
        raise LabelError(f"{display_path(path)}: holds no names; write one a line")
    return list(unique.values())


def clean_name(name: str) -> str:
    """A category's name as a tag.

    >>> clean_name("Crane_(machine)"), clean_name("wall-other-merged")
    ('crane', 'wall')
    """
    folded = fold_name(_SENSE.sub("", name))
    return _PLACES.sub("", _PROGRAM_ENDINGS.sub("", folded))


def _named(names: Iterable[object]) -> Category:
    cleaned = [name for name in (clean_name(str(one)) for one in names) if name]
    if not cleaned:
        return Category("")
    others = tuple(dict.fromkeys(name for name in cleaned[1:] if name != cleaned[0]))
    return Category(cleaned[0], others)


def _from_json(path: Path, text: str) -> list[Category]:
    expected = "expected a list of names, or COCO's 'categories' with a 'name' each"
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise LabelError(f"{display_path(path)}: not valid JSON ({error})") from error
    if isinstance(value, dict):
        value = value.get("categories")
    if not isinstance(value, list):
        raise LabelError(f"{display_path(path)}: {expected}")
    found = []
    for number, one in enumerate(value, 1):
        if isinstance(one, str):
            found.append(_named([one]))
        elif isinstance(one, dict) and isinstance(one.get("name"), str):
            synonyms = one.get("synonyms")
            found.append(_named([one["name"], *(synonyms if isinstance(synonyms, list) else ())]))
        else:
            raise LabelError(f"{display_path(path)}: entry {number} has no name; {expected}")
    return found


def _from_table(path: Path, text: str, delimiter: str) -> list[Category]:
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    if not rows:
        return []
    if len(rows[0]) == 2 and _OPEN_IMAGES_ID.fullmatch(rows[0][0]):
        return [_named([row[1]]) for row in rows if len(row) == 2]
    header = [cell.strip().casefold() for cell in rows[0]]
    at = next((header.index(name) for name in NAME_COLUMNS if name in header), None)
    if at is None:
        raise LabelError(
            f"{display_path(path)}: no column of names; its first row is {', '.join(rows[0])}, "
            f"expected one of {', '.join(NAME_COLUMNS)}"
        )
    other = next((header.index(name) for name in _SYNONYM_COLUMNS if name in header), None)
    found = []
    for row in rows[1:]:
        cells = [row[at]] if at < len(row) else []
        cells += [row[other]] if other is not None and other < len(row) else []
        found.append(_named(part for cell in cells for part in re.split("[,;|]| / ", cell)))
    return found
