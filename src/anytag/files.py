"""Files: atomic writing, hashes, names for messages."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, overload

from anytag.errors import OutputError

_READ_BYTES = 1 << 16
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def display_path(path: str | os.PathLike[str]) -> str:
    """A path as printable text: undecodable bytes and control characters are escaped.

    >>> display_path("two\\nlines")
    'two\\\\nlines'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in os.fspath(path)
    )


def sha256_bytes(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits, in constant memory.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


@overload
def atomic_write(
    path: Path, *, text: Literal[False] = False
) -> contextlib.AbstractContextManager[IO[bytes]]: ...
@overload
def atomic_write(
    path: Path, *, text: Literal[True]
) -> contextlib.AbstractContextManager[IO[str]]: ...
@contextlib.contextmanager
def atomic_write(path: Path, *, text: bool = False) -> Iterator[IO[Any]]:  # Any: bytes or str
    """A handle whose content replaces ``path`` when the block ends, and never if it fails.

    Other programs see the old file or the whole new one. An existing file keeps its permissions, a
    symbolic link stays and its target is replaced; pipes and devices are written directly.

    Args:
        path: target; its folder must exist.
        text: a UTF-8 text handle that leaves line ends as they are, instead of a binary one.

    Raises:
        OutputError: the file cannot be written, for instance because the disk is full. Errors of
            the block about *other* files pass through unchanged.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".anytag-{secrets.token_hex(8)}.tmp")
    try:
        mode = _existing_mode(path)
        direct = mode is not None and not stat.S_ISREG(mode)
        # "x" and not the tempfile module: permissions of a new file then follow the umask.
        with _open(path, "w", text) if direct else _open(temporary, "x", text) as handle:
            yield handle
            handle.flush()
            if not direct:
                os.fsync(handle.fileno())
        if not direct:
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
            temporary.replace(target)
    except BaseException as error:  # also Ctrl-C
        with contextlib.suppress(OSError):
            temporary.unlink()
        ours = (None, str(path), str(target), str(temporary))
        if isinstance(error, OSError) and error.errno is not None and error.filename in ours:
            reason = "the disk is full" if error.errno in _FULL_DISK else error.strerror
            raise OutputError(f"cannot write {display_path(path)}: {reason}") from error
        raise


def _existing_mode(path: Path) -> int | None:
    """Type and permissions of ``path``, None if it does not exist; folders are refused."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not os.access(path, os.W_OK):  # replacing needs only a writable folder: too little
        raise PermissionError(errno.EACCES, "it is write-protected", str(path))
    return mode


def _open(path: Path, how: Literal["w", "x"], text: bool) -> IO[Any]:
    return path.open(how, encoding="utf-8", newline="") if text else path.open(how + "b")
