"""What ``anytag explain`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from anytag.data.discover import InputProblem, Item, UrlItem, find_images, path_text
from anytag.data.images import open_image
from anytag.errors import FetchError, ImageError, OutputError
from anytag.fetch import fetch
from anytag.files import atomic_write, display_path
from anytag.inference.explain import Explainer, Explanation
from anytag.inference.overlay import LONGEST, overlay, png
from anytag.inference.tagger import Tagger


@dataclass(frozen=True, kw_only=True)
class ExplainRun:
    """The options of ``anytag explain``."""

    images: Sequence[str]
    tags: Sequence[str]
    top_k: int
    method: str
    as_json: bool
    output: Path | None
    recursive: bool
    model: str
    device: str
    dtype: str


def run(options: ExplainRun) -> int:
    """Explain, print and draw.

    Returns:
        how many images could not be read
    """
    tagger = Tagger.from_pretrained(options.model, device=options.device, dtype=options.dtype)
    named = Explainer(tagger, list(options.tags), options.method) if options.tags else None
    if options.output is not None:
        make_folder(options.output)
    names = FileNames()
    num_failed = 0
    for item in find_images(options.images, recursive=options.recursive):
        try:
            source = _source(item)
            explanations = _explain(tagger, named, source, options)
        except (ImageError, FetchError) as error:
            typer.echo(f"anytag: {error}", err=True)
            num_failed += 1
            continue
        files: list[Path | None] = [None] * len(explanations)
        if options.output is not None and explanations:
            files = _draw(source, path_text(item), explanations, options.output, names)
        for explanation, file in zip(explanations, files, strict=True):
            typer.echo(_shown(path_text(item), explanation, file, as_json=options.as_json))
    return num_failed


def _source(item: Item) -> Path | bytes:
    """What can be decoded twice: for the network, and to be drawn on."""
    if isinstance(item, InputProblem):
        raise ImageError(item.kind, item.message)
    return fetch(item.url, allow_octet_stream=True) if isinstance(item, UrlItem) else item


def _explain(
    tagger: Tagger, named: Explainer | None, source: Path | bytes, options: ExplainRun
) -> list[Explanation]:
    if named is not None:
        return named(source)
    found = list(dict.fromkeys(tag.name for tag in tagger(source).tags))[: options.top_k]
    return Explainer(tagger, found, options.method)(source) if found else []


def _shown(path: str, one: Explanation, file: Path | None, *, as_json: bool) -> str:
    if as_json:
        record = {
            "path": path,
            "tag": one.tag,
            "score": round(one.score, 4),
            "box": list(one.pixel_box),
            "width": one.width,
            "height": one.height,
            "method": one.method,
            "file": None if file is None else path_text(file),
        }
        return json.dumps(record, ensure_ascii=False)
    box = ",".join(map(str, one.pixel_box))
    return f"{display_path(path)}\t{one.tag}\t{one.score:.2f}\t{box}"


def _draw(
    source: Path | bytes,
    path: str,
    explanations: Sequence[Explanation],
    folder: Path,
    names: FileNames,
) -> list[Path | None]:
    image = open_image(source, target_size=LONGEST)
    files: list[Path | None] = []
    for one in explanations:
        picture = overlay(image, one.grid, one.box, f"{one.tag} {one.score:.2f}")
        target = folder / names.give(path, one.tag)
        with atomic_write(target) as file:
            file.write(png(picture))
        files.append(target)
    return files


class FileNames:
    """Names of the PNGs of a run, each given once: ``photo.dog.png``, ``photo.dog.2.png``."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, path: str, tag: str) -> str:
        """A name for an image and a tag; compared without case, as some file systems do."""
        stem = re.sub(r"[^\w.-]+", "-", f"{Path(path).stem[:80]}.{tag[:60]}")
        name, number = stem, 1
        while name.lower() in self._given:
            number += 1
            name = f"{stem}.{number}"
        self._given.add(name.lower())
        return f"{name}.png"


def make_folder(folder: Path) -> None:
    """Make it, unless it is there.

    Raises:
        OutputError: it cannot be made
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"-o {folder}: cannot be made ({error.strerror})") from error
