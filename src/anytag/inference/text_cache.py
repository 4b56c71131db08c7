"""Text embeddings are computed once and kept: a store keyed by encoder and text.

One SQLite file for each encoder in the user's cache folder. SQLite writes atomically and lets
several processes write at once; every entry carries a checksum, and what is damaged is computed
anew. Where the folder cannot be written, everything works without the store.

Shapes: T texts, E width.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anytag.inference.prompts import FingerprintedEncoder

logger = logging.getLogger(__name__)

#: seconds to wait for another process that writes
BUSY_TIMEOUT_S = 30.0
#: texts that are computed between two writes: what an interruption can cost
CHUNK = 512

_CHECK_BYTES = 8
_SCHEMA = "CREATE TABLE IF NOT EXISTS embeddings (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
_FETCH = 500  # SQLite allows 999 parameters in a query everywhere


def cache_folder() -> Path:
    """The user's cache folder for anytag: in ``XDG_CACHE_HOME``, or where the system keeps it."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen and Path(chosen).is_absolute():  # relative ones are to be ignored (XDG)
        return Path(chosen) / "anytag"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "anytag"
    local = os.environ.get("LOCALAPPDATA")
    if os.name == "nt" and local:
        return Path(local) / "anytag" / "Cache"
    return Path.home() / ".cache" / "anytag"


def embed_cached(
    texts: Sequence[str], encoder: FingerprintedEncoder, cache_dir: Path | None = None
) -> npt.NDArray[np.float32]:
    """Embeddings of texts, from the store where it has them.

    Args:
        texts: T texts; the same text twice is computed once
        encoder: its fingerprint is part of the key
        cache_dir: folder of the stores; None = ``text`` in `cache_folder`

    Returns:
        float32 [T, E]
    """
    store = _Store(encoder, cache_folder() / "text" if cache_dir is None else cache_dir)
    unique = list(dict.fromkeys(texts))
    known = store.read(unique)
    missing = [text for text in unique if text not in known]
    for start in range(0, len(missing), CHUNK):
        part = missing[start : start + CHUNK]
        new = dict(zip(part, encoder.encode(part), strict=True))
        known.update(new)
        store.write(new)
    rows = np.empty((len(texts), encoder.dim), np.float32)
    for position, text in enumerate(texts):
        rows[position] = known[text]
    return rows


class CachedTextEncoder:
    """An encoder in front of its store.

    Args:
        encoder: computes what the store lacks
        cache_dir: see `embed_cached`
    """

    def __init__(self, encoder: FingerprintedEncoder, cache_dir: Path | None = None) -> None:
        self._encoder = encoder
        self._cache_dir = cache_dir

    @property
    def dim(self) -> int:
        """Width E of the vectors."""
        return self._encoder.dim

    @property
    def fingerprint(self) -> str:
        """That of the encoder."""
        return self._encoder.fingerprint

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors float32 [T, E]."""
        return embed_cached(texts, self._encoder, self._cache_dir)


class _Store:
    """One encoder's file; every failure is a miss and never an error."""

    def __init__(self, encoder: FingerprintedEncoder, folder: Path) -> None:
        self._fingerprint = encoder.fingerprint
        self._dim = encoder.dim
        self._path = folder / f"{self._fingerprint[:32]}.sqlite"

    def read(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Entries that are there and whole."""
        by_key = {self._key(text): text for text in texts}
        keys = list(by_key)
        found: dict[str, npt.NDArray[np.float32]] = {}
        if not self._path.is_file():
            return found
        with self._careful("read"), self._open() as database:
            for start in range(0, len(keys), _FETCH):
                part = keys[start : start + _FETCH]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, value FROM embeddings WHERE key IN ({marks})"
                for key, value in database.execute(query, part):
                    vector = self._unpack(key, value)
                    if vector is not None:
                        found[by_key[key]] = vector
        return found

    def write(self, entries: dict[str, npt.NDArray[np.float32]]) -> None:
        rows = [self._pack(self._key(text), vector) for text, vector in entries.items()]
        with self._careful("write"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as database, database:  # the second: one transaction
                database.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S)) as database:
            database.execute(_SCHEMA)
            yield database

    @contextmanager
    def _careful(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, no space, no rights
            logger.warning("cannot %s the cache %s: %s", what, self._path, error)
        except sqlite3.DatabaseError as error:  # not a database any more
            logger.warning("the cache %s is damaged and begun anew: %s", self._path, error)
            with suppress(OSError):
                self._path.unlink()
        except OSError as error:
            logger.warning("cannot %s the cache %s: %s", what, self._path, error)

    def _key(self, text: str) -> bytes:
        content = f"{self._fingerprint}\n{text}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(content).digest()

    def _pack(self, key: bytes, vector: npt.NDArray[np.float32]) -> tuple[bytes, bytes]:
        data = np.ascontiguousarray(vector, "<f4").tobytes()
        return key, _check(key, data) + data

    def _unpack(self, key: bytes, value: object) -> npt.NDArray[np.float32] | None:
        """The vector, or None where the entry is damaged."""
        if not isinstance(value, bytes) or len(value) != _CHECK_BYTES + 4 * self._dim:
            return None
        data = value[_CHECK_BYTES:]
        if value[:_CHECK_BYTES] != _check(key, data):
            return None
        return np.frombuffer(data, "<f4").astype(np.float32)


def _check(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=_CHECK_BYTES).digest()
