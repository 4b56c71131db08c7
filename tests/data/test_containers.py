"""Pictures within tar files and Parquet tables; what is damaged comes after what could be read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from anytag.data.containers import Member, is_container, open_containers
from anytag.data.discover import InputProblem, UrlItem, path_text


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def names(items: Any) -> list[tuple[str, str]]:
    """Name and kind of each."""

    def kind(item: Any) -> str:
        if isinstance(item, InputProblem):
            return item.kind
        return "path" if isinstance(item, Path) else type(item).__name__

    return [(path_text(one), kind(one)) for one in items]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Path("a.tar"), True),
        (Path("A.TAR"), True),
        (Path("b.parquet"), True),
        (Path("tar"), False),
        (Path("a.tar.gz"), False),
        (UrlItem("https://example.org/a.tar"), False),
    ],
)
def test_containers_are_known_by_name(item: Any, expected: bool) -> None:
    assert is_container(item) == expected


def test_a_shard_in_its_place(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", {"x/1.jpg": b"one", "x/1.txt": b"t", "3.txt": b"t"})
    found = list(open_containers([Path("before.jpg"), shard, UrlItem("http://x/y.jpg")]))
    assert names(found) == [
        ("before.jpg", "path"),
        (f"{shard}/x/1.jpg", "Member"),
        (f"{shard}/3", "no_images"),
        ("http://x/y.jpg", "UrlItem"),
    ]
    assert found[1] == Member(f"{shard}/x/1.jpg", b"one")


def test_a_shard_that_is_cut_off(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", {"1.jpg": b"1" * 600, "2.jpg": b"2" * 600})
    shard.write_bytes(shard.read_bytes()[: 512 + 1024 + 512 + 100])
    found = list(open_containers([shard]))
    assert names(found) == [(f"{shard}/1.jpg", "Member"), (str(shard), "truncated")]


def test_a_shard_that_is_not_there(tmp_path: Path) -> None:
    assert names(open_containers([tmp_path / "gone.tar"])) == [
        (str(tmp_path / "gone.tar"), "unreadable")
    ]


def write_table(path: Path, /, **columns: list[Any]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("image", b"x", "Member"),
        ("JPG", b"x", "Member"),
        ("image", {"bytes": b"x", "path": "a.jpg"}, "Member"),
        ("image", {"bytes": None, "path": "a.jpg"}, "path"),
        ("file_name", "a.jpg", "path"),
        ("url", "https://example.org/a.jpg", "UrlItem"),
        ("image", "", "no_images"),
    ],
)
def test_columns_of_a_table(tmp_path: Path, column: str, value: Any, expected: str) -> None:
    path = write_table(tmp_path / "t.parquet", id=[7], **{column: [value]})
    [(_, kind)] = names(open_containers([path]))
    assert kind == expected


def test_bytes_come_before_names(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", path=["a.jpg"], jpg=[b"x"])
    assert list(open_containers([path])) == [Member(f"{path}/0", b"x")]


def test_many_rows_in_order(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", image=[str(n).encode() for n in range(150)])
    found = list(open_containers([path]))
    assert found == [Member(f"{path}/{n}", str(n).encode()) for n in range(150)]


def test_a_table_without_pictures(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", caption=["a cat"])
    [problem] = open_containers([path])
    assert isinstance(problem, InputProblem)
    assert "has no column of pictures; it has caption" in problem.message


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 but nothing else")
    assert names(open_containers([path])) == [(str(path), "damaged")]
    assert names(open_containers([tmp_path / "gone.parquet"])) == [
        (str(tmp_path / "gone.parquet"), "unreadable")
    ]
