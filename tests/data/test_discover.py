"""Inputs -> images: order, lists, globs, odd names and odd folders."""

from __future__ import annotations

import inspect
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anytag.data.discover import (
    InputProblem,
    Item,
    UrlItem,
    find_images,
    path_from_text,
    path_text,
    read_list,
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in folders, made in an order that is not theirs; the current directory is inside."""
    monkeypatch.chdir(tmp_path)
    names = (
        "b.jpg a.PNG notes.txt .hidden.jpg sub/d.webp sub/c.jpg sub/deep/e.tiff .git/x.jpg z.gif"
    )
    for name in names.split():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def shown(items: Any) -> list[str]:
    """Items as short texts: a path, or the kind of problem."""
    return [
        f"{item.kind}: {item.path}" if isinstance(item, InputProblem) else path_text(item)
        for item in items
    ]


@pytest.mark.parametrize(
    ("inputs", "recursive", "expected"),
    [
        (["."], False, ["a.PNG", "b.jpg", "z.gif"]),
        (
            ["."],
            True,
            ["a.PNG", "b.jpg", "z.gif", "sub/c.jpg", "sub/d.webp", "sub/deep/e.tiff"],
        ),
        (["b.jpg", "a.PNG"], False, ["b.jpg", "a.PNG"]),
        (["notes.txt", ".hidden.jpg"], False, ["notes.txt", ".hidden.jpg"]),
        (["b.jpg", "./b.jpg", "sub/../b.jpg"], False, ["b.jpg"]),
        (["sub/deep", "sub"], True, ["sub/deep/e.tiff", "sub/c.jpg", "sub/d.webp"]),
        (["*.jpg"], False, ["b.jpg"]),
        (["*"], False, ["a.PNG", "b.jpg", "z.gif"]),
        (["sub/*.jpg", "sub/c.*"], False, ["sub/c.jpg"]),
        (["**/*.jpg"], False, ["b.jpg", "sub/c.jpg"]),
        (["s*/**"], False, ["sub/c.jpg", "sub/d.webp", "sub/deep/e.tiff"]),
        (["**/**/[ce].*"], False, ["sub/c.jpg", "sub/deep/e.tiff"]),
        (["**/sub/**/e.tiff"], False, ["sub/deep/e.tiff"]),
        (["gone.jpg"], False, ["missing: gone.jpg"]),
        ([""], False, ["missing: "]),
        (["*.nef", "gone/*.jpg"], False, ["no_images: *.nef", "no_images: gone/*.jpg"]),
        (["empty"], True, ["no_images: empty"]),
        ([Path("*.jpg")], False, ["missing: *.jpg"]),
        (["HTTPS://h.org/a", "https://h.org/b?c"], False, ["HTTPS://h.org/a", "https://h.org/b?c"]),
        (["http://h.org/a", "http://h.org/a"], False, ["http://h.org/a"]),
        ([], False, []),
    ],
)  # fmt: skip
def test_inputs(tree: Path, inputs: list[str | Path], recursive: bool, expected: list[str]) -> None:
    found = list(find_images(inputs, recursive=recursive))
    assert [text.removeprefix("./") for text in shown(found)] == expected


def test_a_pattern_that_is_a_name_is_that_file(tree: Path) -> None:
    (tree / "a[1].jpg").touch()
    (tree / "a1.jpg").touch()
    assert shown(find_images(["a[1].jpg"])) == ["a[1].jpg"]


def test_absolute_patterns(tree: Path) -> None:
    assert shown(find_images([f"{tree}/s*b/*.jpg"])) == [f"{tree}/sub/c.jpg"]


def test_one_bad_input_does_not_stop_the_rest(tree: Path) -> None:
    assert shown(find_images(["gone.jpg", "b.jpg"])) == ["missing: gone.jpg", "b.jpg"]


def test_the_folder_without_images_says_what_to_do(tree: Path) -> None:
    (tree / "outer" / "inner").mkdir(parents=True)
    (problem,) = find_images(["outer"])
    assert isinstance(problem, InputProblem)
    assert "--recursive" in problem.message


def test_links(tree: Path) -> None:
    """Links to files are followed, links to folders are not, broken links are tried."""
    for name, target in {
        "sub/loop": tree,
        "sub/self": tree / "sub" / "self",
        "sub/link.jpg": tree / "b.jpg",
        "sub/broken.jpg": tree / "gone.jpg",
        "sub/round.jpg": tree / "sub" / "round.jpg",
    }.items():
        (tree / name).symlink_to(target)
    expected = ["broken.jpg", "c.jpg", "d.webp", "link.jpg", "round.jpg"]
    assert shown(find_images(["sub"], recursive=True)) == [
        *(f"sub/{name}" for name in expected),
        "sub/deep/e.tiff",
    ]
    assert shown(find_images(["sub/**/*.jpg"])) == [
        f"sub/{name}" for name in expected if name.endswith(".jpg")
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_a_folder_is_left_alone(tree: Path) -> None:
    os.mkfifo(tree / "sub" / "pipe.jpg")
    assert "sub/pipe.jpg" not in shown(find_images(["sub"]))


def test_an_unreadable_folder_is_an_item(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by permissions, which do not bind root."""
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert shown(find_images(["sub"], recursive=True)) == [
        "sub/c.jpg",
        "sub/d.webp",
        "unreadable: sub/deep",
    ]
    assert shown(find_images(["sub/deep", "b.jpg"])) == ["unreadable: sub/deep", "b.jpg"]


def test_depth_is_no_recursion(tmp_path: Path) -> None:
    depth = 200
    folder = tmp_path.joinpath(*["d"] * depth)
    folder.mkdir(parents=True)
    (folder / "x.jpg").touch()
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + depth // 2)
    try:
        (image,) = find_images([tmp_path], recursive=True)
    finally:
        sys.setrecursionlimit(before)
    assert image == folder / "x.jpg"


def test_one_folder_at_a_time(tree: Path) -> None:
    """The first image comes before the second folder is opened."""
    images = find_images(["."], recursive=True)
    next(images)
    (tree / "sub" / "late.jpg").touch()
    assert "sub/late.jpg" in shown(images)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"a.jpg\nb.jpg\n", ["a.jpg", "b.jpg"]),
        (b"a.jpg\r\n\r\n b.jpg", ["a.jpg", " b.jpg"]),
        (b"\xef\xbb\xbfa.jpg", ["a.jpg"]),
        (b"a\nb.jpg\0c.jpg\0", ["a\nb.jpg", "c.jpg"]),
        (b"https://h.org/a.jpg\n*.jpg\n", ["https://h.org/a.jpg", "*.jpg"]),
        (b"a\xe9.jpg\n", ["a\\xe9.jpg"]),
        (b"ab", ["ab"]),
    ],
)
@pytest.mark.parametrize("block", [1, 3, 65536])
def test_lists(content: bytes, expected: list[str], block: int) -> None:
    """Whatever the size of the pieces in which a pipe delivers them."""
    if block < len(content) and b"\0" in content:
        pytest.skip("the separator is told from the first block that holds one")

    class Pieces(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return self.read(block)

    entries: list[Item] = list(read_list(Pieces(content)))
    assert [path_text(entry) for entry in entries] == expected
    assert [isinstance(entry, UrlItem) for entry in entries] == [
        text.startswith("https") for text in expected
    ]


@pytest.mark.skipif(os.sep != "/", reason="names are bytes on POSIX only")
@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
@example(b"\\xe9\xe9")
@example(b"\\x5cxe9")
def test_any_name_survives_as_text(raw: bytes) -> None:
    path = Path(os.fsdecode(raw))
    text = path_text(path)
    text.encode("utf-8")  # strict: no half characters
    assert path_from_text(text) == path


def test_names_that_are_text_stay_as_they_are() -> None:
    assert path_text(Path("Füße/日本 (1).jpg")) == "Füße/日本 (1).jpg"
