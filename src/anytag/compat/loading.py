"""Finding the model behind ``pretrained=``: a model directory, or a checkpoint and its lists."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path

from anytag.checkpoints.directory import find_model
from anytag.checkpoints.released_conversion import TITLES
from anytag.checkpoints.released_directory import (
    LoadedReleased,
    is_released,
    load_released,
)
from anytag.checkpoints.released_files import (
    TAG_LISTS,
    THRESHOLDS,
    ListFiles,
    Place,
    find_lists,
    get_checkpoint,
    get_file,
    names_checkpoint,
)
from anytag.checkpoints.sizes import ConvertOptions
from anytag.errors import ModelError, UsageError
from anytag.inference.converted import convert_once

#: names of ``vit=`` -> ours
_BACKBONES = {"swin_b": "swin_base", "swin_l": "swin_large"}


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Files that belong to a checkpoint; None = look beside it."""

    tags: str | Path | None = None
    chinese: str | Path | None = None
    thresholds: str | Path | None = None
    #: vocab.txt of bert-base-uncased, for captions
    vocabulary: str | Path | None = None


def load(
    family: str,
    pretrained: str | Path,
    *,
    image_size: int | None,
    vit: str | None,
    lists: Lists,
    options: ConvertOptions | None,
    any_threshold: bool,
) -> tuple[LoadedReleased, Path | None]:
    """The model, and the file of its Chinese names if there is one.

    Args:
        family: what it must be
        pretrained: a model directory, a hub id, or a ``.pth`` or ``.safetensors`` file, on the hub
            too: ``hf:org/name/file.pth``
        image_size: side of the images; None = the model's
        vit: "swin_b" or "swin_l"; None = the model's
        lists: used with a file alone
        options: what a checkpoint of an unusual size does not say
        any_threshold: do without a threshold file, because one threshold holds for all tags

    Raises:
        ModelError: no such model, another family or size, or a list is missing
        LabelError: a list is wrong
        UsageError: an argument is wrong
    """
    if not str(pretrained):
        raise UsageError(
            "pretrained= is empty; give a checkpoint (.pth) or a directory of anytag convert"
        )
    if vit is not None and vit not in _BACKBONES:
        raise UsageError(f"vit={vit!r} is not known; expected {' or '.join(_BACKBONES)}")
    chinese = None if lists.chinese is None else Path(lists.chinese)
    if names_checkpoint(pretrained) or Path(pretrained).is_file():
        checkpoint, place = get_checkpoint(pretrained)
        options = options or ConvertOptions()
        options = replace(options, captioner=options.captioner and family == "tag2text")
        found = _find_lists(family, checkpoint, place, lists, any_threshold)
        chinese = found.chinese
        loaded = load_released(convert_once(family, checkpoint, found, options))
        # Only now: the size it was trained with, given or not, must not be converted twice.
        if image_size not in (None, loaded.card.network.tagger.encoder.image_size):
            options = replace(options, image_size=image_size)
            loaded = load_released(convert_once(family, checkpoint, found, options))
    else:
        path = find_model(pretrained)
        if not is_released(path):
            raise ModelError(f"{path}: not a converted RAM, RAM++ or Tag2Text; see anytag convert")
        loaded = load_released(path)
    _check_fits(loaded, family, str(pretrained), image_size, vit)
    return loaded, chinese


def _check_fits(
    loaded: LoadedReleased, family: str, pretrained: str, image_size: int | None, vit: str | None
) -> None:
    """The model must be what was asked for; the public package loads anything and says nothing."""
    network = loaded.card.network
    if network.family != family:
        raise ModelError(
            f"{pretrained}: holds {TITLES[network.family]}, not {TITLES[family]}; load it with "
            f"{network.family}()"
        )
    found = network.tagger.encoder
    if image_size not in (None, found.image_size):
        raise ModelError(
            f"{pretrained}: was converted for images of {found.image_size} pixels, not "
            f"{image_size}; convert it anew, or give the checkpoint itself"
        )
    if vit is not None and found.backbone in set(_BACKBONES.values()) - {_BACKBONES[vit]}:
        raise ModelError(f"{pretrained}: its backbone is {found.backbone}, not vit={vit!r}")


def _find_lists(
    family: str, checkpoint: Path, place: Place, lists: Lists, any_threshold: bool
) -> ListFiles:
    given = ListFiles(
        **{
            name: None if path is None else get_file(path)
            for name, path in dataclasses.asdict(lists).items()
        }
    )
    found = find_lists(family, place, given, vocabulary=family == "tag2text")
    if found.tags is None:
        raise ModelError(
            f"{checkpoint}: its tag list is needed too. Give tag_list=FILE, or put "
            f"{TAG_LISTS[family][0]} of the public repository beside it"
        )
    if found.thresholds is None and family != "tag2text" and not any_threshold:
        raise ModelError(
            f"{checkpoint}: the published models have a threshold for each tag. Give "
            f"thresholds=FILE, or put {THRESHOLDS} of the public repository beside it, or give "
            "one for all tags, such as threshold=0.7"
        )
    return found
