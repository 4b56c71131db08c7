"""Public data sets in their own formats -> records: one module a family, one function a format.

    source = open_source("coco/annotations/captions_val2017.json")
    for record in source:
        ...
    print(source.kind, source.problems.counts)

Nothing is downloaded. Rows that cannot be used are left out and told to `Source.problems`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anytag.data.problems import Problems
from anytag.data.record_files import SUFFIXES, RecordStream
from anytag.data.records import Record
from anytag.data.sources import (
    ade20k,
    coco,
    conceptual,
    detect,
    flickr,
    folders,
    openimages,
    ram,
    tables,
    visual_genome,
    voc,
)
from anytag.errors import UsageError
from anytag.files import display_path

#: kind -> what it is
KINDS = {
    "records": "anytag's records: .jsonl, .parquet, or a folder of them",
    "webdataset": "tar shards of img2dataset or anytag, or a folder of them",
    "ram": "RAM's released annotation JSON",
    "coco": "COCO captions, instances, panoptic: a JSON file or the annotations folder",
    "visual-genome": "Visual Genome regions, objects, attributes: a JSON file or the folder",
    "cc3m": "Conceptual Captions TSV (caption, url)",
    "cc12m": "Conceptual 12M TSV (url, caption)",
    "sbu": "SBU: the folder of the two text files, or sbu-captions-all.json",
    "flickr": "Flickr8k/30k: token file, or captions.txt or results.csv of Kaggle",
    "openimages": "Open Images: image-level label CSV, class descriptions beside",
    "ade20k": "ADE20K, full set of 2016 or 2021: the folder of the images",
    "ade20k-150": "ADE20K SceneParsing: ADEChallengeData2016",
    "table": "CSV or TSV of your own: image, tags (or columns of 0 and 1), captions",
    "voc": "Pascal VOC: a folder of XML annotations",
    "folder": "pictures with captions beside them (photo.txt)",
    "folder-tags": "pictures with tags beside them, commas between (photo.txt)",
    "classes": "a folder for each class",
}


@dataclass
class Source:
    """The records of one path; can be iterated again and again."""

    #: one of `KINDS`
    kind: str
    path: Path
    #: folder of the pictures; each format looks near the annotations if it is None
    images: Path | None = None
    #: the tag list to which RAM's ids belong
    names: Sequence[str] | None = None
    #: Open Images' class descriptions; looked for beside the labels if None
    classes: Path | None = None
    #: give the pictures of shards as `Record.content`
    with_images: bool = False
    #: of the last iteration
    problems: Problems = field(default_factory=Problems)

    def __iter__(self) -> Iterator[Record]:
        self.problems = Problems()
        return self._read(self.problems)

    def _read(self, problems: Problems) -> Iterator[Record]:
        path, images = self.path, self.images
        match self.kind:
            case "records" | "webdataset":
                return self._read_files(problems)
            case "ram":
                return ram.read_ram(path, problems, images=images, names=self.names)
            case "coco":
                return coco.read_coco(path, problems, images=images)
            case "visual-genome":
                return visual_genome.read_visual_genome(path, problems, images=images)
            case "cc3m":
                return conceptual.read_cc3m(path, problems)
            case "cc12m":
                return conceptual.read_cc12m(path, problems)
            case "sbu":
                return conceptual.read_sbu(path, problems)
            case "flickr":
                return flickr.read_flickr(path, problems, images=images)
            case "openimages":
                return openimages.read_openimages(
                    path, problems, images=images, classes=self.classes
                )
            case "ade20k":
                return ade20k.read_ade20k(path, problems)
            case "ade20k-150":
                return ade20k.read_ade20k_150(path, problems)
            case "table":
                return tables.read_table(path, problems, images=images)
            case "voc":
                return voc.read_voc(path, problems, images=images)
            case "classes":
                return folders.read_classes(path, problems)
            case _:
                return folders.read_folder(path, problems, tags=self.kind == "folder-tags")

    def _read_files(self, problems: Problems) -> Iterator[Record]:
        files = [self.path]
        if self.path.is_dir():
            wanted = (".tar",) if self.kind == "webdataset" else SUFFIXES[:-1]
            files = sorted(one for one in self.path.iterdir() if one.suffix.lower() in wanted)
        root = self.images if self.kind == "records" else None
        return iter(RecordStream(files, root=root, with_images=self.with_images, problems=problems))


def open_source(
    path: str | Path,
    kind: str = "auto",
    *,
    images: str | Path | None = None,
    names: Sequence[str] | None = None,
    classes: str | Path | None = None,
    with_images: bool = False,
) -> Source:
    """The records of a data set's file or folder.

    Args:
        path: what the data set's page lets one download, unpacked
        kind: one of `KINDS`; "auto" recognises it
        images: folder of the pictures, where it is not near the annotations
        names: the tag list to which RAM's ids belong
        classes: Open Images' class descriptions, where they are not beside the labels
        with_images: give the pictures of shards as `Record.content`

    Raises:
        UsageError: the path does not exist, the kind is not known or cannot be recognised
    """
    path = Path(path)
    if kind not in ("auto", *KINDS):
        raise UsageError(f"{kind!r} is no kind of data; known: auto, {', '.join(KINDS)}")
    if not path.exists():
        raise UsageError(f"{display_path(path)} does not exist")
    return Source(
        kind=detect.detect(path) if kind == "auto" else kind,
        path=path,
        images=None if images is None else Path(images),
        names=names,
        classes=None if classes is None else Path(classes),
        with_images=with_images,
    )
