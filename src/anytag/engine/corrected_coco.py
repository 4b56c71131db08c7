"""COCO: annotations of wrong tags go, those of missing ones come.

A missing tag becomes ``{"id", "image_id", "category_id", "bbox", "area", "iscrowd": 0, "source":
"anytag"}``, in the first file of the split that has instances; without a box it has no "bbox", no
"area" and no "iscrowd", and says only that the picture shows it. There is no segmentation. Of
panoptic files, segments of wrong tags leave "segments_info"; the masks are not touched. Files
without a change are copied byte for byte; others are held in memory whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from anytag.data.problems import Problems
from anytag.data.sources.coco import annotation_files, image_folder
from anytag.data.text_files import clean_text
from anytag.engine.corrected_change import SOURCE, Change, pixel_box, write_bytes
from anytag.engine.ground import Box
from anytag.errors import UsageError
from anytag.files import display_path
from anytag.labels.labelset import fold_name

#: JSON
Plain: TypeAlias = dict[str, Any]


def write_coco(
    path: Path, images: Path | None, changes: Mapping[str, Change], output: Path
) -> list[Path]:
    """Write the files of `anytag.data.sources.coco.read_coco`; returns them.

    Raises:
        UsageError: a missing tag is a category of panoptic files only
    """
    written = []
    for split, files in annotation_files(path).items():
        contents = [file.read_bytes() for file in files]
        values = [_parse(content) for content in contents]
        first = next((name for value in values for name in _file_names(value).values()), "")
        folder = images or image_folder(split, files[0].parent, first)
        to_add: dict[str, dict[str, Box | None]] = {}
        for value, content, file in zip(values, contents, files, strict=True):
            corrected = _Corrected(value, folder)
            corrected.remove(changes)
            corrected.add(changes, to_add)
            target = output / (file.relative_to(path) if path.is_dir() else file.name)
            changed = _format(value, content) if corrected.is_changed else content
            write_bytes(target, changed)
            written.append(target)
        for image, left in to_add.items():
            if left:
                raise UsageError(
                    f"{display_path(image)}: {next(iter(left))!r} is a category of panoptic files "
                    "only, to which no segment can be added; decide no for it"
                )
    return written


class _Corrected:
    """One file under change.

    Args:
        value: its JSON, which is changed
        folder: of the pictures
    """

    def __init__(self, value: Plain, folder: Path) -> None:
        self.is_changed = False
        self._value = value
        self._categories: dict[str, object] = {}
        for one in _dicts(value, "categories"):
            name = clean_text(str(one.get("name", "")), "", None, Problems())
            self._categories.setdefault(fold_name(name), one.get("id"))
        self._folds: dict[str, str] = {}
        for one in _dicts(value, "categories"):
            name = clean_text(str(one.get("name", "")), "", None, Problems())
            self._folds[str(one.get("id"))] = fold_name(name)
        self._images = {key: str(folder / name) for key, name in _file_names(value).items()}
        annotations = _dicts(value, "annotations")
        ids = [one["id"] for one in annotations if _is_number(one.get("id"))]
        self._next_id = max(ids, default=0) + 1  # before any goes: no id comes to mean another
        self._has_instances = bool(self._categories) and not any(
            "segments_info" in one for one in annotations
        )

    def remove(self, changes: Mapping[str, Change]) -> None:
        """Take the annotations of wrong tags out."""
        kept = []
        annotations = self._value.get("annotations")
        if not isinstance(annotations, list):
            return
        for one in annotations:
            change = changes.get(self._images.get(str(_get(one, "image_id")), ""))
            if change is None or not change.remove or not isinstance(one, dict):
                kept.append(one)
            elif "segments_info" in one:
                segments = [part for part in one["segments_info"] if not self._goes(part, change)]
                self.is_changed |= len(segments) < len(one["segments_info"])
                kept.append({**one, "segments_info": segments})
            elif "caption" in one or not self._goes(one, change):
                kept.append(one)
            else:
                self.is_changed = True
        if self.is_changed:
            self._value["annotations"] = kept

    def _goes(self, annotation: Plain, change: Change) -> bool:
        return self._folds.get(str(annotation.get("category_id"))) in change.remove

    def add(self, changes: Mapping[str, Change], to_add: dict[str, dict[str, Box | None]]) -> None:
        """Annotations of missing tags; ``to_add`` keeps what no file of the split has taken yet."""
        annotations = self._value.get("annotations")
        seen = set()
        for one in _dicts(self._value, "images"):
            image = self._images.get(str(one.get("id")), "")
            change = changes.get(image)
            if change is None or image in seen:
                continue
            seen.add(image)
            left = to_add.setdefault(image, dict(change.add))
            if not self._has_instances or not isinstance(annotations, list):
                continue
            for tag in [tag for tag in left if fold_name(tag) in self._categories]:
                annotations.append(
                    {
                        "id": self._next_id,
                        "image_id": one["id"],
                        "category_id": self._categories[fold_name(tag)],
                        **_box_of(left.pop(tag), one, image),
                        "source": SOURCE,
                    }
                )
                self._next_id += 1
                self.is_changed = True


def _box_of(box: Box | None, entry: Plain, image: str) -> Plain:
    if box is None:
        return {}
    width, height = entry.get("width"), entry.get("height")
    known = None
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        known = width, height
    pixels = pixel_box(box, known, image)
    if pixels is None:
        return {}
    left, top, right, bottom = pixels
    box_width, box_height = round(right - left, 2), round(bottom - top, 2)
    return {
        "bbox": [left, top, box_width, box_height],
        "area": round(box_width * box_height, 2),
        "iscrowd": 0,
    }


def _parse(content: bytes) -> Plain:
    value = json.loads(content.decode("utf-8-sig", "surrogateescape"))
    assert isinstance(value, dict), "the reader would have found no pictures"
    return value


def _format(value: Plain, before: bytes) -> bytes:
    """JSON, indented as it was."""
    found = re.match(rb"\s*\{\r?\n( +|\t+)", before)
    indent = None if found is None else found[1].decode()
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "surrogateescape")


def _file_names(value: Plain) -> dict[str, str]:
    """File name of each picture, by its id as text; of an id that comes again, the first."""
    names: dict[str, str] = {}
    for one in _dicts(value, "images"):
        if isinstance(one.get("file_name"), str) and one["file_name"]:
            names.setdefault(str(one.get("id")), one["file_name"])
    return names


def _dicts(value: Plain, key: str) -> list[Plain]:
    items = value.get(key)
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
