"""Folders of pictures: with text files beside them, or a folder for each class.

photo.jpg photo.txt    the lines are captions, or (as `folder-tags`) tags with commas between,
                       as `anytag tag --caption-txt` and trainers write them; also photo.caption
photo.jpg photo.json   metadata of img2dataset ("caption"), or one of our records
cat/1.jpg dog/2.jpg    the folder is the tag
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from anytag.data.discover import IMAGE_EXTENSIONS
from anytag.data.problems import Problems
from anytag.data.records import Record, from_plain, unique
from anytag.data.sources.paths import walk
from anytag.data.text_files import clean_text, decode_file

TEXT_ENDINGS = (".txt", ".caption")


def read_folder(
    path: Path, problems: Problems, *, tags: bool = False, source: str = ""
) -> Iterator[Record]:
    """Pictures of a folder and its subfolders with the texts beside them.

    Args:
        path: the folder
        problems: gets what is wrong, and texts without a picture
        tags: the texts are tags with commas between, not captions
        source: of the records; the folder's name if empty
    """
    for folder, names in walk(path, problems):
        present = set(names)
        images = [name for name in names if is_image(name)]
        used = set()
        for name in images:
            stem = Path(name).stem
            texts = [stem + ending for ending in (*TEXT_ENDINGS, ".json")]
            texts += [name + ending for ending in TEXT_ENDINGS]
            found = [text for text in texts if text in present]
            used.update(found)
            texts_of = _read_text(folder / found[0], problems, tags) if found else ([], [])
            yield Record(
                image=str(folder / name),
                captions=unique(texts_of[0]),
                tags=unique(texts_of[1]),
                source=source or path.name,
            )
        for name in names if images else ():
            if name.endswith(TEXT_ENDINGS) and name not in used:
                problems.add("missing_image", folder / name, None, "has no picture beside it")


def read_classes(path: Path, problems: Problems, *, source: str = "") -> Iterator[Record]:
    """Pictures in a folder for each class: its name, with blanks for ``_``, is the tag."""
    for folder, names in walk(path, problems):
        if folder == path:
            for name in filter(is_image, names):
                problems.add("malformed", path / name, None, "lies in no folder of a class")
            continue
        tag = folder.relative_to(path).parts[0].replace("_", " ").strip()
        for name in filter(is_image, names):
            yield Record(image=str(folder / name), tags=unique([tag]), source=source or path.name)


def is_image(name: str) -> bool:
    """Whether a file has the ending of an image."""
    return Path(name).suffix.lower() in IMAGE_EXTENSIONS


def _read_text(file: Path, problems: Problems, tags: bool) -> tuple[list[str], list[str]]:
    """(captions, tags) of a file beside a picture."""
    try:
        text, is_clean = decode_file(file.read_bytes())
    except OSError as error:
        problems.add("unreadable", file, None, f"cannot be read: {error.strerror}")
        return [], []
    if not is_clean:
        problems.add("encoding", file, None, "is not UTF-8; read as Windows-1252")
    if file.suffix == ".json":
        return _read_json(file, text, problems)
    pieces = re.split("[,\n]" if tags else "\n", text)
    cleaned = [clean_text(piece, file, None, problems) for piece in pieces]
    return ([], cleaned) if tags else (cleaned, [])


def _read_json(file: Path, text: str, problems: Problems) -> tuple[list[str], list[str]]:
    try:
        row = json.loads(text)
        if isinstance(row, dict) and isinstance(row.get("caption"), str):
            row = {"captions": [row["caption"]]}
        record = from_plain({**row, "image": "-"})
    except (ValueError, TypeError, RecursionError) as error:
        problems.add("malformed", file, None, f"is no record: {error}")
        return [], []
    captions = [clean_text(caption, file, None, problems) for caption in record.captions]
    return captions, [clean_text(tag, file, None, problems) for tag in record.tags]
