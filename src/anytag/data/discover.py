"""Inputs of a user -> images to tag: files, folders, globs, URLs and lists of them.

Everything is lazy and in a deterministic order: one folder is held in memory at a time, so that
a tree of ten million files can be walked. What cannot be used is an item too (`InputProblem`),
never an exception: one missing path must not stop the rest.

Rules:

- A file that is named is always tried. In folders and globs, hidden files and files without an
  image extension are skipped.
- A glob matches files; ``**`` stands for any folders.
- A folder gives its own files by name, then, with ``recursive``, those of its subfolders by name.
- Links to files are followed; links to folders inside a folder are not, so that no loop exists.
- The same path given twice counts once, at its first place.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from anytag.files import display_path

#: of the formats that `anytag.data.images` decodes
_FORMATS = """
    avif bmp dib gif heic heif ico j2k jfif jp2 jpe jpeg jpg jpx mpo pbm pfm pgm png pnm ppm psd
    qoi tif tiff webp
"""
IMAGE_EXTENSIONS = frozenset(f".{name}" for name in _FORMATS.split())

_URL = re.compile(r"https?://", re.IGNORECASE)
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class UrlItem:
    """An image to be downloaded."""

    url: str


@dataclass(frozen=True, slots=True)
class InputProblem:
    """An input that gives no image."""

    #: the path or pattern as it was given
    path: str
    #: ``missing``, ``unreadable`` or ``no_images``
    kind: str
    message: str


Item = Path | UrlItem | InputProblem


def find_images(
    inputs: Iterable[str | Path | UrlItem], *, recursive: bool = False
) -> Iterator[Item]:
    """The images that the inputs name, in a deterministic order, each once.

    Args:
        inputs: a ``Path`` is taken literally; a ``str`` may also be an http(s) URL or a glob
            (``**`` for any folders), unless a file of exactly that name exists
        recursive: walk into the subfolders of a folder

    Yields:
        ``Path`` for a file, `UrlItem` for a URL, `InputProblem` for an input that is missing or
        unreadable or a folder or glob without images

    Example:
        >>> list(find_images(["https://example.org/cat.jpg", "nowhere.jpg"]))
        ... # doctest: +NORMALIZE_WHITESPACE
        [UrlItem(url='https://example.org/cat.jpg'),
         InputProblem(path='nowhere.jpg', kind='missing', message='nowhere.jpg does not exist')]
    """
    items = (item for given in inputs for item in _expand(given, recursive))
    if _is_one_folder(inputs):  # has no duplicates: spare the memory of remembering its files
        yield from items
        return
    seen: set[str] = set()
    for item in items:
        key = os.path.abspath(item) if isinstance(item, Path) else path_text(item)  # noqa: PTH100
        if key not in seen:
            seen.add(key)
            yield item


def read_list(file: BinaryIO) -> Iterator[Path | UrlItem]:
    """Entries of a list of paths and URLs, as ``find`` or ``find -print0`` write it.

    Entries are separated by NUL if the first block holds one, else by newlines. They are bytes
    of the file system, not text: any file name survives. Paths are literal, never globs.
    """
    separator = b""
    rest = file.read(3).removeprefix(b"\xef\xbb\xbf")
    while block := _read_some(file):
        rest += block
        if not separator:
            separator = b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b""
        if separator:
            *entries, rest = rest.split(separator)
            yield from (_list_entry(entry) for entry in entries if entry.strip())
    if rest.strip():
        yield from (_list_entry(entry) for entry in rest.split(separator or b"\n") if entry.strip())


def path_text(item: Item | str | os.PathLike[str]) -> str:
    r"""A path or URL as valid Unicode text, for records and messages; reversible.

    Bytes of a file name that are no UTF-8 become ``\xNN``. `path_from_text` gives the path back.

    >>> path_text(os.fsdecode(b"caf\xe9.jpg"))
    'caf\\xe9.jpg'
    """
    if isinstance(item, UrlItem):
        item = item.url
    elif isinstance(item, InputProblem):
        item = item.path
    text = os.fspath(item)
    if os.sep == "/":  # elsewhere the backslash separates folders and names are always Unicode
        text = re.sub(r"\\(?=x[0-9a-f]{2})", r"\\x5c", text)
    return re.sub(r"[\ud800-\udfff]", lambda bad: f"\\x{ord(bad[0]) & 0xFF:02x}", text)


def path_from_text(text: str) -> Path:
    """The path of which `path_text` made this text."""
    if os.sep != "/":
        return Path(text)
    parts = re.split(r"\\x([0-9a-f]{2})", text)
    raw = b"".join(
        bytes.fromhex(part) if index % 2 else os.fsencode(part) for index, part in enumerate(parts)
    )
    return Path(os.fsdecode(raw))


def _is_one_folder(inputs: object) -> bool:
    if not isinstance(inputs, Sequence) or len(inputs) != 1 or isinstance(inputs[0], UrlItem):
        return False
    return _is_folder(inputs[0])


def _is_folder(path: str | Path) -> bool:
    # unlike Path.is_dir this is False, not PermissionError, where the parent is closed
    return os.path.isdir(path)  # noqa: PTH112


def _expand(given: str | Path | UrlItem, recursive: bool) -> Iterator[Item]:
    """The images of one input."""
    if isinstance(given, UrlItem):
        yield given
    elif isinstance(given, str) and _URL.match(given):
        yield UrlItem(given)
    elif given != "" and _is_folder(given):
        advice = "" if recursive else "; use --recursive to look into its subfolders"
        nothing = _problem(given, "no_images", f"is a folder without images{advice}")
        yield from _or_else(_walk(Path(given), recursive), nothing)
    elif os.path.lexists(given):
        yield Path(given)
    elif isinstance(given, str) and _MAGIC.search(given):
        nothing = _problem(given, "no_images", "matches no image")
        yield from _or_else(_glob(Path(given)), nothing)
    else:
        yield _problem(given, "missing", "does not exist")


def _problem(path: str | Path, kind: str, what: str) -> InputProblem:
    return InputProblem(str(path), kind, f"{display_path(path) or 'an empty name'} {what}")


def _or_else(items: Iterator[Item], nothing: InputProblem) -> Iterator[Item]:
    yield next(items, nothing)
    yield from items


def _scan(folder: Path) -> tuple[list[str], list[str]] | InputProblem:
    """Visible image files and real subfolders of a folder, both sorted by name."""
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif _has_image_extension(entry.name) and _may_be_image(entry):
                    files.append(entry.name)
    except OSError as error:
        return _problem(folder, "unreadable", f"cannot be listed ({error.strerror})")
    return sorted(files), sorted(folders)


def _has_image_extension(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS  # noqa: PTH122


def _may_be_image(entry: os.DirEntry[str]) -> bool:
    """A file or a broken link, which is worth an error record; not a pipe, which would block."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


def _walk(folder: Path, recursive: bool) -> Iterator[Item]:
    """Images of a folder and its subfolders; a stack, not recursion, so that any depth works."""
    stack = [folder]
    while stack:
        current = stack.pop()
        found = _scan(current)
        if isinstance(found, InputProblem):
            yield found
            continue
        files, folders = found
        yield from (current / name for name in files)
        if recursive:
            stack.extend(current / name for name in reversed(folders))


def _glob(pattern: Path) -> Iterator[Item]:
    """Images that match a pattern; `glob.glob` is neither sorted nor safe from link loops."""
    parts = [part for part, _ in groupby(pattern.parts[bool(pattern.anchor) :])]
    if parts[-1] == "**":
        parts.append("*")
    yield from _match(Path(pattern.anchor), parts)


def _match(folder: Path, parts: Sequence[str]) -> Iterator[Item]:
    """Images below a folder whose path matches the parts of a pattern."""
    head, rest = parts[0], parts[1:]
    if rest and not _MAGIC.search(head):
        if _is_folder(folder / head):
            yield from _match(folder / head, rest)
        return
    found = _scan(folder)
    if isinstance(found, InputProblem):
        yield found
        return
    files, folders = found
    if not rest:
        yield from (folder / name for name in files if fnmatchcase(name, head))
    elif head == "**":
        yield from _match(folder, rest)
        for name in folders:
            yield from _match(folder / name, parts)
    else:
        for name in folders:
            if fnmatchcase(name, head):
                yield from _match(folder / name, rest)


def _read_some(file: BinaryIO) -> bytes:
    """What is there, up to 64 KiB: a slow producer's lines are used as they come."""
    read1 = getattr(file, "read1", file.read)
    block: bytes = read1(65536)
    return block


def _list_entry(entry: bytes) -> Path | UrlItem:
    text = os.fsdecode(entry.removesuffix(b"\r"))
    return UrlItem(text) if _URL.match(text) else Path(text)
