"""A model named by its released checkpoint: converted once, into the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path

from anytag.checkpoints.directory import FORMAT, find_model
from anytag.checkpoints.hub import HubPath
from anytag.checkpoints.released_conversion import (
    TITLES,
    TagLists,
    checkpoint_family,
    convert_released,
)
from anytag.checkpoints.released_files import (
    TAG_LISTS,
    ListFiles,
    find_lists,
    get_checkpoint,
    names_checkpoint,
)
from anytag.checkpoints.sizes import ConvertOptions
from anytag.errors import ModelError, OutputError
from anytag.files import sha256_file
from anytag.inference.text_cache import cache_folder

log = logging.getLogger(__name__)


def locate(model: str | Path) -> Path:
    """The directory of any model: see `find_model`; also of a released checkpoint.

    Args:
        model: what `find_model` takes; a ``.pth`` or ``.safetensors`` file with its lists beside
            it; such a file on the hub, ``hf:org/name/file.pth``; or the id of a hub repository
            with one such file

    Raises:
        ModelError: there is no such model, or its tag list is not there
    """
    if names_checkpoint(model):
        return _convert_as_found(model)
    try:
        return find_model(model)
    except ModelError:
        hub = HubPath.parse(f"hf:{model}")
        if Path(model).exists() or hub is None or not _has_checkpoint(hub):
            raise
        return _convert_as_found(str(hub))


def _has_checkpoint(hub: HubPath) -> bool:
    try:
        return any(path.endswith((".pth", ".pt")) for path in hub.files())
    except ModelError:
        return False


def _convert_as_found(source: str | Path) -> Path:
    """With the lists beside it and nothing else; `anytag convert` has options."""
    checkpoint, place = get_checkpoint(source)
    family = checkpoint_family(checkpoint)
    lists = find_lists(family, place, ListFiles(), vocabulary=family != "ram_plus")
    if lists.tags is None:
        raise ModelError(
            f"{source}: its tag list is needed too. Put {TAG_LISTS[family][0]} of the public "
            "repository (folder ram/data) beside it, or name it: anytag convert --tag-list FILE"
        )
    captioner = family == "tag2text" or lists.vocabulary is not None
    return convert_once(family, checkpoint, lists, ConvertOptions(captioner=captioner))


def convert_once(family: str, checkpoint: Path, lists: ListFiles, options: ConvertOptions) -> Path:
    """The directory of a converted checkpoint, in the cache folder.

    Args:
        family: what it must be
        checkpoint: its file
        lists: with a tag list
        options: what it does not say

    Raises:
        ModelError: the checkpoint or a list cannot be used
        LabelError: a list is wrong
        OutputError: the cache folder cannot be written
    """
    assert lists.tags is not None
    target = cache_folder() / "converted" / f"{family}-{_key(checkpoint, lists, options)}"
    if (target / "config.json").is_file():
        return target
    # Made beside its place and then renamed: another process never sees a part of it.
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    try:
        convert_released(
            checkpoint,
            TagLists(
                tags=lists.tags,
                thresholds=lists.thresholds,
                translations={} if lists.chinese is None else {"zh": lists.chinese},
            ),
            temporary,
            family=family,
            name=checkpoint.stem,
            options=options,
            vocabulary=lists.vocabulary,
        )
        temporary.rename(target)
    except OSError as error:
        if not (target / "config.json").is_file():  # else another process was faster
            raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    log.info("%s: %s, converted once to %s", checkpoint, TITLES[family], target)
    return target


def _key(checkpoint: Path, lists: ListFiles, options: ConvertOptions) -> str:
    """Differs for another checkpoint, list or option. Gigabytes are not hashed: size and date."""
    files = [lists.tags, lists.thresholds, lists.chinese, lists.vocabulary]
    try:
        status = checkpoint.stat()
        hashes = [None if path is None else sha256_file(path) for path in files]
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror})") from error
    parts = [FORMAT, str(checkpoint.resolve()), status.st_size, status.st_mtime_ns, hashes]
    content = json.dumps([*parts, asdict(options)])
    return hashlib.sha256(content.encode()).hexdigest()[:24]
