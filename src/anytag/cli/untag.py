"""``anytag untag``: take the tags that anytag wrote out of sidecars and images again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anytag.inference.xmp import SidecarChange


def untag(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Images, folders, or .xmp files.")
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the subfolders of folders.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed.")
    ] = False,
    embed: Annotated[
        bool, typer.Option(help="Look inside the images too, not only at their sidecars.")
    ] = True,
) -> None:
    """Remove the tags that anytag wrote; your own keywords and all other metadata stay.

    Examples:

        anytag untag photo.jpg

        anytag untag photos -r --dry-run

        anytag untag photos --no-embed
    """
    from anytag.data.discover import InputProblem, UrlItem, find_images, path_text
    from anytag.errors import MetadataError
    from anytag.inference import xmp

    num_changed = num_failed = 0
    for item in find_images(paths, recursive=recursive):
        try:
            if isinstance(item, InputProblem):
                raise MetadataError(item.message)  # names the path
            if isinstance(item, UrlItem):
                raise MetadataError(f"{path_text(item)}: a URL has no sidecar")
            changes = xmp.untag(item, embed=embed, dry_run=dry_run)
        except MetadataError as error:
            num_failed += 1
            typer.echo(f"anytag: {error}", err=True)
            continue
        for change in changes:
            num_changed += 1
            typer.echo(_line(change, dry_run=dry_run))
    files = "file" if num_changed == 1 else "files"
    what = "would be changed" if dry_run else "changed"
    typer.echo(f"{num_changed:,} {files} {what}, {num_failed:,} failed", err=True)
    if num_failed:
        raise typer.Exit(1)


def _line(change: SidecarChange, *, dry_run: bool) -> str:
    """ "a.xmp: removed dog, animal (deleted: held nothing else)"."""
    from anytag.files import display_path

    # each keyword once: in its flat form if it has one, else as it stands
    flat = change.removed["dc:subject"]
    paths = change.removed["lr:hierarchicalSubject"] or change.removed["digiKam:TagsList"]
    keywords = ", ".join(flat or paths) or "the record of the run"
    gone = change.after is None and not change.embedded
    end = " and delete the file, which holds nothing else" if dry_run else "; file deleted"
    verb = "would remove" if dry_run else "removed"
    return f"{display_path(change.path)}: {verb} {keywords}{end if gone else ''}"
