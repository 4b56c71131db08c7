"""Files of the hub: how they are written, and what a download gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

from anytag.checkpoints.hub import HubPath
from anytag.errors import ModelError


@pytest.mark.parametrize(
    ("text", "kind", "repository", "revision", "path"),
    [
        ("hf:a/b", "", "a/b", None, ""),
        ("hf:a/b/", "", "a/b", None, ""),
        ("hf:a/b-1.x/c.pth", "", "a/b-1.x", None, "c.pth"),
        ("hf://a/b/c d/e.pth", "", "a/b", None, "c d/e.pth"),
        ("hf:a/b@v1/c.pth", "", "a/b", "v1", "c.pth"),
        ("hf:a/b@refs/pr/3/c.pth", "", "a/b", "refs/pr/3", "c.pth"),
        ("hf:a/b@refs/pr/3", "", "a/b", "refs/pr/3", ""),
        ("hf:spaces/a/b/c.pth", "spaces/", "a/b", None, "c.pth"),
        ("https://huggingface.co/a/b/blob/main/c.pth", "", "a/b", "main", "c.pth"),
        ("https://huggingface.co/a/b/resolve/v1/d/c.pth?download=true", "", "a/b", "v1", "d/c.pth"),
        ("https://huggingface.co/spaces/a/b/blob/main/c.pth", "spaces/", "a/b", "main", "c.pth"),
        ("https://huggingface.co/a/b/tree/main", "", "a/b", "main", ""),
    ],
)
def test_forms(text: str, kind: str, repository: str, revision: str | None, path: str) -> None:
    found = HubPath.parse(text)
    assert found == HubPath(kind=kind, repository=repository, revision=revision, path=path)
    assert HubPath.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["a/b", "a/b/c.pth", "hf:a", "hf:/a/b", "hf:../b", "C:/a/b", "https://example.com/a/b", ""],
)
def test_other_texts(text: str) -> None:
    assert HubPath.parse(text) is None


def test_place_in_a_repository() -> None:
    hub = HubPath(repository="a/b", revision="v1", path="c/d/e.pth")
    assert (hub.folder, str(hub.at("f")), str(hub.at(""))) == ("c/d", "hf:a/b@v1/f", "hf:a/b@v1")


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("hf_hub_download", lambda hub: hub.download()),
        ("snapshot_download", lambda hub: hub.snapshot(["*.txt"])),
        ("list_repo_files", lambda hub: hub.files()),
    ],
)
def test_failures_are_one_line(
    function: str, call: Callable[[HubPath], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Path:
        raise RuntimeError("no\n  connection")

    monkeypatch.setattr(huggingface_hub, function, fail)
    with pytest.raises(
        ModelError, match=r"^hf:a/b/c\.pth: could not be downloaded: no connection$"
    ):
        call(HubPath(repository="a/b", path="c.pth"))
