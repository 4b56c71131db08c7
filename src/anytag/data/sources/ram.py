"""RAM's released annotations (github.com/xinyu1205/recognize-anything): one JSON array.

    [{"image_path": "visual-genome/VG_100K/1.jpg", "caption": ["trees line the sidewalk"],
      "union_label_id": [4480], "parse_label_id": [[4253, 2461, 2966]]}]

``parse_label_id[i]`` are the tags that were parsed from ``caption[i]``; ``union_label_id``, which
may be missing, adds those of the data engine. Ids are places in the tag list, from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from anytag.data.json_items import json_items
from anytag.data.problems import Problems, SeenKeys
from anytag.data.records import Record
from anytag.data.text_files import clean_text


def read_ram(
    path: Path,
    problems: Problems,
    *,
    images: Path | None = None,
    names: Sequence[str] | None = None,
    source: str = "",
) -> Iterator[Record]:
    """RAM's JSON, item by item.

    Args:
        path: the file
        problems: gets what is wrong
        images: to which ``image_path`` is relative; if not given, the file's folder
        names: the tag list; without it tags are ids as text ("4480")
        source: of the records; the file's name without ending if empty
    """
    root = images or path.parent
    seen = SeenKeys()
    for item in json_items(path, problems):
        if item.key:
            continue
        try:
            row = item.value
            image = row["image_path"]
            if not isinstance(image, str) or not image:
                raise ValueError(f"'image_path' must be a text, found {image!r:.60}")
            captions = row["caption"]
            captions = [captions] if isinstance(captions, str) else captions
            texts = tuple(clean_text(text, path, item.line, problems) for text in captions)
            parsed = row.get("parse_label_id") or []
            record = Record(
                image=str(root / image),
                captions=texts,
                tags=_names(row.get("union_label_id") or [], names),
                parsed_tags=tuple(_names(ids, names) for ids in parsed),
                source=source or path.stem,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            problems.add("malformed", path, item.line, f"item {item.index}: {what}")
            continue
        if not seen.add(image):
            message = f"item {item.index}: {image} comes again; a second record"
            problems.add("duplicate", path, item.line, message)
        yield record


def _names(ids: Any, names: Sequence[str] | None) -> tuple[str, ...]:  # Any: JSON
    for one in ids:
        if not isinstance(one, int) or isinstance(one, bool) or one < 0:
            raise ValueError(f"an id of a tag must be a number from 0, found {one!r:.60}")
        if names is not None and one >= len(names):
            raise ValueError(f"id {one} is not in the tag list, which has {len(names):,} tags")
    return tuple(str(one) if names is None else names[one] for one in ids)
