"""The corrected set: confirmed faults applied to a labelled set, written in its own format.

    coco         JSON files: a wrong tag's annotations of the picture go; a missing one gets an
                 annotation with "source": "anytag", with "bbox" and "area" if it has a box
    voc          XML files: a wrong tag's objects go; a missing one gets an object, with "bndbox" if
                 it has a box
    table        the table with its own columns
    records      JSONL or Parquet, "tags" (and "parsed_tags" of removed ones)
    classes, folder-tags, folder    a copy of the folder, or hard links
    others       records as ``corrected.jsonl``

What is not changed keeps its bytes. The originals are never written to. The pictures of the first
four stay where they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from anytag.data.record_files import write_jsonl
from anytag.data.records import Record
from anytag.data.sources import Source
from anytag.engine.audit_table import Decision, read_decisions
from anytag.engine.corrected_change import Change
from anytag.engine.corrected_coco import write_coco
from anytag.engine.corrected_folders import write_classes, write_tag_folder
from anytag.engine.corrected_records import write_records
from anytag.engine.corrected_table import write_table
from anytag.engine.corrected_voc import write_voc
from anytag.engine.ground import Box
from anytag.errors import UsageError
from anytag.files import display_path
from anytag.labels.labelset import fold_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What was written."""

    files: tuple[Path, ...]
    added: int
    removed: int
    #: what a reader must know
    notes: tuple[str, ...]


def correct(source: Source, decisions: Path, output: Path, *, link: bool = False) -> Corrected:
    """Write the corrected set into a new folder.

    Args:
        source: the set that was audited
        decisions: table of `audit_table`; rows with "yes" are applied
        output: an empty or new folder
        link: hard links in place of copies, of pictures

    Raises:
        UsageError: the table names a picture or tag that the set has not, or a tag that the picture
            has already (has no longer); the folder is not empty; or the format cannot hold a change
        OutputError: a file cannot be written
    """
    records = list(source)
    changes = plan(read_decisions(decisions), records, decisions)
    _claim(output, source.path)
    notes: list[str] = []
    match source.kind:
        case "coco":
            files = write_coco(source.path, source.images, changes, output)
        case "voc":
            files = write_voc(source.path, source.images, changes, output)
        case "table":
            files = write_table(source.path, source.images, changes, output)
        case "records":
            files = write_records(source.path, source.images, changes, output)
        case "classes":
            files, notes = write_classes(source.path, changes, output, link=link)
        case "folder-tags":
            files = write_tag_folder(source.path, changes, output, link=link)
        case _:
            files = [output / "corrected.jsonl"]
            write_jsonl(files[0], (_changed(record, changes) for record in records))
            notes = [f"sets of kind {source.kind} are written as records"]
    return Corrected(
        files=tuple(files),
        added=sum(len(change.add) for change in changes.values()),
        removed=sum(len(change.remove) for change in changes.values()),
        notes=tuple(notes),
    )


@dataclass(slots=True)
class _Planned:
    add: dict[str, Box | None] = field(default_factory=dict)
    remove: set[str] = field(default_factory=set)


def plan(decisions: Iterable[Decision], records: Iterable[Record], path: Path) -> dict[str, Change]:
    """What changes, by picture.

    Args:
        decisions: confirmed faults
        records: of the set
        path: of the decisions, for messages

    Raises:
        UsageError: see `correct`
    """
    tags_of: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    for record in records:
        own = tags_of.setdefault(record.image, set())
        for name in record.tags:
            own.add(fold_name(name))
            names.setdefault(fold_name(name), name)
    absolute = {os.path.abspath(image): image for image in tags_of}  # noqa: PTH100  # URLs, too
    planned: dict[str, _Planned] = {}
    for one in decisions:
        where = f"{display_path(path)}, line {one.line}"
        key = fold_name(one.tag)
        image = one.image if one.image in tags_of else absolute.get(os.path.abspath(one.image))  # noqa: PTH100
        if image is None:
            raise UsageError(
                f"{where}: the set has no picture {display_path(one.image)}; give the DATASET and "
                "--images of the audit"
            )
        if key not in names:
            raise UsageError(f"{where}: the set has no tag {one.tag!r}")
        if (key in tags_of[image]) == (one.kind == "missing"):
            state = "has already" if one.kind == "missing" else "has not"
            raise UsageError(
                f"{where}: {display_path(image)} {state} the tag {one.tag!r}; the decisions belong "
                "to another version of the set"
            )
        change = planned.setdefault(image, _Planned())
        if one.kind == "missing":
            change.add.setdefault(names[key], one.box)
        else:
            change.remove.add(key)
    return {
        image: Change(add=one.add, remove=frozenset(one.remove)) for image, one in planned.items()
    }


def _changed(record: Record, changes: Mapping[str, Change]) -> Record:
    change = changes.get(record.image)
    if change is None:
        return record
    return replace(
        record,
        tags=tuple(change.apply(record.tags)),
        parsed_tags=tuple(tuple(change.kept(tags)) for tags in record.parsed_tags),
        content=None,
    )


def _claim(output: Path, path: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{display_path(output)} is not an empty folder; name a new one")
    if path.is_dir() and path.resolve() in (output.resolve(), *output.resolve().parents):
        raise UsageError(f"{display_path(output)} lies in the set itself; name a folder elsewhere")
    output.mkdir(parents=True, exist_ok=True)
