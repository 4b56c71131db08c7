"""Is a file gone, or is the storage gone that it lies on?

A share that is not mounted looks like a folder without files. If each of its images were taken for
missing, a job would end with a million errors, all of them wrong. So the plan notes some files of
each shard that were there, and a shard in which *these* cannot be read is not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from anytag.errors import OutputError
from anytag.files import display_path

#: files of a shard that are noted
NUM_WITNESSES = 3
#: error types of an image that lost storage can cause
STORAGE_ERRORS = ("missing", "unreadable")


class StorageError(OutputError):
    """Files that were there when the job was planned cannot be read now."""


def is_readable(path: Path) -> bool:
    """Whether the first byte of a regular file can be read; an empty file counts."""
    try:
        if not path.is_file():  # to open a pipe would wait for its writer
            return False
        with path.open("rb") as file:
            file.read(1)
    except (OSError, ValueError):
        return False
    return True


def witnesses(paths: Sequence[Path]) -> list[Path]:
    """The first, the middle and the last of the paths, those of them that can be read."""
    places = sorted({0, len(paths) // 2, len(paths) - 1}) if paths else []
    return [paths[place] for place in places if is_readable(paths[place])][:NUM_WITNESSES]


def check_storage(known: Sequence[Path], failed: Iterable[Path]) -> None:
    """Find out whether errors of a shard are the images' or the storage's.

    Args:
        known: of `witnesses`
        failed: files whose error is one of `STORAGE_ERRORS`

    Raises:
        StorageError: all that is known to have been there is gone; or a file that failed can be
            read now, so that the storage was away for a while
    """
    failed = list(failed)
    if not failed:
        return
    if known and not any(map(is_readable, known)):
        raise StorageError(
            f"{display_path(known[0])} was there when the job was planned and cannot be read now; "
            "is its storage mounted on every node?"
        )
    back = next(filter(is_readable, failed), None)
    if back is not None:
        raise StorageError(f"{display_path(back)} could not be read for a while")
