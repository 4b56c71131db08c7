"""What changes in one picture's tags, and what all formats need to apply it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from anytag.data.images import load_image
from anytag.engine.ground import Box
from anytag.errors import ImageError, OutputError
from anytag.files import atomic_write, display_path
from anytag.labels.labelset import fold_name

#: what says in the files that an annotation is ours
SOURCE = "anytag"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Of one picture."""

    #: names as the set writes them, with where they are
    add: Mapping[str, Box | None]
    #: names as `fold_name` gives them
    remove: frozenset[str]

    def kept(self, tags: Iterable[str]) -> list[str]:
        """Those that are not removed."""
        return [tag for tag in tags if fold_name(tag) not in self.remove]

    def apply(self, tags: Iterable[str]) -> list[str]:
        """The tags after the change; new ones at the end."""
        return [*self.kept(tags), *self.add]


def pixel_box(
    box: Box, size: tuple[int, int] | None, image: str
) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom in pixels.

    Args:
        box: as fractions
        size: (width, height) that the annotation gives; None reads the picture
        image: its path

    Returns:
        None if the size cannot be found out
    """
    if size is None:
        try:
            loaded = load_image(Path(image), size=None)
        except ImageError:
            return None
        size = loaded.width, loaded.height
    width, height = size
    left, top, right, bottom = box
    return (
        round(left * width, 2),
        round(top * height, 2),
        round(right * width, 2),
        round(bottom * height, 2),
    )


def copy_file(source: Path, target: Path, *, link: bool = False) -> None:
    """Copy a file with its times, into a folder that is made; or link it.

    Raises:
        OutputError: it cannot be written
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            target.hardlink_to(source)
        else:
            shutil.copy2(source, target)
    except OSError as error:
        what = "linked" if link else "copied"
        raise OutputError(
            f"{display_path(source)} cannot be {what} to {display_path(target)}: {error.strerror}"
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, in a folder that is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {display_path(path.parent)}: {error.strerror}") from error
    with atomic_write(path) as file:
        file.write(content)
