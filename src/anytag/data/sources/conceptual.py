"""Web captions: Conceptual Captions 3M and 12M as TSV, SBU as text files or JSON.

    CC3M   Train_GCC-training.tsv              caption <tab> url     (and three columns of labels in
           Train_GCC-Labels-training.tsv       labels <tab> MIDs <tab> confidences)
    CC12M  cc12m.tsv                           url <tab> caption
    SBU    SBU_captioned_photo_dataset_{urls,captions}.txt, line by line together
           sbu-captions-all.json               {"image_urls": [...], "captions": [...]}

No file has a header; the line that img2dataset's instructions put before is recognised. The images
are URLs. Downloaded by img2dataset they are shards or folders: see `webdataset` and `folders`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from anytag.data.json_items import json_items
from anytag.data.problems import Problems
from anytag.data.records import Record, unique
from anytag.data.text_files import Line, clean_text, read_lines

SBU_URLS = "SBU_captioned_photo_dataset_urls.txt"
SBU_CAPTIONS = "SBU_captioned_photo_dataset_captions.txt"
_WEB = ("http://", "https://")


def read_cc3m(path: Path, problems: Problems, *, source: str = "cc3m") -> Iterator[Record]:
    """Conceptual Captions, with or without its image labels, which become tags."""
    yield from _read_tsv(path, problems, source, url_column=1)


def read_cc12m(path: Path, problems: Problems, *, source: str = "cc12m") -> Iterator[Record]:
    """Conceptual 12M."""
    yield from _read_tsv(path, problems, source, url_column=0)


def _read_tsv(path: Path, problems: Problems, source: str, url_column: int) -> Iterator[Record]:
    files = sorted(path.glob("*.tsv")) if path.is_dir() else [path]
    for file in files:
        for line in read_lines(file, problems):
            columns = line.text.split("\t")
            if line.number == 1 and {"url", "caption"} <= {name.lower() for name in columns}:
                continue
            if not line.text.strip():
                continue
            record = _tsv_record(columns, url_column, file, line, problems, source)
            if record is not None:
                yield record


def _tsv_record(
    columns: list[str], url_column: int, file: Path, line: Line, problems: Problems, source: str
) -> Record | None:
    if len(columns) not in (2, 5):
        message = f"2 columns expected (5 with labels), found {len(columns)}"
        problems.add("malformed", file, line.number, message)
        return None
    url = columns[url_column].strip()
    caption = clean_text(columns[1 - url_column], file, line.number, problems)
    if not url.startswith(_WEB):
        where = f"column {url_column + 1} must be a URL"
        problems.add("malformed", file, line.number, f"{where}, found {url[:60]!r}")
        return None
    labels = columns[2].split(",") if len(columns) == 5 else []
    return Record(
        image=url,
        captions=unique([caption]),
        tags=unique([label.strip() for label in labels]),
        source=source,
    )


def read_sbu(path: Path, problems: Problems, *, source: str = "sbu") -> Iterator[Record]:
    """SBU Captions: a folder with the two text files, one of these, or the JSON file."""
    if path.suffix.lower() == ".json":
        pairs = _sbu_json(path, problems)
    else:
        folder = path if path.is_dir() else path.parent
        pairs = _sbu_texts(folder, problems)
    for number, url, caption, file in pairs:
        if not url.startswith(_WEB):
            problems.add("malformed", file, number, f"a URL expected, found {url[:60]!r}")
            continue
        text = clean_text(caption, file, number, problems)
        yield Record(image=url, captions=unique([text]), source=source)


def _sbu_texts(folder: Path, problems: Problems) -> Iterator[tuple[int, str, str, Path]]:
    urls = read_lines(folder / SBU_URLS, problems)
    captions = read_lines(folder / SBU_CAPTIONS, problems)
    for url, caption in zip_longest(urls, captions):
        if url is None or caption is None:
            one, file = (caption, SBU_URLS) if url is None else (url, SBU_CAPTIONS)
            problems.add("truncated", folder / file, one.number, "ends before the other file")
            return
        yield url.number, url.text.strip(), caption.text, folder / SBU_URLS


def _sbu_json(path: Path, problems: Problems) -> Iterator[tuple[int, str, str, Path]]:
    """The three lists follow one another: URLs are held until the captions come."""
    columns: dict[str, list[str]] = {"image_urls": [], "captions": []}
    for item in json_items(path, problems):
        if item.key in columns and item.index is not None:
            if not isinstance(item.value, str):
                message = f"item {item.index} of {item.key!r} is no text"
                problems.add("malformed", path, item.line, message)
            columns[item.key].append(item.value if isinstance(item.value, str) else "")
    urls, captions = columns["image_urls"], columns["captions"]
    if len(urls) != len(captions):
        message = f"has {len(urls):,} URLs and {len(captions):,} captions"
        problems.add("truncated", path, None, message)
    for url, caption in zip(urls, captions, strict=False):
        yield 1, url, caption, path
