"""What the options of ``anytag tag`` ask for: the model, its scores, the choice among them.

In the command's process and in each worker (`tag_shards`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import typer

from anytag.cli.tag_options import TagOptions
from anytag.data.containers import Member
from anytag.data.discover import InputProblem, Item, UrlItem
from anytag.data.images import LoadedImage
from anytag.errors import ImageError, LabelError, UsageError
from anytag.inference.selection import TagSelector
from anytag.inference.stream import Score, Scores
from anytag.inference.tagger import CPU_CHUNK, Tagger
from anytag.inference.writers import Format
from anytag.labels.labelset import read_tag_list, read_thresholds


def make_tagger(options: TagOptions) -> Tagger:
    """The model with the tags and thresholds that are asked for."""
    try:
        names = list(options.tag or [])
        if options.tags is not None:
            names += read_tag_list(options.tags)
        extra = [] if options.extend_tags is None else read_tag_list(options.extend_tags)
        tagger = Tagger.from_pretrained(
            options.model,
            device=options.device,
            dtype=options.dtype,
            backend=options.backend.value,
        )
        if names:
            tagger = tagger.with_tags(names)
        if extra:
            tagger = tagger.with_tags(extra, extend=True)
        if options.thresholds is not None:
            tagger = tagger.with_labels(read_thresholds(options.thresholds, tagger.labels))
    except LabelError as error:
        raise UsageError(str(error)) from error
    return tagger


def make_selector(options: TagOptions, tagger: Tagger) -> TagSelector:
    """Which tags an image gets of its scores."""
    for name in _names(options.exclude):
        if tagger.labels.find(name) is None and not options.quiet:
            typer.echo(f"note: --exclude: the model has no tag {name!r}", err=True)
    try:
        return TagSelector(
            tagger.labels,
            threshold=threshold(options),
            top_k=options.top_k,
            exclude=_names(options.exclude),
            always=_names(options.always),
            language=options.lang,
        )
    except LabelError as error:
        raise UsageError(str(error)) from error


def threshold(options: TagOptions) -> float | Literal["auto"] | None:
    """One for all tags, or "auto" for each tag's own; None = not said."""
    if options.threshold == "auto" or options.thresholds is not None:
        return "auto"
    if options.threshold is None:
        return None
    try:
        return float(options.threshold)
    except ValueError as error:
        raise UsageError(
            f"--threshold {options.threshold}: expected auto or a number in 0 to 1"
        ) from error


def _names(values: list[str] | None) -> list[str]:
    """Names from options that take a file of names, or names with commas between them."""
    names = []
    for value in values or []:
        try:
            names += read_tag_list(Path(value)) if Path(value).is_file() else value.split(",")
        except LabelError as error:
            raise UsageError(str(error)) from error
    return [name.strip() for name in names if name.strip()]


def settings(options: TagOptions, tagger: Tagger) -> dict[str, object]:
    """All that changes a record or a file beside an image."""
    xmp = {
        "embed": options.embed,
        "dry_run": options.dry_run,
        "naming": options.xmp_naming.value,
    }
    return {
        "model": tagger.model_name,
        "tags (SHA-256)": hashlib.sha256(tagger.labels.to_json().encode()).hexdigest(),
        "threshold": threshold(options),
        "top_k": options.top_k,
        "exclude": sorted(_names(options.exclude)),
        "always": _names(options.always),
        "lang": options.lang,
        "caption": options.caption,
        "caption_txt": options.caption_txt,
        "xmp": xmp if options.form is Format.XMP else None,
    }


def captioning(options: TagOptions, tagger: Tagger) -> Score:
    """Scores and captions, about the tags that are found; as many images at once as `score`."""
    captioner = tagger.captioner(threshold=threshold(options))

    def score(pixels: npt.NDArray[np.uint8]) -> tuple[Scores, list[str]]:
        step = CPU_CHUNK if tagger.device.type == "cpu" else len(pixels)
        parts = (pixels[start : start + step] for start in range(0, len(pixels), step))
        rows = [row for part in parts for row in captioner(part)]
        return np.stack([scores for _, scores, _ in rows]), [caption for *_, caption in rows]

    return score


def load(tagger: Tagger, item: Item | Member) -> LoadedImage:
    """Decode an item.

    Raises:
        ImageError, FetchError: it cannot be read
    """
    match item:
        case InputProblem():
            raise ImageError(item.kind, item.message)
        case Member():
            return tagger.load(item.content)
        case UrlItem():
            return tagger.load(item.url)
    return tagger.load(item)
