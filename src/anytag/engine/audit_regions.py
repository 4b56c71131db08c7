"""Where the missing tags are: one region for each, kept so that a killed run goes on.

``boxes.jsonl`` holds the settings in its first line, then a picture a line. A line that was torn by
a kill is left out and made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from anytag.data.images import open_image
from anytag.engine.audit_set import Report
from anytag.engine.audit_table import Suspect
from anytag.engine.config import GroundConfig
from anytag.engine.detectors import make_detector
from anytag.engine.ground import Box, best_regions
from anytag.engine.pictures import Pictures, content
from anytag.errors import AnytagError, LabelError, ModelError, OutputError
from anytag.files import atomic_write, display_path
from anytag.inference.tagger import Tagger


def locate(
    suspects: Sequence[Suspect], tagger: Tagger, detector: str, path: Path, report: Report
) -> tuple[list[Suspect], str]:
    """The suspects, the missing ones with the box where they were found.

    Args:
        suspects: of any kind
        tagger: the model
        detector: see `GroundConfig.detector`
        path: of ``boxes.jsonl``
        report: told of progress, in pictures

    Returns:
        the suspects, and why there are no boxes (empty where there are)
    """
    wanted: dict[str, list[str]] = {}
    for one in suspects:
        if one.kind == "missing":
            wanted.setdefault(one.image, []).append(one.tag)
    names = list(dict.fromkeys(tag for tags in wanted.values() for tag in tags))
    if not names:
        return list(suspects), ""
    try:
        asked = tagger.with_tags(names)
        found = make_detector(GroundConfig(detector=detector), asked)
        if detector == "attention":
            found.detect(Image.new("RGB", (8, 8)), [0])  # not every model has attention maps
    except (LabelError, ModelError) as error:
        return list(suspects), f"no boxes: {error}"
    known = _read(path, {"detector": found.name, "model": tagger.model_name})
    pictures = Pictures()
    for number, (image, tags) in enumerate(wanted.items(), 1):
        boxes = known.setdefault(image, {})
        new = [names.index(tag) for tag in tags if tag not in boxes]
        if new:
            opened = _open(pictures, image)
            regions = best_regions(found.detect(opened, new), 1) if opened else []
            boxes |= dict.fromkeys(names[tag] for tag in new)
            boxes |= {names[one.tag]: one.box for one in regions}
            _append(path, {"image": image, "boxes": boxes})
        report(number, len(wanted))
    return [
        replace(one, box=known[one.image].get(one.tag)) if one.kind == "missing" else one
        for one in suspects
    ], ""


def _open(pictures: Pictures, image: str) -> Image.Image | None:
    try:
        return open_image(content(pictures.source(image)))
    except (AnytagError, OSError):
        return None


def _append(path: Path, row: dict[str, Any]) -> None:
    try:
        with path.open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
    except OSError as error:
        raise OutputError(f"cannot write {display_path(path)}: {error.strerror}") from error


def _read(path: Path, settings: dict[str, str]) -> dict[str, dict[str, Box | None]]:
    """What an earlier run with these settings has found; begins the file anew if there is none."""
    rows = list(_rows(path))
    found: dict[str, dict[str, Box | None]] = {}
    if rows[:1] == [settings]:
        for row in rows[1:]:
            found[row["image"]] = {
                tag: None if box is None else (box[0], box[1], box[2], box[3])
                for tag, box in row["boxes"].items()
            }
    with atomic_write(path) as file:  # without the torn line
        lines = [settings, *({"image": image, "boxes": found[image]} for image in found)]
        file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    return found


def _rows(path: Path) -> Iterator[Any]:  # Any: JSON
    if path.exists():
        for line in path.read_bytes().split(b"\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue
