"""Finding a released checkpoint and the lists published with it, on disk or on the hub.

The lists are part of the public repository (``ram/data``), not of anytag. They are looked for under
their published names: beside the checkpoint, or where the user says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from anytag.checkpoints.directory import CHECKPOINTS
from anytag.checkpoints.hub import HubPath
from anytag.errors import ModelError

#: family -> published names of its tag list, the best first
TAG_LISTS = {
    "ram": ("ram_tag_list.txt",),
    "ram_plus": ("ram_tag_list.txt",),
    "tag2text": ("tag2text_ori_tag_list.txt", "tag2text_tag_list.txt", "tag_list.txt"),
}
THRESHOLDS = "ram_tag_list_threshold.txt"
CHINESE = "ram_tag_list_chinese.txt"
#: of bert-base-uncased
VOCABULARY = "vocab.txt"
#: where the lists are in the place itself, in the public Space and in the public repository
FOLDERS = ("", "data", "ram/data")

#: a folder, or one of the hub
Place = Path | HubPath


@dataclass(frozen=True, kw_only=True)
class ListFiles:
    """Lists of a checkpoint; None = not given, or not found."""

    tags: Path | None = None
    thresholds: Path | None = None
    chinese: Path | None = None
    #: vocab.txt of bert-base-uncased, for captions
    vocabulary: Path | None = None


def names_checkpoint(source: str | Path) -> bool:
    """Whether this is a weight file, and not a model directory or hub id."""
    hub = HubPath.parse(str(source))
    return hub is not None or (Path(source).suffix in CHECKPOINTS and not Path(source).is_dir())


def get_file(source: str | Path) -> Path:
    """A file: as it is, or downloaded once if it is of the hub.

    Raises:
        ModelError: it cannot be downloaded
    """
    hub = HubPath.parse(str(source))
    return Path(source) if hub is None else hub.download()


def get_checkpoint(source: str | Path) -> tuple[Path, Place]:
    """A checkpoint file and where its neighbours are.

    Args:
        source: a path; or a file of the hub, or a hub repository with one checkpoint

    Raises:
        ModelError: it cannot be downloaded, or the repository has no or several checkpoints
    """
    hub = HubPath.parse(str(source))
    if hub is None:
        return Path(source), Path(source).parent
    if not hub.path.endswith(CHECKPOINTS):
        hub = hub.at(_only_checkpoint(hub))
    return hub.download(), hub.at(hub.folder)


def get_place(source: str | Path) -> Place:
    """A folder with lists, on disk or on the hub.

    Raises:
        ModelError: there is no such folder
    """
    hub = HubPath.parse(str(source))
    if hub is None and not Path(source).is_dir():
        raise ModelError(f"{source}: no such folder; expected one that holds the published lists")
    return hub or Path(source)


def find_lists(family: str, place: Place, given: ListFiles, *, vocabulary: bool) -> ListFiles:
    """Lists of a checkpoint: those that are given, and those that are found.

    Thresholds and Chinese names go with the published tag list, line by line: with a tag list of
    another name they are not looked for, with the published one in its folder.

    Args:
        family: one of `TAG_LISTS`
        place: where to look
        given: files that need no looking for
        vocabulary: whether one is of use

    Raises:
        ModelError: the hub cannot be reached
    """
    names = (*TAG_LISTS[family], THRESHOLDS, CHINESE, VOCABULARY)
    find = _finder(place, names)
    tags = given.tags or find(*TAG_LISTS[family])
    find_other = find if given.tags is None else _finder(given.tags.parent, names)
    others = family != "tag2text" and (tags is None or tags.name in TAG_LISTS[family])
    return ListFiles(
        tags=tags,
        thresholds=given.thresholds or (find_other(THRESHOLDS) if others else None),
        chinese=given.chinese or (find_other(CHINESE) if others else None),
        vocabulary=given.vocabulary or (find(VOCABULARY) if vocabulary else None),
    )


def _finder(place: Place, names: Sequence[str]) -> Callable[..., Path | None]:
    """Gives the first of some of these names that is there; the hub's files are downloaded."""
    if isinstance(place, Path):
        folders = [place / folder for folder in FOLDERS]
    else:
        inside = [f"{base}/{folder}".strip("/") for base in (place.path, "") for folder in FOLDERS]
        root = place.snapshot(
            [f"{folder}/{name}".lstrip("/") for folder in inside for name in names]
        )
        folders = [root / folder for folder in inside]
    return lambda *wanted: next(
        (folder / name for name in wanted for folder in folders if (folder / name).is_file()), None
    )


def _only_checkpoint(hub: HubPath) -> str:
    inside = f"{hub.path}/".lstrip("/")
    found = [path for path in hub.files() if path.endswith(CHECKPOINTS) and path.startswith(inside)]
    if len(found) != 1:
        what = f"holds {', '.join(found[:5])}; name one of them" if found else "holds no checkpoint"
        raise ModelError(f"{hub}: {what}, as in {hub.at(found[0] if found else 'FILE.pth')}")
    return found[0]
