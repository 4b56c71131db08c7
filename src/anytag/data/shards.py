"""Webdataset shards: tar files in which the members of one sample follow one another.

``000000012.jpg`` and ``000000012.txt`` and ``000000012.json`` are one sample with the key
``000000012``. This is what img2dataset writes; `write_shards` writes the same with our record as
the JSON. Reading is sequential, holds one sample in memory, and can begin at any sample.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from anytag.data.discover import IMAGE_EXTENSIONS
from anytag.data.images import DEFAULT_LIMITS
from anytag.data.problems import ProblemKind, Problems
from anytag.data.records import Record, image_bytes, to_plain
from anytag.data.text_files import decode_file
from anytag.errors import ImageError
from anytag.files import atomic_write, display_path

_BLOCK = tarfile.BLOCKSIZE
#: bytes of a text or JSON member, or of a long name, that are read at most
_MAX_TEXT = 16 * 1024 * 1024


@dataclass(slots=True)
class Sample:
    """The members that share a key."""

    #: path in the shard without extension
    key: str
    #: where its first header begins, in bytes: `read_samples` can begin there
    offset: int
    #: behind its last member
    end: int = 0
    #: content by extension in lower case, without the dot (``jpg``, ``txt``, ``seg.png``)
    files: dict[str, bytes] = field(default_factory=dict)
    #: extension of the picture, whether its content was read or not
    image: str | None = None
    #: where its content lies in the shard: first byte and number of bytes
    image_span: tuple[int, int] = (0, 0)

    def text(self, extension: str) -> str | None:
        """A member as text, None if there is none."""
        raw = self.files.get(extension)
        return None if raw is None else decode_file(raw)[0]


def read_samples(
    path: Path, problems: Problems, *, offset: int = 0, with_images: bool = True
) -> Iterator[Sample]:
    """The samples of one shard, in its order.

    Args:
        path: an uncompressed tar file
        problems: gets what is wrong; a shard that is cut off gives its whole samples
        offset: of a sample, to begin there
        with_images: read the pictures; without, they are skipped, which is much faster
    """
    sample: Sample | None = None
    try:
        with path.open("rb") as file:
            file.seek(offset)
            for start, end, name, span, content in _members(path, file, problems, with_images):
                key, extension = _split(name)
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield sample
                    sample = Sample(key, start)
                sample.end = end
                if f".{extension}" in IMAGE_EXTENSIONS:
                    sample.image, sample.image_span = extension, span
                if content is not None:
                    sample.files[extension] = content
    except _Damaged as error:  # the sample that was being read may not be whole
        if error.name is None or sample is None or _split(error.name)[0] == sample.key:
            return
    except OSError as error:
        problems.add("unreadable", path, None, f"cannot be read: {error.strerror}")
    if sample is not None:
        yield sample


def _split(name: str) -> tuple[str, str]:
    """Key and extension: the base name is cut at its first dot."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return folder + slash + stem, extension.lower()


class _Damaged(Exception):
    """The rest of a shard cannot be read; it has been reported."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        #: of the member that is not whole, if its header is
        self.name = name


def _members(
    path: Path, file: BinaryIO, problems: Problems, with_images: bool
) -> Iterator[tuple[int, int, str, tuple[int, int], bytes | None]]:
    """(start, end, name, span, content) of the files in a tar; not `tarfile`: it hides damage."""
    long_name, start, size = "", file.tell(), path.stat().st_size
    while header := file.read(_BLOCK):
        if not header.strip(b"\0"):
            return
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            kind: ProblemKind = "truncated" if len(header) < _BLOCK else "malformed"
            problems.add(kind, path, None, f"at byte {start:,}: no tar header ({error})")
            raise _Damaged from error
        end = file.tell() + -(-member.size // _BLOCK) * _BLOCK
        if member.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
            long_name = _long_name(member, file.read(min(member.size, _MAX_TEXT))) or long_name
        elif member.isreg():
            name = (long_name or member.name).removeprefix("./")
            is_image = Path(name).suffix.lower() in IMAGE_EXTENSIONS
            limit = (DEFAULT_LIMITS.max_bytes if with_images else -1) if is_image else _MAX_TEXT
            span = (file.tell(), member.size)
            content = file.read(member.size) if member.size <= limit else None
            if content is None:
                file.seek(member.size, io.SEEK_CUR)
            if file.tell() > size or (content is not None and len(content) < member.size):
                problems.add("truncated", path, None, f"ends within {display_path(name)}")
                raise _Damaged(name)
            yield start, end, name, span, content
            long_name, start = "", end
        file.seek(end)
    problems.add("truncated", path, None, "has no end mark; the last sample is not used")
    raise _Damaged


def _long_name(member: tarfile.TarInfo, content: bytes) -> str:
    """Name of the next member, of a GNU or POSIX extra header."""
    if member.type == tarfile.GNUTYPE_LONGNAME:
        return content.rstrip(b"\0").decode("utf-8", "surrogateescape")
    while b" " in content:  # "<length> <name>=<value>\n" each
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or int(length) < 1:
            return ""
        name, _, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        if name == b"path":
            return value.decode("utf-8", "surrogateescape")
        content = content[int(length) :]
    return ""


def write_shards(
    folder: Path, records: Iterable[Record], problems: Problems, *, samples_per_shard: int = 10_000
) -> int:
    """Write records with their pictures as ``00000.tar``, ``00001.tar``, ... into a folder.

    Args:
        folder: is made if it does not exist
        records: in the order of the shards
        problems: gets the records whose picture cannot be read; they are left out
        samples_per_shard: of all but the last

    Returns:
        How many records were written.

    Raises:
        OutputError: a shard cannot be written
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, num_written, shard = _with_pictures(records, problems), 0, 0
    row = next(rows, None)
    while row is not None:
        with (
            atomic_write(folder / f"{shard:05}.tar") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for number in range(samples_per_shard):
                if row is None:
                    break
                record, content = row
                key = f"{shard:05}{number:04}"
                suffix = Path(record.image).suffix.lower()
                extension = suffix if suffix in IMAGE_EXTENSIONS else ".jpg"
                text = json.dumps(to_plain(record), ensure_ascii=False)
                _add(tar, key + extension, content)
                _add(tar, key + ".json", text.encode("utf-8", "backslashreplace"))
                num_written += 1
                row = next(rows, None)
        shard += 1
    return num_written


def _with_pictures(records: Iterable[Record], problems: Problems) -> Iterator[tuple[Record, bytes]]:
    for record in records:
        try:
            yield record, image_bytes(record)
        except ImageError as error:
            problems.add("missing_image", record.image, None, str(error))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no owner: the same records give the same bytes
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
