"""Tags in the metadata that photo software reads (XMP), written so that they can be taken back.

Three properties are filled: ``dc:subject`` (flat keywords, the tag and its parents),
``lr:hierarchicalSubject`` ("animal|dog") and ``digiKam:TagsList`` ("animal/dog"). A record in a
namespace of our own says which values we added. The rules follow from it: what the user had is
never recorded and so never removed; what we wrote and the next model no longer finds goes; what
the user took out stays out; `untag` takes away exactly what is left of ours.

The XML is edited as text: found with expat, cut and inserted by position. Every byte that is not
ours stays, whoever wrote it. Source: Adobe XMP specification part 1 (data model and RDF/XML form).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from anytag import __version__
from anytag.errors import MetadataError, UsageError
from anytag.files import display_path
from anytag.inference.results import Tag
from anytag.inference.xmp_containers import can_embed
from anytag.inference.xmp_embed import read_xmp, write_xmp
from anytag.inference.xmp_packet import Packet
from anytag.inference.xmp_record import OURS, PROPERTIES, Record, Values, key_of, nothing
from anytag.inference.xmp_tree import RDF

Naming = Literal["auto", "stem", "full"]
_NAME = re.compile(r"[^/\\]+")
_EMPTY = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="anytag {__version__}">
 <rdf:RDF xmlns:rdf="{RDF}">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
#: files that may lie beside an image under the same stem and want a sidecar of their own
_IMAGE_SUFFIXES = (
    "jpg jpeg jpe png webp tif tiff gif bmp heic heif avif jxl jp2 psd 3fr arw cr2 cr3 crw dcr dng "
    "erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srw x3f"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarChange:
    """What will happen, or has happened, to one sidecar or to the XMP inside one image."""

    path: Path
    #: True: ``path`` is the image itself
    embedded: bool
    #: keywords of "dc:subject", "lr:hierarchicalSubject" and "digiKam:TagsList"
    added: Values
    removed: Values
    #: the whole XMP text; None: no file, or no XMP in the image
    before: str | None
    after: str | None

    def lines(self) -> list[str]:
        """One line a keyword: "- dc:subject cat", "+ dc:subject dog"."""
        sides = (("-", self.removed), ("+", self.added))
        return [f"{s} {name} {v}" for s, by in sides for name in PROPERTIES for v in by[name]]


def plan_sidecars(
    image: str | Path,
    tags: Sequence[Tag],
    *,
    model: str,
    naming: Naming = "auto",
    embed: bool = False,
) -> list[SidecarChange]:
    """What writing these tags would change; nothing is written. Arguments as `write_tags`."""
    record = Record.of(tags, model=model, source=display_path(Path(image).name))
    return _plan(Path(image), record, naming=naming, embed=embed)


def plan_untag(image: str | Path, *, embed: bool = True) -> list[SidecarChange]:
    """What `untag` would change; nothing is written."""
    return _plan(Path(image), None, naming="auto", embed=embed)


def apply(plan: Iterable[SidecarChange]) -> None:
    """Write planned changes, each file in one atomic step.

    Raises:
        MetadataError: a file is no longer as it was when the plan was made, or is protected.
        OutputError: another failure to write, such as a full disk.
    """
    for change in plan:
        write_xmp(change.path, change.after, before=change.before, embedded=change.embedded)


def write_tags(
    image: str | Path,
    tags: Sequence[Tag],
    *,
    model: str,
    naming: Naming = "auto",
    embed: bool = False,
    dry_run: bool = False,
) -> list[SidecarChange]:
    """Make the keywords that anytag wrote for this image those of ``tags``; keep the user's.

    All sidecars that exist are updated, ``a.xmp`` as well as ``a.jpg.xmp``.

    Args:
        image: path of the image; it is not touched unless ``embed`` is given.
        tags: all tags of the image; none means that earlier ones are taken away.
        model: recorded beside the tags.
        naming: of a new sidecar: "stem" is ``a.xmp`` (Lightroom), "full" ``a.jpg.xmp`` (darktable,
            digiKam), "auto" the stem unless another image in the folder has the same.
        embed: write into the image too (JPEG, PNG, WebP), and create no sidecar. Pixels, other
            metadata and the modification time stay.
        dry_run: only return the changes.

    Returns:
        One change for each file that is touched; empty when all is as it should be.

    Raises:
        MetadataError: the image is missing or cannot hold XMP, existing XMP is damaged, or a
            file or folder is write-protected.
        OutputError: another failure to write, such as a full disk.
    """
    plan = plan_sidecars(image, tags, model=model, naming=naming, embed=embed)
    if not dry_run:
        apply(plan)
    return plan


def untag(image: str | Path, *, embed: bool = True, dry_run: bool = False) -> list[SidecarChange]:
    """Take away what anytag wrote for this image; a sidecar that only held that is deleted.

    Args:
        image: path of the image, or of one sidecar.
        embed: look inside the image too; it is written only if it holds tags of ours.
        dry_run: only return the changes.

    Returns:
        One change for each file that is touched.

    Raises:
        MetadataError: the image is missing, existing XMP is damaged, or a file is protected.
        OutputError: another failure to write, such as a full disk.
    """
    plan = plan_untag(image, embed=embed)
    if not dry_run:
        apply(plan)
    return plan


def _plan(
    image: Path, record: Record | None, *, naming: Naming, embed: bool
) -> list[SidecarChange]:
    """The changes that make ``record`` true of the image; None: nothing of ours is left."""
    if naming not in ("auto", "stem", "full"):
        raise UsageError(f"naming must be 'auto', 'stem' or 'full', found {naming!r}")
    try:
        if not image.is_file():
            raise MetadataError(f"{display_path(image)}: there is no such image")
        found = _sidecars(image)
        if not found and record is not None and not embed:
            found = [(_new_sidecar(image, naming), None)]
        changes = [_change(path, text, record, embedded=False) for path, text in found]
        if embed and (record is not None or _may_hold_ours(image)):
            text = read_xmp(image, embedded=True)
            changes.append(_change(image, text, record, embedded=True))
    except OSError as error:
        raise MetadataError(f"{display_path(image)}: {error.strerror}") from error
    return [change for change in changes if change is not None]


def _sidecars(image: Path) -> list[tuple[Path, str | None]]:
    """The image's sidecars that exist, and their texts."""
    stem, full = image.with_suffix(""), image
    names = [path.name + end for path in (stem, full) for end in (".xmp", ".XMP")]
    found: list[tuple[Path, str | None]] = []
    for path in map(image.with_name, dict.fromkeys(names)):
        if path.is_file() and not any(path.samefile(other) for other, _ in found):
            text = read_xmp(path, embedded=False)
            if path == image or _owner(image, path, text) is None:
                found.append((path, text))
    return found


def _owner(image: Path, sidecar: Path, text: str | None) -> Path | None:
    """The other image of the same stem (a.png beside a.jpg) to which a.xmp belongs, if any."""
    if text is None or OURS not in text:
        return None
    record = _packet(sidecar, text).record()
    source = record.source if record else ""
    if source == display_path(image.name) or not _NAME.fullmatch(source):
        return None
    other = image.parent / source
    return other if other.stem == image.stem and other.is_file() else None


def _new_sidecar(image: Path, naming: Naming) -> Path:
    stem, full = image.with_suffix(".xmp"), image.with_name(image.name + ".xmp")
    if naming == "auto":
        ends = (f".{end}" for suffix in _IMAGE_SUFFIXES.split() for end in (suffix, suffix.upper()))
        others = (image.with_suffix(end) for end in ends if end != image.suffix)
        shared = any(other.exists() and not other.samefile(image) for other in others)
        return full if shared or stem.exists() else stem
    path = stem if naming == "stem" else full
    if path.exists():
        raise MetadataError(
            f"{display_path(path)}: belongs to another image of the same name; use naming 'full'"
        )
    return path


def _may_hold_ours(image: Path) -> bool:
    """A quick look, so that `untag` need not understand files that we never touched."""
    with image.open("rb") as file:
        head = file.read(12)
        return can_embed(head) and OURS.encode() in head + file.read()


def _packet(path: Path, text: str) -> Packet:
    try:
        return Packet(text.encode())
    except MetadataError as error:
        raise MetadataError(f"{display_path(path)}: {error}") from error


def _change(
    path: Path, before: str | None, wanted: Record | None, *, embedded: bool
) -> SidecarChange | None:
    """What to do with one file; None when it is as it should be."""
    packet = _packet(path, _EMPTY if before is None else before)
    old = packet.record()
    if old is None and (wanted is None or wanted.is_empty()):
        return None
    try:
        new, mine = _merge(packet, old or Record(created=before is None), wanted)
        if old and new and new.says_same(old):
            return None
        after = _rewritten(packet, new, mine)
    except MetadataError as error:
        raise MetadataError(f"{display_path(path)}: {error}") from error
    if new is None and old and old.created and Packet(after).is_bare():
        text = None
    else:
        text = after.decode()
    wrote = new.wrote if new else nothing()
    return SidecarChange(
        path=path,
        embedded=embedded,
        added={n: tuple(v for v in wrote[n] if v not in mine[n]) for n in PROPERTIES},
        removed={n: tuple(v for v in mine[n] if v not in wrote[n]) for n in PROPERTIES},
        before=before,
        after=text,
    )


def _merge(packet: Packet, old: Record, wanted: Record | None) -> tuple[Record | None, Values]:
    """(the new record, which of our old keywords are still there)."""
    mine, wrote, declined = nothing(), nothing(), nothing()
    for name in PROPERTIES:
        missing, theirs = list(old.wrote[name]), []
        for value in packet.values(name):
            if value in missing:
                missing.remove(value)
            else:
                theirs.append(key_of(value))
        mine[name] = tuple(v for v in old.wrote[name] if v not in missing)
        refused = {key_of(value): value for value in (*old.declined[name], *missing)}
        declined[name] = tuple(value for key, value in refused.items() if key not in theirs)
        taken = {*theirs, *map(key_of, declined[name])}
        wrote[name] = tuple(
            v for v in (wanted.wrote[name] if wanted else ()) if key_of(v) not in taken
        )
    if wanted is None:
        return None, mine
    new = replace(wanted, created=old.created, wrote=wrote, declined=declined)
    return None if new.is_empty() else new, mine


def _rewritten(packet: Packet, new: Record | None, mine: Values) -> bytes:
    stripped = Packet(packet.without(mine))
    if new is None:
        return stripped.data
    # a value that is no list (text, attribute, empty list) becomes one when we add to it
    loose = [n for n in PROPERTIES if new.wrote[n] and stripped.list_of(n) is None]
    kept = {name: stripped.values(name) for name in loose}
    return Packet(stripped.without({}, whole=loose)).plus(new, kept)
