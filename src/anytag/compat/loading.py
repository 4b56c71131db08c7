"""Finding the model behind ``pretrained=``: a model directory, or a checkpoint and its lists."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from anytag.checkpoints.directory import FORMAT, find_model
from anytag.checkpoints.released_conversion import TITLES, TagLists, convert_released
from anytag.checkpoints.released_directory import (
    LoadedReleased,
    is_released,
    load_released,
)
from anytag.checkpoints.sizes import ConvertOptions
from anytag.errors import ModelError, OutputError, UsageError
from anytag.files import sha256_file
from anytag.inference.text_cache import cache_folder

#: what the lists are called in the public repository
_TAG_LISTS = {
    "ram": ("ram_tag_list.txt",),
    "ram_plus": ("ram_tag_list.txt",),
    "tag2text": ("tag2text_ori_tag_list.txt", "tag2text_tag_list.txt", "tag_list.txt"),
}
_THRESHOLDS = "ram_tag_list_threshold.txt"
_CHINESE = "ram_tag_list_chinese.txt"
_VOCABULARY = "vocab.txt"
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
) -> LoadedReleased:
    """The model.

    Args:
        family: what it must be
        pretrained: a model directory, a hub id, or a ``.pth`` or ``.safetensors`` file
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
    path = Path(pretrained)
    if path.is_file():
        options = options or ConvertOptions()
        loaded = load_released(_convert_once(family, path, lists, options, any_threshold))
        # Only now: the size it was trained with, given or not, must not be converted twice.
        if image_size not in (None, loaded.card.network.tagger.encoder.image_size):
            options = replace(options, image_size=image_size)
            loaded = load_released(_convert_once(family, path, lists, options, any_threshold))
    else:
        path = find_model(pretrained)
        if not is_released(path):
            raise ModelError(f"{path}: not a converted RAM, RAM++ or Tag2Text; see anytag convert")
        loaded = load_released(path)
    _check_fits(loaded, family, str(pretrained), image_size, vit)
    return loaded


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


def find_chinese(pretrained: str | Path, given: str | Path | None) -> Path | None:
    """The file of Chinese names, which the public package gives out blanks and all."""
    path = Path(pretrained)
    return _find(given, path, _CHINESE) if path.is_file() or given is not None else None


def _convert_once(
    family: str,
    checkpoint: Path,
    lists: Lists,
    options: ConvertOptions,
    any_threshold: bool,
) -> Path:
    """The directory of a converted checkpoint, in the cache folder."""
    tags = _find(lists.tags, checkpoint, *_TAG_LISTS[family])
    if tags is None:
        raise ModelError(
            f"{checkpoint}: its tag list is needed too. Give tag_list=FILE, or put "
            f"{_TAG_LISTS[family][0]} of the public repository beside it"
        )
    thresholds = _find(lists.thresholds, checkpoint, *(_THRESHOLDS,) * (family != "tag2text"))
    if thresholds is None and family != "tag2text" and not any_threshold:
        raise ModelError(
            f"{checkpoint}: the published models have a threshold for each tag. Give "
            f"thresholds=FILE, or put {_THRESHOLDS} of the public repository beside it, or give "
            "one for all tags, such as threshold=0.7"
        )
    chinese = _find(lists.chinese, checkpoint, *(_CHINESE,) * (family != "tag2text"))
    vocabulary = None
    if family == "tag2text":
        vocabulary = _find(lists.vocabulary, checkpoint, _VOCABULARY)
    options = replace(options, captioner=options.captioner and family == "tag2text")
    files = [tags, thresholds, chinese, vocabulary]
    target = cache_folder() / "compat" / f"{family}-{_key(checkpoint, files, options)}"
    if (target / "config.json").is_file():
        return target
    # Made beside its place and then renamed: another process never sees a part of it.
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    try:
        convert_released(
            checkpoint,
            TagLists(
                tags=tags,
                thresholds=thresholds,
                translations={} if chinese is None else {"zh": chinese},
            ),
            temporary,
            family=family,
            name=checkpoint.stem,
            options=options,
            vocabulary=vocabulary,
        )
        temporary.rename(target)
    except OSError as error:
        if not (target / "config.json").is_file():  # else another process was faster
            raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _find(given: str | Path | None, checkpoint: Path, *names: str) -> Path | None:
    """The file that was given, or the first of these names beside the checkpoint."""
    if given is not None:
        return Path(given)
    beside = (checkpoint.with_name(name) for name in names)
    return next((path for path in beside if path.is_file()), None)


def _key(checkpoint: Path, files: list[Path | None], options: ConvertOptions) -> str:
    """Differs for another checkpoint, list or option. Gigabytes are not hashed: size and date."""
    status = checkpoint.stat()
    try:
        hashes = [None if path is None else sha256_file(path) for path in files]
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror})") from error
    parts = [FORMAT, str(checkpoint.resolve()), status.st_size, status.st_mtime_ns, hashes]
    content = json.dumps([*parts, asdict(options)])
    return hashlib.sha256(content.encode()).hexdigest()[:24]
