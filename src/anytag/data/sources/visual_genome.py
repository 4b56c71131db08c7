"""Visual Genome (visualgenome.org): region descriptions, objects, attributes; versions 1.0 to 1.4.

    region_descriptions.json  [{"id": 1, "regions": [{"image_id": 1, "phrase": "the clock"}]}]
    objects.json              [{"image_id": 1, "objects": [{"names": ["trees"], "synsets": [...]}]}]
    attributes.json           [{"image_id": 1, "attributes": [{"names": ["clock"],
                                                               "attributes": ["green", "tall"]}]}]
    image_data.json           [{"image_id": 1, "url": "https://.../VG_100K_2/1.jpg"}]

Phrases become captions; names of objects and attributes become tags. The files name the images in
the same order, so that they are joined with little memory; in another order all is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anytag.data.json_items import JsonItem, json_items
from anytag.data.problems import Problems, SeenKeys
from anytag.data.records import Record, unique
from anytag.data.sources.paths import text_of
from anytag.data.text_files import clean_text

#: the file's name -> the key of its list
FILES = {
    "region_descriptions.json": "regions",
    "objects.json": "objects",
    "attributes.json": "attributes",
    "image_data.json": "url",
}
_FOLDERS = ("VG_100K", "VG_100K_2", "images/VG_100K", "images/VG_100K_2", "images", "")


@dataclass(slots=True)
class _Image:
    url: str = ""
    captions: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    #: files that named it
    num_files: int = 0


def read_visual_genome(
    path: Path, problems: Problems, *, images: Path | None = None, source: str = "visual-genome"
) -> Iterator[Record]:
    """One of the annotation files, or a folder with some of them, which are joined by image.

    Args:
        path: the file or folder
        problems: gets what is wrong
        images: the folder that holds ``VG_100K`` and ``VG_100K_2``; if not given, the file's
        source: of the records
    """
    files = [path / name for name in FILES if (path / name).is_file()] if path.is_dir() else [path]
    root = images or (path if path.is_dir() else path.parent)
    folders = [root / name for name in _FOLDERS if (root / name).is_dir()]
    for image_id, image in _joined(files, problems):
        yield Record(
            image=_image_path(image_id, image.url, root, folders),
            captions=unique(image.captions),
            tags=unique(image.tags),
            source=source,
        )


def _joined(files: list[Path], problems: Problems) -> Iterator[tuple[str, _Image]]:
    """One item of each file in turn; an image is complete when all open files have named it."""
    waiting: dict[str, _Image] = {}
    streams = [(file, json_items(file, problems), SeenKeys()) for file in files]
    while streams:
        for stream in list(streams):
            file, items, seen = stream
            item = next(items, None)
            if item is None:
                streams.remove(stream)
                continue
            try:
                image_id = _image_id(item.value)
                if not seen.add(image_id):
                    problems.add("duplicate", file, item.line, f"image {image_id} comes again")
                image = waiting.setdefault(image_id, _Image())
                image.num_files += 1
                _add(item, image, file, problems)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                problems.add("malformed", file, item.line, f"item {item.index}: {what}")
                continue
            if image.num_files >= len(files):
                yield image_id, waiting.pop(image_id)
    yield from waiting.items()


def _image_id(value: Any) -> str:  # Any: JSON
    if "image_id" in value:
        return text_of(value["image_id"])
    return text_of(value["id"])  # version 1.0, and region descriptions of all versions


def _add(item: JsonItem, image: _Image, file: Path, problems: Problems) -> None:
    value = item.value

    def clean(texts: Any) -> list[str]:
        return [clean_text(text, file, item.line, problems) for text in texts]

    image.url = value.get("image_url") or value.get("url") or image.url
    for region in value.get("regions", ()):
        image.captions.extend(clean([region["phrase"]]))
    for thing in [*value.get("objects", ()), *value.get("attributes", ())]:
        image.tags.extend(clean(thing.get("names") or thing.get("object_names") or ()))
        image.tags.extend(clean(thing.get("attributes") or ()))


def _image_path(image_id: str, url: str, root: Path, folders: list[Path]) -> str:
    if url:  # .../VG_100K_2/1.jpg
        *_, folder, name = f"/{url}".rsplit("/", 2)
        for place in (root / folder / name, root / "images" / folder / name):
            if place.is_file():
                return str(place)
    else:
        folder, name = "VG_100K", f"{image_id}.jpg"
    for one in folders:
        if (one / name).is_file():
            return str(one / name)
    return str(root / folder / name)
