"""Captions and XMP beside images: nothing of the user is lost, a failure is that of one image."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anytag.errors import MetadataError, OutputError
from anytag.inference.results import Tag, TagResult
from anytag.inference.writers import sidecars
from anytag.inference.writers.sidecars import CaptionFiles, XmpFiles
from anytag.inference.xmp import SidecarChange


def result(*names: str) -> TagResult:
    tags = tuple(
        Tag(name=name, score=0.9, threshold=0.5, id=number) for number, name in enumerate(names)
    )
    return TagResult(path="a.jpg", sha256=None, width=3, height=2, model="nano-v0", tags=tags)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (3, 2)).save(path)
    return path


@pytest.mark.parametrize(
    ("names", "caption"),
    [(["cat", "red panda"], "cat, red panda\n"), (["a, b"], "a  b\n"), ([], "\n")],
)
def test_caption(image: Path, names: list[str], caption: str) -> None:
    CaptionFiles()(image, result(*names))
    assert image.with_suffix(".txt").read_text() == caption
    CaptionFiles()(image, result(*names))  # the same again is no conflict


def test_a_caption_by_hand_stays(image: Path) -> None:
    caption = image.with_suffix(".txt")
    caption.write_text("my own words")
    with pytest.raises(MetadataError, match="--overwrite"):
        CaptionFiles()(image, result("cat"))
    assert caption.read_text() == "my own words"
    CaptionFiles(overwrite=True)(image, result("cat"))
    assert caption.read_text() == "cat\n"


@pytest.mark.parametrize("resumed", [False, True])
def test_two_images_never_share_a_caption(image: Path, resumed: bool) -> None:
    captions = CaptionFiles(overwrite=True)
    captions(image, result("cat"))
    if resumed:
        captions = CaptionFiles(overwrite=True, earlier=[str(image)])
    with pytest.raises(MetadataError, match=r"a\.jpg"):
        captions(image.with_suffix(".png"), result("dog"))
    assert image.with_suffix(".txt").read_text() == "cat\n"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, OutputError), (errno.EACCES, MetadataError), (errno.EROFS, MetadataError)],
)
def test_only_a_full_disk_ends_the_run(
    image: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def failing(path: Path, **_: Any) -> Any:
        raise OutputError("cannot write") from OSError(number, "why")

    monkeypatch.setattr(sidecars, "atomic_write", failing)
    with pytest.raises(expected):
        CaptionFiles()(image, result("cat"))


@pytest.mark.parametrize("dry_run", [False, True])
def test_xmp(image: Path, dry_run: bool) -> None:
    seen: list[list[SidecarChange]] = []
    XmpFiles(seen.append, dry_run=dry_run)(image, result("cat"))
    assert [change.path.name for change in seen[0]] == ["a.xmp"]
    assert image.with_suffix(".xmp").exists() == (not dry_run)


def test_xmp_that_is_damaged_is_a_failure_of_the_image(image: Path) -> None:
    image.with_suffix(".xmp").write_text("<no")
    with pytest.raises(MetadataError):
        XmpFiles(lambda changes: None)(image, result("cat"))
