"""Where the pictures of an annotation file are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from anytag.data.problems import Problems


def find_folder(starts: Iterable[Path], names: Iterable[str]) -> Path | None:
    """The first folder of one of these names in one of these places."""
    names = list(names)
    for start in starts:
        for name in names:
            if (start / name).is_dir():
                return start / name
    return None


def text_of(value: object) -> str:
    """A JSON value as the text of an id: 139 and "139" are the same.

    Raises:
        ValueError: it is neither a number nor a text
    """
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"an id must be a number or a text, found {value!r:.60}")


def walk(root: Path, problems: Problems) -> Iterator[tuple[Path, list[str]]]:
    """Each folder below ``root`` with its visible files, all by name; links are not followed."""

    def report(error: OSError) -> None:
        problems.add("unreadable", error.filename, None, f"cannot be listed: {error.strerror}")

    for folder, subfolders, files in os.walk(root, onerror=report):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(folder), sorted(name for name in files if not name.startswith("."))
