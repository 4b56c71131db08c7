"""The records of a data set, read once into a file in which each can be found again.

`spool` writes four files into a folder, named by a hash of what the data set consists of, so that
another one is made when the data set changes:

    KEY.jsonl         records, one a line; of shards also where the picture lies
    KEY.offsets.npy   where each line begins, and the end, int64 [N + 1]
    KEY.hashes.npy    of the image's name, uint32 [N]: by it validation pictures are chosen
    KEY.json          counts and problems; written last, so that it says that the rest is whole

Every format is one format afterwards: opening a record is one read of some hundred bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from anytag.data.problems import Problems
from anytag.data.record_files import sample_record
from anytag.data.records import Record, is_url, to_plain
from anytag.data.shards import read_samples
from anytag.data.sources import Source, open_source, openimages
from anytag.data.sources.paths import walk
from anytag.errors import UsageError
from anytag.files import atomic_write, display_path
from anytag.training.config import SourceConfig

#: changes when the files are written in another way
_FORMAT = 1
#: characters of the image's name that are the shard's, then first byte and number of bytes
Span: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """One data set on disk."""

    folder: Path
    key: str
    #: number of records
    num: int
    #: as given by the user
    path: str
    exhaustive: bool
    #: file of another tagger's probabilities, as given by the user
    scores: str | None = None
    #: see `SourceConfig.absent_weight`
    absent_weight: float = 1.0
    #: whether the pictures lie in shards
    is_sharded: bool
    #: how often, of each kind of `anytag.data.problems`
    problem_counts: dict[str, int]
    #: the first of each kind, as text
    problem_examples: tuple[str, ...]

    @property
    def records_file(self) -> Path:
        """JSON lines."""
        return self.folder / f"{self.key}.jsonl"

    @property
    def offsets_file(self) -> Path:
        """Begins of the lines, int64 [N + 1]."""
        return self.folder / f"{self.key}.offsets.npy"

    @property
    def hashes_file(self) -> Path:
        """uint32 [N]."""
        return self.folder / f"{self.key}.hashes.npy"


def spool(source: SourceConfig, folder: Path, names: Sequence[str] | None = None) -> Spool:
    """The data set in ``folder``, written there unless it is there already.

    Args:
        source: the data set
        folder: is made if it does not exist
        names: the tag list to which the ids of RAM's files belong

    Raises:
        UsageError: the data set does not exist, cannot be recognised, or gives no picture
        OutputError: the folder cannot be written
    """
    images = None if source.images is None else Path(source.images).absolute()
    opened = open_source(Path(source.path).absolute(), source.kind, images=images, names=names)
    key = _fingerprint(opened.path, opened.kind, images, names, folder)
    about = folder / f"{key}.json"
    found = _read_about(about)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        rows, problems = _open(opened)
        found = _write(folder / key, rows)
        found["problem_counts"] = dict(problems.counts)
        found["problem_examples"] = [str(one) for one in problems.examples]
        with atomic_write(about, text=True) as file:
            json.dump(found, file)
    if found["num"] == 0:
        why = "; ".join(found["problem_examples"][:1]) or "it holds no records"
        raise UsageError(f"{display_path(source.path)} gives no picture to train with: {why}")
    return Spool(
        folder=folder,
        key=key,
        path=source.path,
        exhaustive=source.exhaustive,
        scores=source.scores,
        absent_weight=source.absent_weight,
        num=found["num"],
        is_sharded=found["is_sharded"],
        problem_counts=found["problem_counts"],
        problem_examples=tuple(found["problem_examples"]),
    )


def parse_line(line: bytes) -> tuple[Record, Span | None]:
    """A record of the file, and where its picture lies if it is in a shard."""
    row = json.loads(line)
    record = Record(
        image=row["image"],
        captions=tuple(row["captions"]),
        tags=tuple(row["tags"]),
        parsed_tags=tuple(tuple(tags) for tags in row["parsed_tags"]),
        source=row["source"],
    )
    span = row.get("span")
    return record, None if span is None else (span[0], span[1], span[2])


def image_hash(image: str) -> int:
    """32 bits of a picture's name and its folder's name, the same wherever the data set lies."""
    # not a Path, which remembers every name that it sees
    name = "/".join(image.replace(os.sep, "/").rsplit("/", 2)[-2:])
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def _open(source: Source) -> tuple[Iterator[tuple[Record, Span | None]], Problems]:
    """The records as they are read, and what gets their problems."""
    if source.kind == "webdataset" or source.path.suffix.lower() == ".tar":
        problems = Problems()
        return _shard_rows(source.path, problems), problems
    records = iter(source)
    return _rows(records, source.path, source.problems), source.problems


def _rows(
    records: Iterator[Record], path: Path, problems: Problems
) -> Iterator[tuple[Record, Span | None]]:
    """Records whose picture is a file, by its absolute path."""
    root: Path | None = None
    for record in records:
        if is_url(record.image):
            message = f"{record.image} is a URL; download the pictures first"
            problems.add("missing_image", path, None, message)
            continue
        if not os.path.isabs(record.image):  # noqa: PTH117 # a Path for each of 14 M is slow
            root = root or _root_of(record.image, path)
            record = replace(record, image=f"{root}/{record.image}")
        yield record, None


def _root_of(image: str, path: Path) -> Path:
    """To what the names in a file of records are relative: the current folder, or the file's."""
    if not Path(image).exists() and (path.parent / image).exists():
        return path.parent
    return Path.cwd()


def _shard_rows(path: Path, problems: Problems) -> Iterator[tuple[Record, Span | None]]:
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix.lower() == ".tar")
    for file in files:
        for sample in read_samples(file, problems, with_images=False):
            record = sample_record(file, sample, problems)
            if record is not None:
                yield record, (len(str(file)), *sample.image_span)


def _write(target: Path, rows: Iterator[tuple[Record, Span | None]]) -> dict[str, Any]:
    offsets, hashes, end = array("q", [0]), array("I"), 0
    is_sharded = False
    with atomic_write(target.with_name(f"{target.name}.jsonl")) as file:
        for record, span in rows:
            row = to_plain(record)
            if span is not None:
                row["span"], is_sharded = span, True
            # ASCII: bytes of file names that are no text come back as they were
            end += file.write(json.dumps(row).encode("ascii") + b"\n")
            offsets.append(end)
            hashes.append(image_hash(record.image))
    for name, values in (
        ("offsets", np.frombuffer(offsets, np.int64)),
        ("hashes", np.array(hashes, np.uint32)),
    ):
        with atomic_write(target.with_name(f"{target.name}.{name}.npy")) as file:
            np.save(file, values)
    return {"num": len(hashes), "is_sharded": is_sharded}


def _read_about(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _fingerprint(
    path: Path, kind: str, images: Path | None, names: Sequence[str] | None, skipped: Path
) -> str:
    """A hash of names, sizes and times of the files that the records come from."""
    digest = hashlib.sha256()
    digest.update(repr((_FORMAT, str(path), kind, images and str(images), names)).encode())
    for file in _files_of(path, kind, skipped):
        try:
            status = file.stat()
        except OSError:
            continue
        digest.update(repr((str(file), status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()[:24]


def _files_of(path: Path, kind: str, skipped: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        if kind == "openimages":  # the names of the classes lie beside
            for pattern in openimages.CLASS_FILES:
                yield from sorted(path.parent.glob(pattern))
        return
    skipped = skipped.absolute()
    for folder, files in walk(path, Problems()):
        if folder != skipped and skipped not in folder.parents:
            yield from (folder / name for name in files)
