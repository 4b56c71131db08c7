"""Open Images (storage.googleapis.com/openimages): labels of whole images, V4 to V7.

    *-annotations-human-imagelabels.csv     ImageID,Source,LabelName,Confidence
    oidv6-class-descriptions.csv            LabelName,DisplayName    (older ones have no header)

Confidence is 1 or 0 where people verified a label, a fraction where a machine gave it. The rows of
an image stand together, so that one image is held at a time. Box files (``*-bbox.csv``) have these
columns too and are read the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from anytag.data.problems import Problems, SeenKeys
from anytag.data.records import Record, unique
from anytag.data.sources.paths import find_folder
from anytag.data.text_files import clean_text, read_lines, split_csv
from anytag.errors import UsageError
from anytag.files import display_path

LABEL_FILES = ("*imagelabels*.csv", "*annotations-bbox*.csv", "annotations-*.csv")
CLASS_FILES = ("*class-descriptions*.csv", "class_descriptions*.csv", "classes*.csv")
_COLUMNS = ("ImageID", "LabelName", "Confidence")
_SPLITS = ("train", "validation", "test")


def read_openimages(
    path: Path,
    problems: Problems,
    *,
    images: Path | None = None,
    classes: Path | None = None,
    min_confidence: float = 0.5,
    source: str = "openimages",
) -> Iterator[Record]:
    """A label file, or all of a folder.

    Args:
        path: the file or folder
        problems: gets what is wrong
        images: the folder with ``<ImageID>.jpg``; if not given, ``train`` and the like near the
            file
        classes: the class descriptions; if not given, the file of that name beside
        min_confidence: a label below this is no tag; one that people have refused has 0
        source: of the records

    Raises:
        UsageError: there are no class descriptions
    """
    folder = path if path.is_dir() else path.parent
    classes = classes or _first(folder, CLASS_FILES)
    if classes is None:
        raise UsageError(
            f"{display_path(folder)} holds no *class-descriptions*.csv, which gives the labels "
            "(such as /m/01yrx) their names; download it from the Open Images page"
        )
    names = _class_names(classes, problems)
    for file in label_files(path):
        yield from _read_file(file, names, problems, images, min_confidence, source)


def label_files(path: Path) -> list[Path]:
    """The label files of a folder, each once."""
    if not path.is_dir():
        return [path]
    return sorted({file for pattern in LABEL_FILES for file in path.glob(pattern)})


def _first(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    return next((file for one in patterns for file in sorted(folder.glob(one))), None)


def _class_names(path: Path, problems: Problems) -> dict[str, str]:
    names = {}
    for line in read_lines(path, problems):
        if not line.text.strip():
            continue
        try:
            label, name = split_csv(line.text)
        except ValueError:
            problems.add("malformed", path, line.number, "2 columns expected: label, name")
            continue
        if label != "LabelName":
            names[label] = clean_text(name, path, line.number, problems)
    return names


def _read_file(
    file: Path,
    names: dict[str, str],
    problems: Problems,
    images: Path | None,
    min_confidence: float,
    source: str,
) -> Iterator[Record]:
    split = next((one for one in _SPLITS if one in file.name), "train")
    near = [file.parent, file.parent.parent]
    folder = images or find_folder(near, [split, f"images/{split}", "images"])
    folder = folder or file.parent / split
    seen = SeenKeys()
    for image, group in groupby(_rows(file, problems), key=lambda row: row[0]):
        tags, line = [], 0
        for _, label, confidence, number in group:
            line = line or number
            if label not in names:
                message = f"label {label!r} is in no class description"
                problems.add("malformed", file, number, message)
            elif confidence >= min_confidence:
                tags.append(names[label])
        if not seen.add(image):
            message = f"rows of image {image} do not stand together; a second record"
            problems.add("duplicate", file, line, message)
        yield Record(image=str(folder / f"{image}.jpg"), tags=unique(tags), source=source)


def _rows(file: Path, problems: Problems) -> Iterator[tuple[str, str, float, int]]:
    places: list[int] = []
    num_columns = 0
    for line in read_lines(file, problems):
        if not line.text.strip():
            continue
        try:
            columns = split_csv(line.text)
            if line.number == 1:
                places = [columns.index(name) for name in _COLUMNS]
                num_columns = len(columns)
            elif len(columns) != num_columns:
                raise ValueError(f"{num_columns} columns expected, found {len(columns)}")
            else:
                image, label, confidence = (columns[place] for place in places)
                if not image:
                    raise ValueError("no ImageID")
                yield image, label, float(confidence), line.number
        except ValueError as error:
            problems.add("malformed", file, line.number, str(error))
            if line.number == 1:
                return
