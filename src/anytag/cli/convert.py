"""``anytag convert``: a released checkpoint of RAM, RAM++ or Tag2Text to a model directory."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from anytag.checkpoints.released_conversion import Conversion
    from anytag.checkpoints.released_files import ListFiles, Place

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


Checkpoint = Annotated[
    str,
    typer.Argument(
        metavar="CKPT", help="A .pth or .safetensors file; on the hub, hf:ORG/NAME/FILE.pth."
    ),
]
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

Lists = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Where the published lists are, on disk or hf:ORG/NAME; beside CKPT if not given.",
        rich_help_panel=_LISTS,
        show_default=False,
    ),
]
TagList = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The tags, one a line, in the order of the weights.",
        rich_help_panel=_LISTS,
    ),
]
Thresholds = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="One a line, or tag,threshold rows.", rich_help_panel=_LISTS),
]
Translations = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Names in --lang, line by line as the tags.",
        rich_help_panel=_LISTS,
    ),
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
    str | None,
    typer.Option(
        metavar="FILE",
        help="vocab.txt of bert-base-uncased; captions need it.",
        rich_help_panel=_LISTS,
    ),
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
    lists: Lists = None,
    tag_list: TagList = None,
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

        anytag convert ram_plus_swin_large_14m.pth -o ram-plus

        anytag convert hf:xinyu1205/recognize-anything-plus-model/ram_plus_swin_large_14m.pth
            --lists recognize-anything/ram/data -o ram-plus

        anytag convert tag2text_swin_14m.pth --tag-list tag_list.txt --vocab vocab.txt -o tag2text

        anytag tag photo.jpg --model ram-plus
    """
    from anytag.checkpoints.released_conversion import TagLists, convert_released
    from anytag.checkpoints.released_files import ListFiles, get_checkpoint, get_file
    from anytag.checkpoints.sizes import ConvertOptions

    given = ListFiles(
        tags=None if tag_list is None else get_file(tag_list),
        thresholds=None if thresholds is None else get_file(thresholds),
        vocabulary=None if vocab is None else get_file(vocab),
    )
    path, place = get_checkpoint(checkpoint)
    found = _find(path, given, place if lists is None else lists, captioner=captioner)
    if translations is not None:
        names = {lang: get_file(translations)}
    else:
        names = {} if found.chinese is None else {"zh": found.chinese}
    assert found.tags is not None  # `_find` has made sure
    done = convert_released(
        path,
        TagLists(
            tags=found.tags,
            thresholds=found.thresholds,
            translations=names,
            muted=None if mute is None else [name for name in mute.split(",") if name.strip()],
        ),
        output,
        family=family.value,
        name=name,
        options=ConvertOptions(
            image_size=image_size,
            num_heads=heads,
            num_caption_heads=caption_heads,
            captioner=captioner,
        ),
        normalization=_statistics(normalization),
        vocabulary=found.vocabulary,
        dtype=_torch_type(dtype),
        overwrite=overwrite,
    )
    typer.echo("\n".join([*_used(found, names), *report(done)]), err=True)
    typer.echo(output)


def _find(checkpoint: Path, given: ListFiles, place: Place | str, *, captioner: bool) -> ListFiles:
    """The lists that are given, and those that are found.

    Raises:
        UsageError: no tag list
    """
    from anytag.checkpoints.released_conversion import checkpoint_family
    from anytag.checkpoints.released_files import TAG_LISTS, find_lists, get_place
    from anytag.errors import UsageError

    where = get_place(place) if isinstance(place, str) else place
    family = checkpoint_family(checkpoint)
    vocabulary = captioner and family != "ram_plus"
    found = find_lists(family, where, given, vocabulary=vocabulary)
    if found.tags is None:
        raise UsageError(
            f"{checkpoint}: its tag list is needed too, and {where} has no "
            f"{' or '.join(TAG_LISTS[family])}; give --tag-list FILE, or --lists FOLDER with the "
            "lists of the public repository (its ram/data)"
        )
    return found


def _used(found: ListFiles, names: dict[str, Path]) -> list[str]:
    """Which files were used."""
    thresholds = found.thresholds or "none; those of the published code (0.68)"
    lines = [f"tags: {found.tags}", f"thresholds: {thresholds}"]
    lines += [f"names in {language}: {path}" for language, path in names.items()]
    return lines + ([f"vocabulary: {found.vocabulary}"] if found.vocabulary else [])


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
