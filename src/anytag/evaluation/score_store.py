"""Scores on disk while they are being made, so that a killed evaluation does not begin anew.

NAME.json says what was asked of which model; NAME.scores holds a record for each photo: float32
[C], then a fingerprint of the photo's file, 0 where the photo has not been scored. The fingerprint
comes last, so that a torn record counts as none. A photo that has changed, or failed, is scored
again.

Shapes: N photos, C columns of the model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.errors import OutputError
from anytag.files import atomic_write, display_path


def fingerprint(path: Path) -> int:
    """A number that changes with the file; 0 where there is none.

    Its size and time of change, as hashing the content would cost as much as scoring a small photo.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return 0
    text = f"{status.st_size} {status.st_mtime_ns}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") | 1


def model_mark(folder: Path, endings: Sequence[str]) -> list[int]:
    """Fingerprints of the files of a model that change its scores."""
    return [fingerprint(file) for file in sorted(folder.iterdir()) if file.suffix in endings]


class ScoreStore:
    """Scores of one model for N photos.

    Args:
        folder: where the files are; None keeps the scores in memory alone
        name: of the model
        settings: all that changes the scores
        images: N ids
        num_columns: C

    Raises:
        OutputError: the files cannot be written
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        settings: Mapping[str, Any],
        images: Sequence[str],
        num_columns: int,
    ) -> None:
        self._record = np.dtype([("scores", "<f4", (num_columns,)), ("fingerprint", "<u8")])
        self._file = None
        self._rows = np.zeros(len(images), self._record)
        if folder is None:
            return
        safe = re.sub(r"[^\w.+-]+", "_", name).strip("._") or "model"
        path, about = folder / f"{safe}.scores", folder / f"{safe}.json"
        digest = hashlib.sha256("\n".join(images).encode("utf-8", "surrogatepass")).hexdigest()
        wanted = {**settings, "images": len(images), "images (SHA-256)": digest}
        wanted = json.loads(json.dumps(wanted))  # tuples come back as lists
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if _read(about) == wanted and path.exists():
                stored = np.fromfile(path, self._record, len(images))
                self._rows[: len(stored)] = stored
            else:
                path.unlink(missing_ok=True)
                with atomic_write(about, text=True) as file:
                    file.write(json.dumps(wanted, ensure_ascii=False, indent=1) + "\n")
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        except OSError as error:
            raise OutputError(f"cannot use {display_path(path)}: {error.strerror}") from error
        self._path = path

    def pending(self, fingerprints: Sequence[int]) -> list[int]:
        """Photos that have no scores yet, or others now than when they were scored."""
        now = np.array(fingerprints, np.uint64)
        return np.flatnonzero((self._rows["fingerprint"] != now) | (now == 0)).tolist()

    def put(self, row: int, scores: npt.NDArray[np.float32] | None, mark: int) -> None:
        """The scores [C] of a photo; None where it failed.

        Raises:
            OutputError: for instance, the disk is full
        """
        self._rows["scores"][row] = np.nan if scores is None else scores
        self._rows["fingerprint"][row] = 0 if scores is None else mark
        if self._file is None:
            return
        try:
            self._file.seek(row * self._record.itemsize)
            data = self._rows[row : row + 1].tobytes()
            if self._file.write(data) != len(data):
                raise OutputError(f"cannot write {display_path(self._path)}: the disk is full")
        except OSError as error:
            raise OutputError(
                f"cannot write {display_path(self._path)}: {error.strerror}"
            ) from error

    def scores(self) -> npt.NDArray[np.float32]:
        """float32 [N, C]; NaN where a photo has failed."""
        found: npt.NDArray[np.float32] = self._rows["scores"].copy()
        found[self._rows["fingerprint"] == 0] = np.nan
        return found

    def close(self) -> None:
        """No more scores come."""
        if self._file is not None:
            self._file.close()


def _read(path: Path) -> Any:  # Any: JSON
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
