"""Which format a path is of: by names of files, then by how a file begins."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from anytag.data.problems import Problems
from anytag.data.sources import (
    ade20k,
    coco,
    conceptual,
    flickr,
    openimages,
    tables,
    visual_genome,
    voc,
)
from anytag.data.sources.folders import TEXT_ENDINGS, is_image
from anytag.data.sources.paths import walk
from anytag.data.text_files import decode
from anytag.errors import UsageError
from anytag.files import display_path

#: bytes of a file, and files of a folder, that are looked at
_HEAD = 65536
_MAX_FILES = 2000
_PICKLES = ("index_ade20k.pkl", "index_ade20k.mat")


def detect(path: Path) -> str:
    """The kind of a path, one of `sources.KINDS`.

    Raises:
        UsageError: it is none; the message says what was looked for
    """
    if not path.exists():
        raise UsageError(f"{display_path(path)} does not exist")
    kind, why = _of_folder(path) if path.is_dir() else _of_file(path)
    if kind:
        return kind
    raise UsageError(f"{display_path(path)}: {why}. Name the format with --kind")


def _of_folder(path: Path) -> tuple[str, str]:
    names = sorted(one.name for one in itertools.islice(path.iterdir(), _MAX_FILES))
    endings = {Path(name).suffix.lower() for name in names}
    if coco.annotation_files(path):
        return "coco", ""
    if not visual_genome.FILES.keys().isdisjoint(names):
        return "visual-genome", ""
    if ade20k.CLASS_FILE in names:
        return "ade20k-150", ""
    if conceptual.SBU_URLS in names or conceptual.SBU_CAPTIONS in names:
        return "sbu", ""
    if openimages.label_files(path):
        return "openimages", ""
    for name in flickr.FILES:
        if name in names and _of_file(path / name)[0] == "flickr":
            return "flickr", ""
    if voc.has_annotations(path, names):
        return "voc", ""
    if ".tar" in endings:
        return "webdataset", ""
    if endings & {".jsonl", ".ndjson", ".parquet"}:
        return "records", ""
    if ".tsv" in endings:
        return _of_file(path / next(name for name in names if name.lower().endswith(".tsv")))
    return _of_pictures(path)


def _of_pictures(path: Path) -> tuple[str, str]:
    """Folders of pictures: by the first files."""
    pictures = texts = at_top = 0
    for folder, names in walk(path, Problems()):
        for name in names:
            if name.endswith("_atr.txt") or (name.startswith("ADE_") and name.endswith(".json")):
                return "ade20k", ""
        stems = {Path(name).stem for name in names if name.endswith((*TEXT_ENDINGS, ".json"))}
        images = [name for name in names if is_image(name)]
        pictures += len(images)
        at_top += len(images) if folder == path else 0
        texts += sum(Path(name).stem in stems or name in stems for name in images)
        if pictures > _MAX_FILES:
            break
    if texts:
        return "folder", ""
    if pictures and not at_top:
        return "classes", ""
    if pictures:
        return "", "its pictures have no text beside them (photo.txt) and lie in no class folders"
    return "", "it holds neither pictures nor annotation files that are known"


def _of_file(path: Path) -> tuple[str, str]:
    suffix, head = path.suffix.lower(), _head(path)
    if path.name in _PICKLES:
        return "", "ADE20K's index is not read (a pickle runs code); give the folder of the images"
    if suffix == ".tar":
        return "webdataset", ""
    if suffix in (".jsonl", ".ndjson") or head.startswith(b"PAR1"):
        return "records", ""
    if suffix in (".gz", ".zip", ".tgz", ".xz", ".bz2"):
        return "", "it is compressed; unpack it first"
    text = decode(head)[0].removeprefix("\ufeff").lstrip()
    if not text:
        return "", "it is empty"
    if suffix == ".json" or text[0] in "[{":
        return _of_json(text)
    return _of_table(path, text)


def _of_json(text: str) -> tuple[str, str]:
    names = set(_names_of(text))
    if "image_urls" in names:
        return "sbu", ""
    if text.startswith("["):
        if "image_path" in names and "caption" in names:
            return "ram", ""
        if names & {"regions", "objects", "attributes"}:
            return "visual-genome", ""
        if "coco_id" in names:
            return "", "it is Visual Genome's list of images; give the folder or another file"
        return "", "the objects of its array are not known: " + _some(names)
    if names & {"annotations", "images", "categories", "licenses"}:
        return "coco", ""
    return "", "it is a JSON object without 'images' and 'annotations': it has " + _some(names)


def _names_of(text: str) -> Iterator[str]:
    """All texts before a colon in the beginning of a JSON file."""
    decoder = json.JSONDecoder()
    place = text.find('"')
    while place >= 0:
        try:
            name, place = decoder.raw_decode(text, place)
        except ValueError:  # cut off
            return
        if text[place : place + 2].strip().startswith(":"):
            yield name
        place = text.find('"', place)


def _of_table(path: Path, text: str) -> tuple[str, str]:
    first = text.partition("\n")[0].rstrip("\r")
    columns = first.split("\t")
    if (
        first.startswith("image_name|")
        or first.rstrip() == "image,caption"
        or (len(columns) == 2 and "#" in columns[0] and columns[0].rpartition("#")[2].isdigit())
    ):
        return "flickr", ""
    if first.startswith("ImageID,") and "LabelName" in first:
        return "openimages", ""
    if path.name in (conceptual.SBU_URLS, conceptual.SBU_CAPTIONS):
        return "sbu", ""
    header = [column.strip().lower() for column in columns]
    if header == ["caption", "url"]:
        return "cc3m", ""
    if header == ["url", "caption"]:
        return "cc12m", ""
    if path.suffix.lower() in (".csv", ".tsv", ".txt") and _is_own_table(text):
        return "table", ""
    if len(columns) in (2, 5):
        if columns[0].startswith(("http://", "https://")):
            return "cc12m", ""
        if columns[1].startswith(("http://", "https://")):
            return "cc3m", ""
    return "", f"its first line is of no known table: {display_path(first[:60])!r}"


def _is_own_table(text: str) -> bool:
    lines = [line.rstrip("\r") for line in text.split("\n")[:50]]
    header = tables.split_header(lines[0])
    rows = [tables.split_header(line) for line in lines[1:] if line]
    return len(header) > 1 and tables.columns_of(header, rows) is not None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise UsageError(f"{display_path(path)} cannot be read: {error.strerror}") from error


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:6]) or "no names"
