"""``anytag convert``: a released checkpoint of RAM, RAM++ or Tag2Text to a model directory."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from anytag.checkpoints.released_conversion import Conversion

Triple = tuple[float, float, float]

_LISTS = "Lists beside the checkpoint"
_MODEL = "What the checkpoint does not say"


class Family(str, Enum):
    """Released families."""

    AUTO = "auto"
    RAM = "ram"
    RAM_PLUS = "ram_plus"
    TAG2TEXT = "tag2text"


class StoredType(str, Enum):
    """Floating types on disk."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Statistics(str, Enum):
    """Means and standard deviations of pixels."""

    IMAGENET = "imagenet"
    CLIP = "clip"


Checkpoint = Annotated[Path, typer.Argument(metavar="CKPT", help="A .pth or .safetensors file.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to.")]
FamilyOption = Annotated[Family, typer.Option("--family", help="What it must be.")]
StoredAs = Annotated[
    StoredType | None,
    typer.Option("--dtype", help="On disk; as in the checkpoint if not given.", show_default=False),
]
KeepCaptioner = Annotated[
    bool,
    typer.Option("--captioner/--no-captioner", help="Keep it; RAM is half as large without."),
]
Name = Annotated[str | None, typer.Option(help="Of the model; that of DIR if not given.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a model in DIR.")]

TagList = Annotated[
    Path, typer.Option(help="The tags published with it, one a line.", rich_help_panel=_LISTS)
]
Thresholds = Annotated[
    Path | None, typer.Option(help="One a line, or tag,threshold rows.", rich_help_panel=_LISTS)
]
Translations = Annotated[
    Path | None,
    typer.Option(help="Names in --lang, line by line as the tags.", rich_help_panel=_LISTS),
]
Language = Annotated[
    str, typer.Option(help="Language of the translations.", rich_help_panel=_LISTS)
]
Mute = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Score these tags and never give them; Tag2Text has a list of its own.",
        rich_help_panel=_LISTS,
        show_default=False,
    ),
]
Vocabulary = Annotated[
    Path | None,
    typer.Option(help="vocab.txt of bert-base-uncased; captions need it.", rich_help_panel=_LISTS),
]

Pixels = Annotated[
    Statistics,
    typer.Option(
        help="Pixel statistics: imagenet as published, or clip as in training.",
        rich_help_panel=_MODEL,
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(min=1, help="Side in pixels; as trained if not given.", rich_help_panel=_MODEL),
]
Heads = Annotated[int, typer.Option(min=1, help="Of the tagging decoder.", rich_help_panel=_MODEL)]
CaptionHeads = Annotated[int, typer.Option(min=1, help="Of the captioner.", rich_help_panel=_MODEL)]


def convert(
    checkpoint: Checkpoint,
    output: Output,
    tag_list: TagList,
    thresholds: Thresholds = None,
    translations: Translations = None,
    lang: Language = "zh",
    mute: Mute = None,
    vocab: Vocabulary = None,
    family: FamilyOption = Family.AUTO,
    dtype: StoredAs = None,
    captioner: KeepCaptioner = True,
    name: Name = None,
    overwrite: Overwrite = False,
    normalization: Pixels = Statistics.IMAGENET,
    image_size: ImageSize = None,
    heads: Heads = 4,
    caption_heads: CaptionHeads = 12,
) -> None:
    """Convert a released checkpoint of RAM, RAM++ or Tag2Text to a model directory.

    Examples:

        anytag convert ram_plus_swin_large_14m.pth --tag-list ram_tag_list.txt
            --thresholds ram_tag_list_threshold.txt -o ram-plus

        anytag convert tag2text_swin_14m.pth --tag-list tag_list.txt --vocab vocab.txt -o tag2text

        anytag tag photo.jpg --model ram-plus
    """
    from anytag.checkpoints.released_conversion import TagLists, convert_released
    from anytag.checkpoints.sizes import ConvertOptions

    lists = TagLists(
        tags=tag_list,
        thresholds=thresholds,
        translations=None if translations is None else {lang: translations},
        muted=None if mute is None else [name for name in mute.split(",") if name.strip()],
    )
    sizes = ConvertOptions(
        image_size=image_size,
        num_heads=heads,
        num_caption_heads=caption_heads,
        captioner=captioner,
    )
    done = convert_released(
        checkpoint,
        lists,
        output,
        family=family.value,
        name=name,
        options=sizes,
        normalization=_statistics(normalization),
        vocabulary=vocab,
        dtype=_torch_type(dtype),
        overwrite=overwrite,
    )
    typer.echo("\n".join(report(done)), err=True)
    typer.echo(output)


def _statistics(chosen: Statistics) -> tuple[Triple, Triple]:
    from anytag.data.transforms import CLIP, IMAGENET

    pixels = CLIP if chosen is Statistics.CLIP else IMAGENET
    return pixels.mean, pixels.std


def _torch_type(chosen: StoredType | None) -> torch.dtype | None:
    import torch

    return None if chosen is None else getattr(torch, chosen.value)


def report(done: Conversion) -> list[str]:
    """What a person should know of a conversion, line by line."""
    from anytag.checkpoints.released_conversion import TITLES

    network = done.card.network
    swin = network.swin
    each = f", {done.num_descriptions} descriptions each" if done.num_descriptions else ""
    lines = [
        f"{TITLES[network.family]}: {len(done.labels):,} tags{each}; "
        f"Swin {swin.embed_dim} at {swin.image_size} pixels; {done.num_parameters:,} parameters",
        *(f"not used: {count} keys ({reason})" for reason, count in sorted(done.excused.items())),
    ]
    languages = sorted({code for label in done.labels for code in label.translations})
    if languages:
        lines.append(f"translations: {', '.join(languages)}")
    if done.never_fire:
        lines.append(
            f"{len(done.never_fire)} tags have threshold 1.0 and can never fire: "
            + ", ".join(done.never_fire)
        )
    if done.muted:
        lines.append(f"{len(done.muted)} tags are scored and not given: {', '.join(done.muted)}")
    if network.captioner is None:
        lines.append("no captioner")
    elif not done.has_vocabulary:
        lines.append("captions need vocab.txt of bert-base-uncased in the directory")
    return lines
