"""COCO: captions, instances and panoptic annotations (cocodataset.org, format "data").

    {"images": [{"id": 139, "file_name": "000000000139.jpg"}],
     "annotations": [{"image_id": 139, "caption": "A man ..."}],          captions
     "annotations": [{"image_id": 139, "category_id": 62, "bbox": ...}],  instances
     "annotations": [{"image_id": 139, "segments_info": [{"category_id": 62}]}],  panoptic
     "categories": [{"id": 62, "name": "chair"}]}

The files are read item by item, and what a record needs is held for all images of a split: about
150 MB for the captions and instances of train2017, whose JSON has 540 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anytag.data.json_items import JsonItem, json_items
from anytag.data.problems import Problems
from anytag.data.records import Record, unique
from anytag.data.sources.paths import find_folder, text_of
from anytag.data.text_files import clean_text

#: split (train2017) in the name of an annotation file
FILE_NAME = re.compile(r"(?:captions|instances|panoptic)_(\w+)\.json")


@dataclass(slots=True)
class _Image:
    file_name: str
    captions: list[str] = field(default_factory=list)
    #: a dict for its order
    categories: dict[str, None] = field(default_factory=dict)


def read_coco(
    path: Path, problems: Problems, *, images: Path | None = None, source: str = "coco"
) -> Iterator[Record]:
    """A COCO annotation file; or a folder of them, where the files of a split are joined.

    Args:
        path: ``captions_train2017.json`` and the like, or the folder of them or the one above
        problems: gets what is wrong
        images: the folder of the pictures; if not given, ``train2017`` and the like near the file
        source: of the records
    """
    for split, files in annotation_files(path).items():
        yield from _read_split(split, files, problems, images, source)


def annotation_files(path: Path) -> dict[str, list[Path]]:
    """Annotation files by split."""
    if not path.is_dir():
        match = FILE_NAME.fullmatch(path.name)
        return {match[1] if match else "": [path]}
    splits: dict[str, list[Path]] = {}
    for folder in (path, path / "annotations"):
        for file in sorted(folder.glob("*.json")):
            if match := FILE_NAME.fullmatch(file.name):
                splits.setdefault(match[1], []).append(file)
    return splits


def _read_split(
    split: str, files: Sequence[Path], problems: Problems, folder: Path | None, source: str
) -> Iterator[Record]:
    found: dict[str, _Image] = {}
    for file in files:
        _read_file(file, found, problems)
    first = next(iter(found.values()), None)
    folder = folder or image_folder(split, files[0].parent, first.file_name if first else "")
    for image in found.values():
        yield Record(
            image=str(folder / image.file_name),
            captions=tuple(image.captions),
            tags=tuple(image.categories),
            source=source,
        )


def image_folder(split: str, here: Path, first: str) -> Path:
    """The folder of the pictures of annotations that lie ``here``; ``first`` names one of them."""
    names = [name for name in (split, f"images/{split}") if split] + ["images"]
    folder = find_folder([here, here.parent], names)
    if folder is None:  # exported sets mostly have the file among the pictures
        return here if first and (here / first).is_file() else here.parent
    return folder


def _read_file(file: Path, found: dict[str, _Image], problems: Problems) -> None:
    names: dict[str, str] = {}
    waiting: dict[str, dict[str, None]] = {}  # ids of categories, whose names may come last
    new: set[str] = set()
    early: list[JsonItem] = []  # annotations before their images
    for item in json_items(file, problems):
        if item.index is None:
            continue
        try:
            if item.key == "images":
                _add_image(item, found, new, file, problems)
            elif item.key == "categories":
                name = clean_text(item.value["name"], file, item.line, problems)
                names[text_of(item.value["id"])] = name
            elif item.key == "annotations" and new:
                _add_annotation(item, found, waiting, file, problems)
            elif item.key == "annotations":
                early.append(item)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            _report(item, file, error, problems)
    for item in early:
        try:
            _add_annotation(item, found, waiting, file, problems)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            _report(item, file, error, problems)
    for image_id, ids in waiting.items():
        for category in ids:
            if category in names:
                found[image_id].categories[names[category]] = None
            else:
                problems.add("malformed", file, None, f"no category has the id {category}")


def _add_image(
    item: JsonItem, found: dict[str, _Image], new: set[str], file: Path, problems: Problems
) -> None:
    image_id = text_of(item.value["id"])
    name = item.value["file_name"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"'file_name' must be a text, found {name!r:.60}")
    if image_id in new:
        problems.add("duplicate", file, item.line, f"image {image_id} comes again; not used")
        return
    new.add(image_id)
    found.setdefault(image_id, _Image(name))


def _add_annotation(
    item: JsonItem,
    found: dict[str, _Image],
    waiting: dict[str, dict[str, None]],
    file: Path,
    problems: Problems,
) -> None:
    value = item.value
    image_id = text_of(value["image_id"])
    if image_id not in found:
        raise ValueError(f"no image has the id {image_id}")
    if "caption" in value:
        caption = clean_text(value["caption"], file, item.line, problems)
        found[image_id].captions.extend(unique([caption]))
        return
    segments = value.get("segments_info", [value])
    for segment in segments:
        waiting.setdefault(image_id, {})[text_of(segment["category_id"])] = None


def _report(item: JsonItem, file: Path, error: Exception, problems: Problems) -> None:
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    problems.add("malformed", file, item.line, f"item {item.index} of {item.key!r}: {what}")
