"""``anytag caption``: a sentence for each photo."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from anytag.cli import options as opt

if TYPE_CHECKING:
    from anytag.data.discover import Item
    from anytag.data.images import LoadedImage
    from anytag.inference.results import TagResult
    from anytag.inference.tagger import Tagger

_WRITING = "How to write"


class CaptionFormat(str, Enum):
    """What captions are printed as."""

    TEXT = "text"
    JSONL = "jsonl"


Paths = Annotated[
    list[str], typer.Argument(metavar="PATH...", help="Images, folders, quoted globs, URLs.")
]
Model = Annotated[
    str,
    typer.Option("--model", help="nano; a model directory, checkpoint or hub id of one that can."),
]
Tags = Annotated[
    str | None,
    typer.Option(metavar="NAME,...", help="Write about these; else about the tags it finds."),
]
Mix = Annotated[bool, typer.Option("--mix", help="Write about the tags it finds as well.")]
Threshold = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="For the tags it finds; each tag's own if not given."),
]
OutputFormat = Annotated[
    CaptionFormat, typer.Option("--format", help="path, tab, caption; or JSON records.")
]
NumBeams = Annotated[int, typer.Option(min=1, help="1 is greedy.", rich_help_panel=_WRITING)]
MaxLength = Annotated[int, typer.Option(min=1, help="In word pieces.", rich_help_panel=_WRITING)]
MinLength = Annotated[int, typer.Option(min=0, help="In word pieces.", rich_help_panel=_WRITING)]
Sample = Annotated[bool, typer.Option("--sample", help="Draw words.", rich_help_panel=_WRITING)]
Seed = Annotated[int | None, typer.Option(help="Of --sample.", rich_help_panel=_WRITING)]


def caption(
    paths: Paths,
    model: Model = "nano",
    recursive: opt.Recursive = False,
    tags: Tags = None,
    mix: Mix = False,
    threshold: Threshold = None,
    form: OutputFormat = CaptionFormat.TEXT,
    num_beams: NumBeams = 3,
    max_length: MaxLength = 30,
    min_length: MinLength = 10,
    sample: Sample = False,
    seed: Seed = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    batch_size: opt.BatchSize = 8,
) -> None:
    """Describe photos in a sentence.

    nano's sentences are simple and often wrong, and --tags do not steer them; Tag2Text and RAM
    are made for it.

    Examples:

        anytag caption photo.jpg

        anytag caption photos -r --format jsonl > captions.jsonl

        anytag caption photo.jpg --model tag2text --tags "dog,frisbee" --mix
    """
    from anytag.data.discover import find_images, path_text
    from anytag.inference.image_captions import caption_stream
    from anytag.inference.tagger import Tagger

    tagger = Tagger.from_pretrained(model, device=device, dtype=dtype)
    captioner = tagger.captioner(
        None if tags is None else [name for name in tags.split(",") if name.strip()],
        mix=mix,
        threshold=threshold,
        num_beams=num_beams,
        max_length=max_length,
        min_length=min_length,
        sample=sample,
        seed=seed,
    )
    results = caption_stream(
        find_images(paths, recursive=recursive),
        captioner,
        load=lambda item: _load(tagger, item),
        path_of=path_text,
        model_name=tagger.model_name,
        batch_size=batch_size,
    )
    num_failed = sum(not _show(result, form) for result in results)
    if num_failed:
        raise typer.Exit(1)


def _load(tagger: Tagger, item: Item) -> LoadedImage:
    from anytag.data.discover import InputProblem, UrlItem
    from anytag.errors import ImageError

    if isinstance(item, InputProblem):
        raise ImageError(item.kind, item.message)
    return tagger.load(item.url if isinstance(item, UrlItem) else item)


def _show(result: TagResult, form: CaptionFormat) -> bool:
    """Print one result; False if there is no caption."""
    from anytag.files import display_path
    from anytag.inference.writers.jsonl import encode

    if form is CaptionFormat.JSONL:
        typer.echo(encode(result.record()))
    elif result.error is None:
        typer.echo(f"{display_path(result.path or '')}\t{result.caption}")
    if result.error is not None:
        typer.echo(f"anytag: {result.error.message}", err=True)
    return result.error is None
