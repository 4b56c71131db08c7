"""`Record`: an image and the texts it is trained with; one JSON object, the same in every file.

    {"image": "coco/1.jpg", "captions": ["a cat on a mat"], "tags": ["cat", "mat", "indoor"],
     "parsed_tags": [["cat", "mat"]], "source": "coco"}

JSONL holds one a line, Parquet one a row, a webdataset shard one beside each picture
(`record_files`, `shards`).
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from anytag.errors import ImageError

#: JSON values by name
Plain: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One image of a training set."""

    #: a path, a URL, or a member of a shard: ``00000.tar/000000012.jpg``
    image: str
    captions: tuple[str, ...] = ()
    #: names of what the picture shows, from any source
    tags: tuple[str, ...] = ()
    #: those that the parser found, a list for each caption; empty if nothing was parsed
    parsed_tags: tuple[tuple[str, ...], ...] = ()
    #: of which data set it is
    source: str = ""
    #: the picture's file, where it came with the record; no part of the JSON
    content: bytes | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.image:
            raise ValueError("'image' is empty")
        if self.parsed_tags and len(self.parsed_tags) != len(self.captions):
            raise ValueError(
                f"'parsed_tags' has {len(self.parsed_tags)} lists for {len(self.captions)} captions"
            )


def to_plain(record: Record) -> Plain:
    """JSON values of a record."""
    return {
        "image": record.image,
        "captions": list(record.captions),
        "tags": list(record.tags),
        "parsed_tags": [list(tags) for tags in record.parsed_tags],
        "source": record.source,
    }


def from_plain(row: object) -> Record:
    """The record of JSON values; names that it does not know are left out, only the image must be.

    One caption may have its parsed tags as a plain list.

    Raises:
        ValueError: it is no record; the message says what was found

    >>> from_plain({"image": "a.jpg", "captions": ["a cat"], "parsed_tags": ["cat"]})
    Record(image='a.jpg', captions=('a cat',), tags=(), parsed_tags=(('cat',),), source='')
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"a record is a JSON object, found {type(row).__name__}")
    image, source = row.get("image"), row.get("source")
    if not isinstance(image, str):
        raise ValueError("'image' is missing" if image is None else f"'image' is {image!r}")
    if not isinstance(source, str | None):
        raise ValueError(f"'source' must be a text, found {source!r:.60}")
    captions = _texts(row, "captions")
    parsed = row.get("parsed_tags") or []
    if not isinstance(parsed, list):
        raise ValueError(f"'parsed_tags' must be a list, found {parsed!r:.60}")
    if parsed and len(captions) == 1 and all(isinstance(tag, str) for tag in parsed):
        parsed = [parsed]
    return Record(
        image=image,
        captions=captions,
        tags=_texts(row, "tags"),
        parsed_tags=tuple(_texts({"parsed_tags": tags}, "parsed_tags") for tags in parsed),
        source=source or "",
    )


def is_url(image: str) -> bool:
    """Whether an image is named by its address on the web."""
    return image.startswith(("http://", "https://"))


def unique(texts: list[str]) -> tuple[str, ...]:
    """Each text once, at its first place; empty ones left out."""
    return tuple(dict.fromkeys(filter(None, texts)))


def image_bytes(record: Record) -> bytes:
    """The picture's file: of the record itself, of a path, or of a member of a shard.

    Raises:
        ImageError: it is not there, or is a URL, which is not fetched here
    """
    if record.content is not None:
        return record.content
    if is_url(record.image):
        raise ImageError("missing", f"{record.image} is a URL and was not downloaded")
    path = Path(record.image)
    try:
        shard = _shard_of(path)
        return path.read_bytes() if shard is None else _member_bytes(shard, path)
    except (OSError, ValueError, tarfile.TarError) as error:  # ValueError: no name of a file
        reason = getattr(error, "strerror", None) or error
        raise ImageError("missing", f"{record.image} cannot be read: {reason}") from error


def is_missing(record: Record) -> bool:
    """Whether the record's path leads to no file; a URL counts as there."""
    if record.content is not None or is_url(record.image):
        return False
    path = Path(record.image)
    try:
        return not path.is_file() and _shard_of(path) is None
    except (OSError, ValueError):
        return True


def _shard_of(path: Path) -> Path | None:
    """The tar file that the path goes through."""
    return next((one for one in path.parents if one.suffix == ".tar" and one.is_file()), None)


def _member_bytes(shard: Path, path: Path) -> bytes:
    """By reading through the shard: for a few pictures, not for training."""
    name = path.relative_to(shard).as_posix()
    with tarfile.open(shard) as tar:
        for member in tar:
            if member.name.removeprefix("./") == name:
                file = tar.extractfile(member)
                if file is not None:
                    return file.read()
    raise FileNotFoundError(f"the shard holds no {name}")


def _texts(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = row.get(name)
    if values is None:
        return ()
    if not isinstance(values, list):
        raise ValueError(f"{name!r} must be a list of texts, found {values!r:.60}")
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{name!r} must hold texts, found {value!r:.60}")
    return tuple(values)
