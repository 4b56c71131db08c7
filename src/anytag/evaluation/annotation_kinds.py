"""Which reader an annotation file needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from anytag.data.sources import KINDS as SOURCE_KINDS
from anytag.errors import AnnotationError, UsageError
from anytag.evaluation.annotation_sets import (
    read_ade20k_150,
    read_coco,
    read_openimages,
    read_source,
)
from anytag.evaluation.annotation_text import (
    read_csv,
    read_jsonl,
    read_names,
    read_numbers,
    text_lines,
)
from anytag.evaluation.annotations import Annotations
from anytag.files import display_path

Reader = Callable[[Path, Path | None], Annotations]

READERS: dict[str, Reader] = {
    "names": read_names,
    "numbers": read_numbers,
    "csv": read_csv,
    "jsonl": read_jsonl,
    "coco": read_coco,
    "ade20k-150": read_ade20k_150,
    "openimages": read_openimages,
}
#: readers of `anytag.data.sources` that give each photo its whole list of tags
OTHERS = ("classes", "folder-tags", "records")


def read_annotations(path: Path, kind: str = "auto", *, tags: Path | None = None) -> Annotations:
    """What each photo of a test set shows.

    Args:
        path: a file, or the folder of a set that is one
        kind: a name of `READERS` or `OTHERS`; "auto" recognises it
        tags: the list of the classes, one a line, where it is not in the file or beside it

    Raises:
        AnnotationError: the file is wrong; the message names line and cause
        UsageError: the kind is not known or cannot be recognised
    """
    if kind != "auto" and kind not in (*READERS, *OTHERS):
        raise UsageError(
            f"{kind!r} is no kind of annotations; known: auto, {', '.join((*READERS, *OTHERS))}"
        )
    if not path.exists():
        raise AnnotationError(f"{display_path(path)} does not exist")
    kind = detect(path) if kind == "auto" else kind
    if kind in READERS:
        if path.is_dir() and kind != "ade20k-150":
            raise AnnotationError(f"{display_path(path)}: is a folder; expected the file in it")
        return READERS[kind](path, tags)
    return read_source(path, tags, kind)


def detect(path: Path) -> str:
    """The kind of an annotation file, by its name and its first lines.

    Raises:
        UsageError: it is none that is known
    """
    name = path.name.lower().removesuffix(".gz")
    if path.is_dir():
        return "ade20k-150" if (path / "objectInfo150.txt").is_file() else _detect_folder(path)
    if name.endswith(".jsonl"):
        return "jsonl"
    if name.endswith(".json"):
        return "coco"
    if name.endswith(".parquet"):
        return "records"
    if name.endswith(".tar"):
        raise UsageError(f"{display_path(path)}: unpack it; photos are not read from shards here")
    if name.endswith(".csv"):
        _, header = next(text_lines(path), (1, ""))
        return "openimages" if header.startswith("ImageID,") else "csv"
    if name.endswith(".txt"):
        rest = [line.partition(",")[2] for _, line in text_lines(path)]
        filled = [text for text in rest if text]
        numbers = bool(filled) and all(re.fullmatch(r"[\d ]+", text) for text in filled[:1000])
        return "numbers" if numbers else "names"
    raise UsageError(
        f"{display_path(path)}: what it holds cannot be seen from its name; say --kind "
        f"{', '.join((*READERS, *OTHERS))}"
    )


def _detect_folder(path: Path) -> str:
    from anytag.data.sources import detect as sources

    kind = sources.detect(path)
    if kind not in OTHERS:
        raise UsageError(
            f"{display_path(path)} holds {SOURCE_KINDS.get(kind, kind)}; name the file to "
            "evaluate, not the folder"
        )
    return kind
