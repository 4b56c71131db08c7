"""Which lists are found beside a checkpoint, on disk and on a hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
import pytest

from anytag.checkpoints.hub import HubPath
from anytag.checkpoints.released_files import (
    ListFiles,
    find_lists,
    get_checkpoint,
    get_file,
    get_place,
    names_checkpoint,
)
from anytag.errors import ModelError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


TAGS, LIMITS, CHINESE = (f"ram_tag_list{end}.txt" for end in ("", "_threshold", "_chinese"))


@pytest.mark.parametrize(
    ("family", "files", "found"),
    [
        ("ram", [], [None, None, None, None]),
        ("ram", [TAGS, LIMITS, CHINESE, "vocab.txt"], [TAGS, LIMITS, CHINESE, "vocab.txt"]),
        ("ram_plus", [TAGS], [TAGS, None, None, None]),
        ("ram_plus", [f"ram/data/{TAGS}", LIMITS], [f"ram/data/{TAGS}", LIMITS, None, None]),
        ("ram", [f"data/{TAGS}", f"ram/data/{TAGS}"], [f"data/{TAGS}", None, None, None]),
        ("ram", [f"data/{TAGS}", TAGS], [TAGS, None, None, None]),
        ("ram", ["tag_list.txt"], [None, None, None, None]),
        ("tag2text", ["tag_list.txt", LIMITS, CHINESE, TAGS], ["tag_list.txt", None, None, None]),
        (
            "tag2text",
            ["tag_list.txt", "ram/data/tag2text_ori_tag_list.txt"],
            ["ram/data/tag2text_ori_tag_list.txt", None, None, None],
        ),
    ],
)
def test_in_a_folder(
    family: str, files: list[str], found: list[str | None], tmp_path: Path
) -> None:
    touch(tmp_path, *files)
    lists = find_lists(family, tmp_path, ListFiles(), vocabulary=True)
    paths = [lists.tags, lists.thresholds, lists.chinese, lists.vocabulary]
    assert paths == [name and tmp_path / name for name in found]


def test_given_lists_count(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    touch(here, TAGS, LIMITS, CHINESE, "vocab.txt")
    touch(there, TAGS, LIMITS, "mine.txt", "limits.txt")
    own = find_lists("ram", here, ListFiles(tags=there / "mine.txt"), vocabulary=True)
    assert own == ListFiles(tags=there / "mine.txt", vocabulary=here / "vocab.txt")
    published = find_lists("ram", here, ListFiles(tags=there / TAGS), vocabulary=False)
    assert published == ListFiles(tags=there / TAGS, thresholds=there / LIMITS)
    limits = find_lists("ram", here, ListFiles(thresholds=there / "limits.txt"), vocabulary=False)
    assert limits == ListFiles(
        tags=here / TAGS, thresholds=there / "limits.txt", chinese=here / CHINESE
    )


def test_what_names_a_checkpoint(tmp_path: Path) -> None:
    touch(tmp_path / "model.pth", "config.json")
    for name in ("a.pth", "./b.safetensors", "hf:a/b/c.pth", "hf:a/b", tmp_path / "x.pt"):
        assert names_checkpoint(name)
    for name in ("nano", "a/b", tmp_path, tmp_path / "model.pth", "https://example.com/a.jpg"):
        assert not names_checkpoint(name)


def test_on_disk_nothing_is_fetched(tmp_path: Path) -> None:
    path = tmp_path / "ram.pth"
    assert get_checkpoint(path) == (path, tmp_path)
    assert get_file(str(path)) == path
    with pytest.raises(ModelError, match="no such folder"):
        get_place(tmp_path / "missing")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub with one repository "a/b", in this folder; what is downloaded is the file itself."""
    root = tmp_path / "a" / "b"
    root.mkdir(parents=True)

    def download(repository: str, path: str, **_: object) -> str:
        return str(tmp_path / repository / path)

    def snapshot(repository: str, *, allow_patterns: Sequence[str], **_: object) -> str:
        copy = tmp_path / "cache" / repository
        for name in allow_patterns:
            if (tmp_path / repository / name).is_file():
                touch(copy, name)
        copy.mkdir(parents=True, exist_ok=True)
        return str(copy)

    def list_files(repository: str, **_: object) -> list[str]:
        paths = (tmp_path / repository).rglob("*")
        return [p.relative_to(tmp_path / repository).as_posix() for p in paths if p.is_file()]

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "list_repo_files", list_files)
    return root


def test_on_a_hub(hub: Path, tmp_path: Path) -> None:
    touch(hub, "weights/ram.pth", f"weights/{LIMITS}", LIMITS, f"ram/data/{TAGS}", "README.md")
    path, place = get_checkpoint("hf:a/b/weights/ram.pth")
    assert (path, place) == (hub / "weights/ram.pth", HubPath(repository="a/b", path="weights"))
    cache = tmp_path / "cache/a/b"
    assert find_lists("ram", place, ListFiles(), vocabulary=True) == ListFiles(
        tags=cache / "ram/data" / TAGS, thresholds=cache / "weights" / LIMITS
    )
    assert not (cache / "README.md").exists()
    assert get_file(f"hf:a/b/{LIMITS}") == hub / LIMITS
    assert get_place("hf:a/b/weights") == place


def test_the_one_checkpoint_of_a_repository(hub: Path) -> None:
    for name in ("hf:a/b", "hf:a/b/weights"):
        with pytest.raises(ModelError, match=r"holds no checkpoint, as in hf:a/b/FILE\.pth"):
            get_checkpoint(name)
    touch(hub, "weights/ram.pth", "config.json")
    assert get_checkpoint("hf:a/b")[0] == hub / "weights/ram.pth"
    touch(hub, "other.pth")
    assert get_checkpoint("hf:a/b/weights")[0] == hub / "weights/ram.pth"
    with pytest.raises(ModelError, match=r"name one of them, as in hf:a/b/\S+\.pth$"):
        get_checkpoint("hf:a/b")
