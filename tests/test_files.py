from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from anytag.errors import OutputError
from anytag.files import atomic_write, display_path, sha256_bytes, sha256_file


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("plain/name.jpg", "plain/name.jpg"),
        ("with blank, é and 猫", "with blank, é and 猫"),
        (Path("a/b"), "a/b"),
        (os.fsdecode(b"caf\xe9"), r"caf\udce9"),
        ("two\nlines\x1b[31m", r"two\nlines\x1b[31m"),
    ],
)
def test_display_path(path: str | Path, shown: str) -> None:
    assert display_path(path) == shown


def test_hashes(tmp_path: Path) -> None:
    assert sha256_bytes(b"abc").startswith("ba7816bf8f01cfea")  # FIPS 180-2, example B.1
    data = bytes(range(256)) * 1000
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest() == sha256_bytes(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_and_raise(path: Path, error: type[BaseException]) -> None:
    with atomic_write(path, text=True) as handle:
        handle.write("new")
        raise error


def test_new_file_text_and_binary(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "text", text=True) as text:
        text.write("é\r\n\n")
        assert not (tmp_path / "text").exists()
    with atomic_write(tmp_path / "binary") as binary:
        binary.write(b"\0\xff")
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa9\r\n\n"
    assert (tmp_path / "binary").read_bytes() == b"\0\xff"
    assert names(tmp_path) == ["binary", "text"]


def test_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(0o640)
    for name in ("old", "new"):
        with atomic_write(tmp_path / name) as handle:
            handle.write(b"x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("old", "new", "plain")]
    assert modes[0] == 0o640
    assert modes[1] == modes[2]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_failure_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(error):
        write_and_raise(tmp_path / "a", error)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_symbolic_link_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/real")
    with atomic_write(tmp_path / "link", text=True) as handle:
        handle.write("x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "real").read_text() == "x"


def test_pipes_and_devices_are_written_directly(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with atomic_write(tmp_path / "pipe") as handle:
        handle.write(b"through")
    reader.join()
    assert got == [b"through"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def write(path: Path) -> None:
    with atomic_write(path) as handle:
        handle.write(b"x" * 100_000)


def test_output_errors_name_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "protected").touch()
    access = os.access
    monkeypatch.setattr(  # tests may run as root, who may write everything
        os, "access", lambda path, mode: "protected" not in str(path) and access(path, mode)
    )
    rows = [
        (tmp_path / "nowhere" / "a", "No such file or directory"),
        (tmp_path / "file" / "a", "Not a directory"),
        (tmp_path, "it is a folder"),
        (tmp_path / "protected", "write-protected"),
        (tmp_path / ("x" * 300), "name too long"),
    ]
    for path, reason in rows:
        with pytest.raises(OutputError, match=reason) as caught:
            write(path)
        assert str(path) in str(caught.value)
    assert names(tmp_path) == ["file", "protected"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a Linux device")
def test_full_disk() -> None:
    with pytest.raises(OutputError, match="cannot write /dev/full: the disk is full"):
        write(Path("/dev/full"))


def test_errors_about_other_files_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a"):
        (tmp_path / "input").read_bytes()
    assert names(tmp_path) == []
