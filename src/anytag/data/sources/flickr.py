"""Flickr8k and Flickr30k: the token files, and the CSV files of the copies on Kaggle.

    Flickr8k.token.txt, results_20130124.token   1000268201_693b08cb0e.jpg#0 <tab> A child in ...
    captions.txt (8k)                            image,caption        (a header, then CSV)
    results.csv (30k)                            image_name| comment_number| comment

Kaggle's results.csv lacks a ``|`` in line 20,001; such rows are read too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

from anytag.data.problems import Problems, SeenKeys
from anytag.data.records import Record, unique
from anytag.data.sources.paths import find_folder
from anytag.data.text_files import clean_text, read_lines, split_csv

#: names that annotation files have, in the order of preference
FILES = ("Flickr8k.token.txt", "results_20130124.token", "results.csv", "captions.txt")
_FOLDERS = (
    "Images", "images", "flickr30k_images", "flickr30k-images", "Flicker8k_Dataset", "flickr8k"
)  # fmt: skip
_TOKEN = re.compile(r"(.+)#(\d+)\t(.*)")
#: the second delimiter is missing in one row
_RESULTS = re.compile(r"([^|]+)\|\s*(\d+)\s*(?:\|\s?|\s+)(.*)")

#: image, number of its caption ("" if there is none), caption
_Parsed: TypeAlias = tuple[str, str, str]


def read_tokens(
    path: Path, problems: Problems, *, images: Path | None = None, source: str = "flickr"
) -> Iterator[Record]:
    """``*.token`` and ``*.token.txt`` of the original releases."""

    def parse(text: str) -> _Parsed:
        match = _TOKEN.fullmatch(text)
        if match is None:
            raise ValueError("'image.jpg#number<tab>caption' expected")
        return match[1], match[2], match[3]

    yield from _read(path, problems, images, source, parse, header=None)


def read_captions_csv(
    path: Path, problems: Problems, *, images: Path | None = None, source: str = "flickr"
) -> Iterator[Record]:
    """``captions.txt`` of Flickr8k on Kaggle."""

    def parse(text: str) -> _Parsed:
        columns = split_csv(text)
        if len(columns) != 2:
            raise ValueError(f"2 columns expected, found {len(columns)}")
        return columns[0], "", columns[1]

    yield from _read(path, problems, images, source, parse, header="image,caption")


def read_results_csv(
    path: Path, problems: Problems, *, images: Path | None = None, source: str = "flickr"
) -> Iterator[Record]:
    """``results.csv`` of Flickr30k on Kaggle."""

    def parse(text: str) -> _Parsed:
        match = _RESULTS.fullmatch(text)
        if match is None:
            raise ValueError("'image.jpg| number| caption' expected")
        return match[1].strip(), match[2], match[3]

    yield from _read(path, problems, images, source, parse, header="image_name| comment_number")


def read_flickr(
    path: Path, problems: Problems, *, images: Path | None = None, source: str = "flickr"
) -> Iterator[Record]:
    """Any of these files, told apart by its first line; or a folder that holds one."""
    if path.is_dir():
        path = next((path / name for name in FILES if (path / name).is_file()), path)
    first = next(read_lines(path, Problems()), None)
    text = "" if first is None else first.text
    if text.startswith("image_name|"):
        read = read_results_csv
    elif text.startswith("image,caption"):
        read = read_captions_csv
    else:
        read = read_tokens
    yield from read(path, problems, images=images, source=source)


def _read(
    path: Path,
    problems: Problems,
    images: Path | None,
    source: str,
    parse: Callable[[str], _Parsed],
    header: str | None,
) -> Iterator[Record]:
    folder = images or find_folder([path.parent, path.parent.parent], _FOLDERS) or path.parent
    seen_images, seen_captions = SeenKeys(), SeenKeys()

    def rows() -> Iterator[tuple[str, int, str]]:
        for line in read_lines(path, problems):
            if not line.text.strip() or (
                line.number == 1 and header is not None and line.text.startswith(header)
            ):
                continue
            try:
                image, number, caption = parse(line.text)
            except ValueError as error:
                problems.add("malformed", path, line.number, str(error))
                continue
            if number and not seen_captions.add(f"{image}#{number}"):
                message = f"caption {number} of {image} comes again; not used"
                problems.add("duplicate", path, line.number, message)
                continue
            yield image, line.number, clean_text(caption, path, line.number, problems)

    for image, group in groupby(rows(), key=lambda row: row[0]):
        found = list(group)
        if not seen_images.add(image):
            message = f"captions of {image} do not stand together; a second record"
            problems.add("duplicate", path, found[0][1], message)
        captions = unique([caption for _, _, caption in found])
        yield Record(image=str(folder / image), captions=captions, source=source)
