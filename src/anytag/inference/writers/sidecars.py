"""What is written beside each image: caption files for training sets, XMP for photo software.

A failure here is a failure of that image; only a full disk ends the run.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from anytag.data.discover import path_from_text
from anytag.errors import MetadataError, OutputError
from anytag.files import atomic_write, display_path
from anytag.inference.results import TagResult
from anytag.inference.xmp import Naming, SidecarChange, write_tags

_FULL_DISK = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}


class Sidecar(Protocol):
    """Something that is written beside each image."""

    def __call__(self, image: Path, result: TagResult) -> None:
        """Write it.

        Raises:
            MetadataError: it cannot be written for this image
            OutputError: it cannot be written for any: the disk is full
        """


class CaptionFiles:
    """``photo.txt`` beside ``photo.jpg``: its tags, comma separated, as trainers read them.

    A caption file that holds something else is not replaced, as a person may have written it, and
    two images that share a name (``a.jpg``, ``a.png``) never share a caption file.

    Args:
        overwrite: replace other content
        earlier: paths of images that an interrupted run has captioned
    """

    def __init__(self, *, overwrite: bool = False, earlier: Iterable[str] = ()) -> None:
        self._overwrite = overwrite
        self._owners: dict[Path, Path] = {}
        for text in earlier:
            image = path_from_text(text)
            self._owners[image.with_suffix(".txt")] = image

    def __call__(self, image: Path, result: TagResult) -> None:
        path = image.with_suffix(".txt")
        name = display_path(path)
        owner = self._owners.setdefault(path, image)
        if owner != image:
            raise MetadataError(f"{name} is already the caption of {display_path(owner)}")
        content = ", ".join(tag.name.replace(",", " ") for tag in result.tags).encode() + b"\n"
        with _only_a_full_disk_is_fatal():
            if not self._overwrite and path.exists() and path.read_bytes() != content:
                raise MetadataError(
                    f"{name} exists with other content; replace it with --overwrite"
                )
            with atomic_write(path) as file:
                file.write(content)


class XmpFiles:
    """XMP sidecars, see `anytag.inference.xmp`.

    Args:
        naming: of new sidecars
        embed: write into the images instead
        dry_run: change nothing
        report: gets the changes of each image, whether made or only planned
    """

    def __init__(
        self,
        report: Callable[[list[SidecarChange]], None],
        *,
        naming: Naming = "auto",
        embed: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._report = report
        self._naming = naming
        self._embed = embed
        self._dry_run = dry_run

    def __call__(self, image: Path, result: TagResult) -> None:
        with _only_a_full_disk_is_fatal():
            changes = write_tags(
                image,
                result.tags,
                model=result.model,
                naming=self._naming,
                embed=self._embed,
                dry_run=self._dry_run,
            )
        self._report(changes)


@contextmanager
def _only_a_full_disk_is_fatal() -> Iterator[None]:
    try:
        yield
    except (OSError, OutputError) as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        if isinstance(cause, OSError) and cause.errno in _FULL_DISK:
            raise OutputError(str(error)) from error
        raise MetadataError(str(error)) from error
