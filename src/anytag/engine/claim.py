"""A folder belongs to one run with one set of settings, and one process works in it at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anytag.engine.steps import SETTINGS, write_json
from anytag.errors import UsageError
from anytag.files import display_path


def claim(folder: Path, settings: Mapping[str, Any], may_change: str) -> None:
    """Make the folder, or check that it was made with the same settings.

    Args:
        folder: of a run
        settings: JSON values of all that makes it what it is
        may_change: what of it may, for the message

    Raises:
        UsageError: it holds other things, or was made with other settings
    """
    path = folder / SETTINGS
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if earlier != settings:
            names = [
                key for key in {**earlier, **settings} if earlier.get(key) != settings.get(key)
            ]
            raise UsageError(
                f"{display_path(folder)} was made with another {', '.join(names)}; use the same "
                f"settings (but for {may_change}), or another folder"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{display_path(folder)} holds other things; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, dict(settings))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One run at a time; the lock goes with the process.

    Args:
        path: a file of the run's folder

    Raises:
        UsageError: another process has it
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another run works in {display_path(path.parent)} now") from error
        yield
